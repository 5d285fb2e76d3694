"""The values that SQL yields as cells: SQL for what Python can hold, and how that becomes a cell."""

import re
from collections.abc import Callable
from typing import Any

import duckdb
from pydantic_core import from_json

from sutro_mcp.results.request_models import Cell
from sutro_mcp.results.rows.cells import cell

_NOT_FINITE = re.compile("Infinity|NaN")
_NESTED = {"list", "struct", "map", "array", "union", "variant"}
_TEXTUAL = ("date", "time", "interval", "uuid", "bit", "enum")


def sql_cells(found: duckdb.DuckDBPyRelation) -> tuple[str, list[Callable[[Any], Cell]]]:
    """The expressions that Python can hold the values of, and for each how a value becomes a cell."""
    shown: list[str] = []
    convert: list[Callable[[Any], Cell]] = []
    for at, kind in enumerate(found.types, start=1):
        value, change = f"#{at}", cell
        if kind.id in _NESTED:
            value, change = f"to_json({value})", _of_json
        elif str(kind) == "JSON":
            change = _of_json
        elif kind.id == "decimal":
            change = _of_decimal
        elif kind.id == "float":
            # With the digits that tell it from its neighbours, not those of a wider one.
            value, change = _as_text(value), _of_float
        elif kind.id.startswith("timestamp"):
            value = iso_time(value)
        elif kind.id.startswith(_TEXTUAL):
            value = _as_text(value)
        shown.append(value)
        convert.append(change)
    return ", ".join(shown), convert


def _of_json(text: str | None) -> Cell:
    """JSON of a scalar as that scalar, of anything else as it is, but for numbers that JSON does not have."""
    if text is None or (text[:1] in "[{" and not _NOT_FINITE.search(text)):
        return cell(text)
    try:
        return cell(from_json(text))
    except ValueError:
        return cell(text)


def _of_float(text: str | None) -> Cell:
    return cell(None if text is None else float(text))


def iso_time(value: str) -> str:
    """SQL for a date or a time stamp as ISO 8601 has it."""
    text = f"regexp_replace({_as_text(value)}, ' ', 'T')"
    return f"regexp_replace({text}, '(T.*[-+][0-9]{{2}})$', '\\1:00')"


def _as_text(value: str) -> str:
    return f"CAST({value} AS VARCHAR)"


def _of_decimal(value: Any) -> Cell:
    """As a number if that has the same digits."""
    return (
        float(value) if value is not None and str(float(value)) == f"{value.normalize():f}" else cell(value)
    )
