"""The types that SQL gives to the columns of a result file. Those of JSON fields are told by a `Shape`."""

from typing import Any

import polars as pl

from sutro_mcp.results.rows.json_shape import quoted

# Times and bytes are missing: DuckDB tells several types of them apart, which polars reads as one.
_TYPES: dict[Any, str] = {
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt8: "UTINYINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.String: "VARCHAR",
    pl.Categorical: "VARCHAR",
    pl.Enum: "VARCHAR",
    pl.Date: "DATE",
    pl.Duration: "BIGINT",
}


def sql_type(dtype: pl.DataType) -> str | None:
    """The type of a column in the view `results`, which widens numbers; None if it is not certain."""
    found = _inner(dtype)
    if dtype.is_integer():
        return "HUGEINT" if dtype == pl.UInt64 else found and "BIGINT"
    return "DOUBLE" if dtype == pl.Float32 else found


def _inner(dtype: Any) -> str | None:
    if isinstance(dtype, pl.Datetime):
        is_fine = dtype.time_unit == "ns"
        if dtype.time_zone is None:
            return "TIMESTAMP_NS" if is_fine else "TIMESTAMP"
        return "TIMESTAMPTZ_NS" if is_fine else "TIMESTAMP WITH TIME ZONE"
    if isinstance(dtype, pl.Decimal):
        if (dtype.precision, dtype.scale) == (38, 0):
            return "HUGEINT"
        return f"DECIMAL({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.List | pl.Array):
        inner = _inner(dtype.inner)
        return inner and f"{inner}[]"
    if isinstance(dtype, pl.Map):
        key, value = _inner(dtype.key), _inner(dtype.value)
        return f"MAP({key}, {value})" if key and value else None
    if isinstance(dtype, pl.Struct):
        members = [(each.name, _inner(each.dtype)) for each in dtype.fields]
        if not all(inner for _, inner in members):
            return None
        return f"STRUCT({', '.join(f'{quoted(name)} {inner}' for name, inner in members)})"
    return _TYPES.get(dtype.base_type())
