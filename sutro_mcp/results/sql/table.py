"""A result artifact as the table `results` that SQL sees: typed columns, JSON outputs as one for each field.

Its columns, in this order: `row` (number from 0), inputs and carried columns, one column for each field of
the JSON outputs, the raw output as `inference_result`, logprobs and confidence. A nested object is its JSON
text and, to four levels, one column for each of its fields by path (`vendor.name`); so is the content of a
reasoning envelope that is JSON in a string. A row that holds no JSON object has null in every field.

A field has one type, told from all its values that are not null:

- integers: 64 bits, or 128 where their total would not fit; text beyond that
- integers and floats: 64-bit floats
- booleans, texts: as they are; a field that is always null is text
- objects: compact JSON text
- lists: a list of one such type, in which objects and lists are JSON text
- anything mixed: text, of what is no text its compact JSON
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import polars as pl
from pydantic_core import to_json

from sutro_mcp.results.request_models import LocalArtifact
from sutro_mcp.results.rows.columns import read_artifact
from sutro_mcp.results.rows.json_values import parse_object
from sutro_mcp.untrusted import shorten, visible

OUTPUT = "inference_result"
# Stands for the output column while its neighbours are named: a customer's column may have its name.
_HIDDEN = f"\0{OUTPUT}"
_ENVELOPE = {"content", "reasoning_content"}
_DEPTH = 4
_FIELDS = 200
_LISTED = 60
_MAX_NAME = 80
_MAX_LISTING = 3_000

_PATTERN = re.compile(r"\^.*\$", re.DOTALL)
_SMALL: set[type[pl.DataType]] = {pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32}
_WORDS: dict[type[pl.DataType], str] = {
    pl.Boolean: "boolean",
    pl.String: "text",
    pl.Categorical: "text",
    pl.Enum: "text",
}

_Path = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The table, and whether some outputs have fields that found no room in it."""

    job_id: str
    frame: pl.DataFrame
    more_fields: bool = False

    def listing(self) -> str:
        """Its columns with their types, as SQL names them."""
        columns = [f"{_sql_name(name)} {_word(dtype)}" for name, dtype in self.frame.schema.items()]
        more = f", and {len(columns) - _LISTED} more" if len(columns) > _LISTED else ""
        return shorten(", ".join(columns[:_LISTED]), _MAX_LISTING)[0] + more


def load_table(ref: LocalArtifact) -> Table:
    """The whole artifact in memory. Raises UnexpectedReplyError when it cannot be read."""
    raw = read_artifact(ref, _HIDDEN)
    fields, more = _fields(raw.get_column(_HIDDEN))
    # Ours first, then the customer's, then the model's: who comes late gives way.
    names = {"row", OUTPUT}
    carried = {name: _free(name, "carried", names) for name in raw.columns if name != _HIDDEN}
    columns = {"row": pl.int_range(raw.height, dtype=pl.Int64, eager=True)}
    for column in raw.iter_columns():
        if column.name == _HIDDEN:
            columns.update({_free(".".join(path), OUTPUT, names): values for path, values in fields.items()})
            columns[OUTPUT] = _widened(column)
        else:
            columns[carried[column.name]] = _widened(column)
    return Table(ref.spec.job_id, pl.DataFrame(columns), more)


def _free(name: str, prefix: str, taken: set[str]) -> str:
    """`name` as it can be typed, behind `prefix` as often as it takes to be its own."""
    name = visible(name)
    # polars reads these as patterns even in quotes, and an empty name cannot be quoted.
    while name in taken or name in ("", "*") or _PATTERN.fullmatch(name):
        name = f"{prefix}.{name}"
    taken.add(name)
    return name


def _widened(column: pl.Series) -> pl.Series:
    """Small integers as large ones: polars adds 32-bit numbers up to a 32-bit total, and wraps."""
    return column.cast(pl.Int64) if column.dtype.base_type() in _SMALL else column


def _fields(outputs: pl.Series) -> tuple[dict[_Path, pl.Series], bool]:
    """A column for each path, in order of first appearance, and whether there are more than fit."""
    if outputs.dtype != pl.String:
        return {}, False
    found: dict[_Path, list[Any]] = {}
    more = False
    for row, text in enumerate(outputs):
        for path, value in _walk(parse_object(text) or {}, ()):
            if path not in found:
                if len(found) >= _FIELDS:
                    more = True
                    continue
                found[path] = [None] * len(outputs)
            found[path][row] = value
    return {path: as_column(values) for path, values in found.items()}, more


def _walk(fields: dict[str, Any], prefix: _Path) -> Iterator[tuple[_Path, Any]]:
    """Every field with its path, an object before its own fields."""
    content = fields.get("content")
    inner = parse_object(content) if set(fields) == _ENVELOPE and isinstance(content, str) else None
    for key, value in fields.items():
        path = (*prefix, key)
        yield path, value
        nested = inner if inner is not None and key == "content" else value
        if isinstance(nested, dict) and len(path) < _DEPTH:
            yield from _walk(cast("dict[str, Any]", nested), path)


def as_column(values: list[Any]) -> pl.Series:
    """JSON values of one field as a column of one type."""
    if {type(value) for value in values} - {type(None)} == {list}:
        return _lists(cast("list[list[Any] | None]", values))
    return _scalars(values)


def _lists(values: list[list[Any] | None]) -> pl.Series:
    items = _scalars([item for value in values if value is not None for item in value])
    rest = iter(items.to_list())
    grouped = [None if value is None else [next(rest) for _ in value] for value in values]
    return pl.Series(grouped, dtype=pl.List(items.dtype))


def _scalars(values: list[Any]) -> pl.Series:
    filled = [value for value in values if value is not None]
    kinds: set[type] = {type(value) for value in filled}
    if kinds == {bool}:
        return pl.Series(values, dtype=pl.Boolean)
    if kinds == {int}:
        total = sum(map(abs, filled))
        if total < 2**127:
            return pl.Series(values, dtype=pl.Int64 if total < 2**63 else pl.Int128)
    if kinds in ({float}, {int, float}):
        try:
            numbers = [None if value is None else float(value) for value in values]
        except OverflowError:  # an integer in JSON may have thousands of digits
            pass
        else:
            return pl.Series(numbers, dtype=pl.Float64)
    return pl.Series([_as_text(value) for value in values], dtype=pl.String)


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else to_json(value).decode()


def _sql_name(name: str) -> str:
    """In double quotes, which are always right: a field may be called `order`, or hold a dot."""
    return '"' + shorten(" ".join(name.split()), _MAX_NAME)[0].replace('"', '""') + '"'


def _word(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List | pl.Array):
        return f"list of {_word(cast('pl.DataType', dtype.inner))}"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    kind = dtype.base_type()
    return _WORDS.get(kind, kind.__name__.lower())
