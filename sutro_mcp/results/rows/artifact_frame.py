"""A result artifact as one polars frame.

Runs in the worker process and in the library, never in the server. Column names come from customers, so they
are always taken literally: polars reads `*` and `^…$` as patterns.
"""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, cast

import polars as pl
from pydantic_core import to_json

from sutro_mcp.results.parquet import DamagedError, HostileError, UnsupportedError, open_parquet
from sutro_mcp.results.request_models import LocalArtifact
from sutro_mcp.results.worker.artifact_bytes import FileBytes
from sutro_mcp.results.worker.protocol import NullChannel, StoppedError

from .cells import KINDS, parse_json
from .column_roles import Naming, arrangement, unreadable

_SCALARS = {
    "null": pl.Null,
    "text": pl.String,
    "boolean": pl.Boolean,
    "integer": pl.Int64,
    "number": pl.Float64,
}
# Objects of more fields rather have data for their keys.
_MOST_FIELDS = 50


def read_artifact(ref: LocalArtifact, output_column: str, naming: Naming = arrangement) -> pl.DataFrame:
    """The whole artifact as a frame: inputs, carried columns, `output_column`, logprobs, confidence.

    Raises UnexpectedReplyError when the file cannot be read or its output column cannot be told, and
    InvalidArgumentError when the `naming` does.
    """
    if ref.format == "csv":
        raise unreadable(ref, "they came as CSV although Parquet was asked for, and types cannot be told")
    frame = _read_json(ref) if ref.format == "json" else _read_parquet(ref)
    # By name and not as a list, in which polars would give a name to a column that has the empty one.
    stored = naming(frame.columns, ref, output_column)
    return pl.DataFrame({name: with_plain_text(frame.get_column(column)) for name, column in stored.items()})


def _read_parquet(ref: LocalArtifact) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(Path(ref.path), glob=False)
        is_shifted = _miscounts_nulls(ref)
    except FileNotFoundError as error:
        if ref.inode is not None:
            # Another server process has made room; the server fetches it anew.
            raise StoppedError from error
        raise unreadable(ref, "the file is not there") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise unreadable(ref, "the file is damaged or not Parquet") from error
    if is_shifted:
        raise unreadable(ref, "the file says that it has fewer nulls than it has, so values would be shifted")
    return frame


def _miscounts_nulls(ref: LocalArtifact) -> bool:
    """Whether polars, which believes the number of nulls in a page's header, has read other values."""
    source = FileBytes(ref.model_copy(update={"is_whole": True}))
    with source.opened(ref.inode, NullChannel()):
        try:
            return open_parquet(source).miscounts_nulls()
        except (DamagedError, HostileError, UnsupportedError):
            return False


def with_plain_text(column: pl.Series) -> pl.Series:
    """Categories as the text that they are, also within lists and structs."""
    return _cast(column, (pl.Categorical, pl.Enum), pl.String())


def with_plain_integers(column: pl.Series) -> pl.Series:
    """Integers of 128 bits, which Parquet does not have, as decimals or, where these are short, as text."""
    try:
        return _cast(column, (pl.Int128,), pl.Decimal(38, 0))
    except pl.exceptions.InvalidOperationError:
        return _cast(column, (pl.Int128,), pl.String())


def _cast(column: pl.Series, kinds: tuple[type[pl.DataType], ...], plain: pl.DataType) -> pl.Series:
    """The column with values of these kinds as plain ones."""

    def wanted(dtype: Any) -> Any:
        if isinstance(dtype, kinds):
            return plain
        if isinstance(dtype, pl.Struct):
            return pl.Struct([pl.Field(f.name, wanted(f.dtype)) for f in dtype.fields])
        if isinstance(dtype, pl.Array):
            return pl.Array(wanted(dtype.inner), dtype.shape[:1])
        return pl.List(wanted(dtype.inner)) if isinstance(dtype, pl.List) else dtype

    found = wanted(column.dtype)
    return column if found == column.dtype else column.cast(found)


def _read_json(ref: LocalArtifact) -> pl.DataFrame:
    """Columns of equal length, bare or under `results`; a bare list is the outputs alone (C11, C12)."""
    raw = Path(ref.path).read_bytes()
    try:
        body: Any = parse_json(raw)
    except (ValueError, RecursionError) as error:
        raise unreadable(ref, "the reply is not valid JSON") from error
    if isinstance(body, dict) and "outputs" not in body and "results" in body:
        body = cast("dict[str, Any]", body)["results"]
    if isinstance(body, list):
        body = {"outputs": cast("list[Any]", body)}
    if not isinstance(body, dict):
        raise unreadable(ref, "the reply is not a table of columns")
    columns = cast("dict[str, Any]", body)
    if not all(isinstance(values, list) for values in columns.values()):
        raise unreadable(ref, "the reply is not a table of columns")
    if len({len(values) for values in columns.values()}) > 1:
        raise unreadable(ref, "its columns differ in length")
    return pl.DataFrame({name: _column(values) for name, values in columns.items()})


def _column(values: list[Any]) -> pl.Series:
    """Values that have one type in all rows, to the last item and field, as they are; others as JSON text.

    Left alone, polars would find a common type for the others, and lose what does not fit it: fields that the
    first object lacks, the difference between 1 and true, digits of large integers.
    """
    dtype = _dtype(values)
    if dtype is not None:
        # Integers beside fractions become such; nothing else is converted.
        if dtype.is_nested():
            values = [_with_floats(value, dtype) for value in values]
        return pl.Series(values, dtype=dtype, strict=False)
    texts = [value if isinstance(value, str | None) else to_json(value).decode() for value in values]
    return pl.Series(texts, dtype=pl.String)


def _with_floats(value: Any, dtype: Any) -> Any:
    """The value with floats where its type has them: within objects polars refuses integers there."""
    if value is None:
        return None
    if isinstance(dtype, pl.List):
        return [_with_floats(item, dtype.inner) for item in value]
    if isinstance(dtype, pl.Struct):
        return {f.name: _with_floats(value.get(f.name), f.dtype) for f in dtype.fields}
    return float(value) if dtype == pl.Float64 else value


def _dtype(values: Iterable[Any]) -> pl.DataType | None:
    """The type that all values have, null or not, as a Parquet file would keep it; None if they differ."""
    present = [value for value in values if value is not None]
    kinds = {KINDS[type(value)] for value in present}
    if kinds == {"integer", "number"}:
        return pl.Float64() if all(abs(value) <= 2**53 for value in present) else None
    if kinds == {"integer"} and not all(-(2**63) <= value < 2**63 for value in present):
        return pl.Int128() if all(-(2**127) <= value < 2**127 for value in present) else None
    if len(kinds) > 1:
        return None
    match kinds.pop() if kinds else "null":
        case "list":
            inner = _dtype(chain.from_iterable(present))
            return None if inner is None else pl.List(inner)
        case "object":
            names = dict.fromkeys(chain.from_iterable(present))
            if not 0 < len(names) <= _MOST_FIELDS:
                return None
            fields = {name: _dtype(value.get(name) for value in present) for name in names}
            return None if None in fields.values() else pl.Struct(cast("dict[str, pl.DataType]", fields))
        case kind:
            return _SCALARS[kind]()


def times_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Dates, times and durations in ISO 8601, with all their digits, also within lists and structs.

    Those of Python have microseconds and the years 1 to 9999 only, and read a file to learn about a zone.
    """
    # As literals, since polars would take some names for patterns.
    columns = {
        c.name: pl.select(_iso(pl.lit(c), c.dtype)).to_series() if _holds_times(c.dtype) else c
        for c in frame.iter_columns()
    }
    return pl.DataFrame(columns)


def _holds_times(dtype: Any) -> bool:
    """Whether values of this type are times, or have some in them."""
    if isinstance(dtype, pl.Struct):
        return any(_holds_times(each.dtype) for each in dtype.fields)
    return _holds_times(dtype.inner) if isinstance(dtype, pl.List | pl.Array) else dtype.is_temporal()


def _iso(values: pl.Expr, dtype: Any) -> pl.Expr:
    if isinstance(dtype, pl.List):
        return values.list.eval(_iso(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Array):
        return values.arr.eval(_iso(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Struct):
        members = [_iso(pl.field(f.name), f.dtype) for f in dtype.fields]
        return values.struct.with_fields(members)
    if not dtype.is_temporal():
        return values
    text = values.dt.to_string("iso:strict")
    if dtype == pl.Duration:
        return text
    # Without the zeros that end a fraction.
    return text.str.replace(r"(\.\d*?)0+($|[+-])", "${1}${2}").str.replace(r"\.($|[+-])", "${1}")
