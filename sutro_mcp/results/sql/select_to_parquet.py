"""All rows that one SELECT yields, as a Parquet file: written by the process that has no rights.

The file is opened before the rights go, and its size has a limit; no SQL from outside can name it to write.
Types that other readers of Parquet do not have are written as text, wide integers as narrow as they fit.
Times are ISO 8601 for formats that are text.
"""

import errno
import os
from collections.abc import Iterator, Sequence

import duckdb
from duckdb.sqltypes import DuckDBPyType

from sutro_mcp.errors import ConfigurationError, InvalidArgumentError, SutroError
from sutro_mcp.results.request_models import WriteRequest, YieldedRows
from sutro_mcp.results.rows.json_shape import literal, quoted

from .duckdb_engine import LoadedTables, answered
from .held_files import OUTPUT_FILE, Output, address
from .sql_cells import iso_time

MOST_BYTES = 4 << 30

# Small groups, as each is in memory until it is written, and nothing beside the file.
_OPTIONS = "FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 8192, USE_TMP_FILE false"
_NARROW, _WIDE = "BIGINT", "DECIMAL(38, 0)"
_NESTED = {"struct", "map", "list", "array"}
_WIDE_INTEGERS = {"hugeint", "uhugeint"}
_KEPT = {
    *("boolean", "tinyint", "smallint", "integer", "bigint", "float", "double", "decimal", "varchar", "blob"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "date", "NULL"),
    *("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"),
}


def new_output(path: str) -> Output:
    """A new file to write into. Raises ConfigurationError where none can be made."""
    try:
        return Output(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        )
    except OSError as error:
        raise _not_kept() from error


def write_parquet(loaded: LoadedTables, request: WriteRequest) -> YieldedRows:
    """Write all rows. Raises InvalidArgumentError for SQL that cannot be run or yields too much."""

    def write(found: duckdb.DuckDBPyRelation) -> YieldedRows:
        for integers in (_NARROW, _WIDE):
            try:
                return _copy(found, request, integers)
            except (duckdb.ConversionException, duckdb.OutOfRangeException):
                if not any(_holds(kind, _WIDE_INTEGERS) for kind in found.types):
                    raise
        return _copy(found, request, "VARCHAR")

    try:
        return answered(loaded, request.sql, write)
    except InvalidArgumentError as error:
        failure = loaded.output.failure if loaded.output else None
        raise error if failure is None else _unwritten(failure, error) from failure


def _copy(found: duckdb.DuckDBPyRelation, request: WriteRequest, integers: str) -> YieldedRows:
    names = list(_distinct(found.columns))
    columns: list[str] = []
    json_columns: list[str] = []
    for at, (name, kind) in enumerate(zip(names, found.types, strict=True), start=1):
        value = f"#{at}"
        if _is_json(kind) and request.format != "jsonl":
            value = f"json_extract_string({value}, '$')"
        elif _holds_json(kind) and request.format != "parquet":
            value = f"CAST(to_json({value}) AS VARCHAR)"
            json_columns.append(name)
        elif kind.id.startswith(("date", "timestamp")) and request.format != "parquet":
            value = iso_time(value)
        elif (stored := _stored(kind, integers)) != str(kind):
            value = f"CAST({value} AS {stored})"
        columns.append(f"{value} AS {quoted(name)}")
    to = literal(address(OUTPUT_FILE))
    found.query("yielded", f"COPY (SELECT {', '.join(columns)} FROM yielded) TO {to} ({_OPTIONS})")
    return YieldedRows(path=request.path, json_columns=tuple(json_columns))


def _distinct(names: Sequence[str]) -> Iterator[str]:
    """The names, those that come again with a number behind them."""
    taken: set[str] = set()
    for name in names:
        free, number = name, 1
        while free.lower() in taken:
            number += 1
            free = f"{name}_{number}"
        taken.add(free.lower())
        yield free


def _stored(kind: DuckDBPyType, integers: str) -> str:
    """The type in which the file has values of `kind`."""
    names = [quoted(str(name)) for name, _ in kind.children] if kind.id in _NESTED else []
    inner = [_stored(member, integers) for member in _members(kind)]
    match kind.id:
        case "hugeint" | "uhugeint":
            return integers
        case "list" | "array":
            return f"{inner[0]}[]"
        case "map":
            return f"MAP({', '.join(inner)})"
        case "struct":
            return f"STRUCT({', '.join(map(' '.join, zip(names, inner, strict=True)))})"
        case each:
            return str(kind) if each in _KEPT and not _is_json(kind) else "VARCHAR"


def _holds_json(kind: DuckDBPyType) -> bool:
    return _is_json(kind) or any(map(_holds_json, _members(kind)))


def _holds(kind: DuckDBPyType, wanted: set[str]) -> bool:
    return kind.id in wanted or any(_holds(member, wanted) for member in _members(kind))


def _members(kind: DuckDBPyType) -> list[DuckDBPyType]:
    if kind.id not in _NESTED:
        return []
    return [member for _, member in kind.children if isinstance(member, DuckDBPyType)]


def _is_json(kind: DuckDBPyType) -> bool:
    return str(kind) == "JSON"


def _unwritten(failure: OSError, error: InvalidArgumentError) -> SutroError:
    if failure.errno == errno.EFBIG:
        return InvalidArgumentError(
            error.doing,
            f"it yields more than {MOST_BYTES >> 30} GiB",
            "Filter or aggregate, select fewer columns, or export without sql",
        )
    return _not_kept()


def _not_kept() -> ConfigurationError:
    return ConfigurationError(
        "export what SQL yields",
        "it could not be kept on disk while the file is made; no file was written",
        "Make room, or set SUTRO_MCP_CACHE_DIR to a folder on a disk that has some",
    )
