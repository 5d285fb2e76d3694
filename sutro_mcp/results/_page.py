"""One page of rows within a budget of characters.

JSON outputs are unpacked row by row into columns: a page shows the fields that occur in its own rows, in
order of first appearance, and keeps the raw text of rows that are not JSON objects in the output column. A
page ends early, at a whole row, rather than pass its budget; what was cut is said in `shortened`.
"""

import datetime
import decimal
import math
from typing import Any, cast

import polars as pl
from pydantic_core import from_json, to_json

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.untrusted import shorten, visible

from ._artifact import read_artifact
from ._models import Cell, Page, PageRequest

_MAX_COLUMNS = 60
_MAX_NAME = 120
_MIN_CELL = 16
_FIELD_SAMPLE = 1_000


def make_page(request: PageRequest) -> Page:
    """The page asked for. Raises InvalidArgumentError for an unknown column or an offset past the end."""
    frame = read_artifact(request.artifact, request.output_column)
    if request.offset and request.offset >= frame.height:
        raise InvalidArgumentError(
            f"read rows of {request.artifact.job_id} from offset {request.offset:,}",
            f"it has {frame.height:,} rows, numbered from 0",
            f"Use an offset below {frame.height:,}",
        )
    rows, names = _records(frame.slice(request.offset, request.limit), request)
    chosen, dropped = _choose(names, frame, request)
    return _fit(rows, chosen, dropped, frame.height, request)


def parse_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in `text`, or None when it holds anything else."""
    if text is None or text.lstrip()[:1] != "{":
        return None
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def cell(value: Any) -> Cell:
    """`value` as one JSON scalar; lists and objects become compact JSON text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    return visible(to_json(value, inf_nan_mode="strings", fallback=str).decode())


def _records(part: pl.DataFrame, request: PageRequest) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows as dicts, and the column names of the page in order."""
    rows = [dict(zip(part.columns, values, strict=True)) for values in part.iter_rows()]
    output = part.get_column(request.output_column)
    if not request.unpack_json or output.dtype != pl.String:
        return rows, part.columns
    parsed = [parse_object(text) for text in output]
    if not any(parsed):
        return rows, part.columns
    others = set(part.columns) - {request.output_column}
    fields = {key: _field_name(key, others, request) for found in parsed if found for key in found}
    unread = False
    for row, found in zip(rows, parsed, strict=True):
        if found is None:
            unread = unread or row[request.output_column] is not None
            continue
        # An object may itself have a field called like the output column: the field wins, as nothing is lost.
        del row[request.output_column]
        row.update({fields[key]: value for key, value in found.items()})
    names: list[str] = []
    for column in part.columns:
        names.extend([column] if column != request.output_column else fields.values())
    if unread and request.output_column not in names:
        names.append(request.output_column)
    return rows, names


def _field_name(key: str, others: set[str], request: PageRequest) -> str:
    return f"{request.output_column}.{key}" if key in others else key


def _choose(names: list[str], frame: pl.DataFrame, request: PageRequest) -> tuple[list[str], int]:
    """The columns to show, and how many were left out for want of room."""
    if request.columns:
        wanted = list(dict.fromkeys(request.columns))
        shown = {visible(name): name for name in names}
        unknown = [name for name in wanted if name not in names and name not in shown]
        if unknown:
            elsewhere = _records(frame.head(_FIELD_SAMPLE), request)[1] if request.unpack_json else []
            known = {*frame.columns, *elsewhere, *map(visible, elsewhere)}
            if missing := [name for name in unknown if name not in known]:
                listed = ", ".join(visible(name)[:_MAX_NAME] for name in names[:_MAX_COLUMNS])
                raise InvalidArgumentError(
                    f"show column {visible(missing[0])[:_MAX_NAME]!r}",
                    "the results have no such column or field",
                    f"Choose from: {listed}",
                )
        names = [name if name in names else shown.get(name, name) for name in wanted]
    return names[:_MAX_COLUMNS], max(len(names) - _MAX_COLUMNS, 0)


def _fit(
    rows: list[dict[str, Any]], names: list[str], dropped: int, row_count: int, request: PageRequest
) -> Page:
    """Fill the page row by row until its budget is spent; the first row always fits, cut as far as needed."""
    header = [shorten(visible(name), _MAX_NAME)[0] for name in names]
    budget = request.max_chars - sum(len(name) + 3 for name in header)
    limit = request.max_cell_chars
    taken: list[list[Cell]] = []
    cut = 0
    for row in rows:
        line, cuts = _line(row, names, limit)
        if not taken and _size(line) > budget:
            limit = max(_MIN_CELL, min(limit, budget // max(len(names), 1) - 8))
            line, cuts = _line(row, names, limit)
        budget -= _size(line)
        if taken and budget < 0:
            break
        taken.append(line)
        cut += cuts
    end = request.offset + len(taken)
    return Page(
        columns=header,
        rows=taken,
        row_count=row_count,
        offset=request.offset,
        next_offset=end if end < row_count else None,
        shortened=_what_was_cut(cut, limit, len(rows) - len(taken), dropped),
    )


def _line(row: dict[str, Any], names: list[str], limit: int) -> tuple[list[Cell], int]:
    line: list[Cell] = []
    cuts = 0
    for name in names:
        value = cell(row.get(name))
        if isinstance(value, str):
            value, was_cut = shorten(value, limit)
            cuts += was_cut
        line.append(value)
    return line, cuts


def _size(line: list[Cell]) -> int:
    # JSON text of the row: as long as its CSV line, or longer where something is escaped.
    return len(to_json(line).decode()) + 1


def _what_was_cut(cells: int, limit: int, rows: int, columns: int) -> str | None:
    parts: list[str] = []
    if cells:
        parts.append(f"{cells} cells cut to {limit} characters (raise max_cell_chars, or name fewer columns)")
    if rows:
        parts.append(f"{rows} rows left out to stay short (next_offset continues)")
    if columns:
        parts.append(f"{columns} columns left out (name those you need in columns)")
    return "; ".join(parts) or None
