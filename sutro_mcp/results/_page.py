"""One page of rows within a budget of characters.

JSON outputs are unpacked row by row into columns: a page shows the fields that occur in its own rows, in
order of first appearance, and keeps the raw text of rows that are not JSON objects in the output column. A
page ends early, at a whole row, rather than pass its budget; what was cut is said in `shortened`. The budget
is the length of `columns` and `rows` as compact JSON text. It holds from 500 characters on; a page has at
least one row and one column whatever they cost.
"""

import datetime
import decimal
import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import polars as pl
from pydantic_core import to_json

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.untrusted import quote, shorten, visible

from ._artifact import parse_json, read_artifact
from ._models import Cell, Page, PageRequest

_MAX_COLUMNS = 60
_MAX_NAME = 120
_MIN_NAME = 30
_MAX_LISTED = 4_000
_MIN_CELL = 16
# Not a name that any column or field can have.
_UNREAD = object()


def make_page(request: PageRequest) -> Page:
    """The page asked for. Raises InvalidArgumentError for an unknown column or an offset past the end."""
    frame = read_artifact(request.artifact, request.output_column)
    if request.offset and request.offset >= frame.height:
        raise InvalidArgumentError(
            f"read rows of {request.artifact.job_id} from offset {request.offset:,}",
            f"it has {frame.height:,} rows, numbered from 0",
            f"Use an offset below {max(frame.height, 1):,}",
        )
    rows, names = _records(frame.slice(request.offset, request.limit), request)
    chosen = _choose(names, frame, request)
    page = _fit(rows, chosen, frame.height, request)
    return page if request.output_column in chosen else _marked(page, rows, request)


def parse_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in `text`, or None when it holds anything else."""
    if text is None or text.lstrip()[:1] != "{":
        return None
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def cell(value: Any) -> Cell:
    """`value` as one JSON scalar; lists and objects become compact JSON text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Beyond 64 bits few readers of JSON keep the digits, of which there may be thousands.
        return value if -(2**63) <= value < 2**64 else str(value)
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
    return visible(compact(value))


def compact(value: list[Any] | dict[str, Any]) -> str:
    """`value` as JSON text without blanks."""
    return to_json(value, inf_nan_mode="strings", bytes_mode="base64", fallback=str).decode()


def _records(part: pl.DataFrame, request: PageRequest) -> tuple[list[dict[Any, Any]], list[str]]:
    """Rows as dicts, and the column names of the page in order."""
    rows: list[dict[Any, Any]] = [dict(zip(part.columns, row, strict=True)) for row in part.iter_rows()]
    output = part.get_column(request.output_column)
    if not request.unpack_json or output.dtype != pl.String:
        return rows, part.columns
    parsed = [parse_object(text) for text in output]
    for row, found in zip(rows, parsed, strict=True):
        row[_UNREAD] = found is None and row[request.output_column] is not None
    if not any(parsed):
        return rows, part.columns
    fields = _field_names(parsed, part.columns, request)
    for row, found in zip(rows, parsed, strict=True):
        if found is None:
            continue
        # An object may itself have a field called like the output column: the field wins, as nothing is lost.
        if request.output_column not in request.columns:
            del row[request.output_column]
        row.update({fields[key]: value for key, value in found.items()})
    names: list[str] = []
    for column in part.columns:
        names.extend([column] if column != request.output_column else fields.values())
    if any(row[_UNREAD] for row in rows) and request.output_column not in names:
        names.append(request.output_column)
    return rows, names


def _field_names(
    parsed: Sequence[dict[str, Any] | None], columns: Sequence[str], request: PageRequest
) -> dict[str, str]:
    """The column of each field: its own name, or one that says where it is from if that is taken."""
    names: dict[str, str] = {}
    taken = set(columns) - {request.output_column}
    for key in dict.fromkeys(key for found in parsed if found for key in found):
        name = key
        while name in taken:
            name = f"{request.output_column}.{name}"
        names[key] = name
        taken.add(name)
    return names


def _choose(names: list[str], frame: pl.DataFrame, request: PageRequest) -> list[str]:
    """The columns to show."""
    if not request.columns:
        return names
    wanted = list(dict.fromkeys(request.columns))
    shown = {visible(name): name for name in (*frame.columns, *names)}
    known = {*shown, *shown.values()}
    if missing := _nowhere({name for name in wanted if name not in known}, frame, request):
        first = next(name for name in wanted if name in missing)
        raise InvalidArgumentError(
            f"show column {quote(first, _MAX_NAME)}",
            "the results have no such column or field",
            f"Choose from: {quote(', '.join(names[:_MAX_COLUMNS]), _MAX_LISTED)}",
        )
    own = {*frame.columns, *names}
    return [name if name in own else shown.get(name, name) for name in wanted]


def _marked(page: Page, rows: list[dict[Any, Any]], request: PageRequest) -> Page:
    """A page that shows some fields only, with a word about its rows that have none."""
    unread = sum(1 for row in rows[: len(page.rows)] if row.get(_UNREAD))
    if not unread:
        return page
    word = f"{unread} of these rows are no JSON objects (name {request.output_column} in columns to see them)"
    return page.model_copy(update={"shortened": "; ".join(filter(None, (page.shortened, word)))})


def _value(row: dict[Any, Any], name: str) -> Any:
    """A cell by its column, or by its path through nested objects as a summary names it."""
    if name in row:
        return row[name]
    value: Any = row
    for key in name.split("."):
        if isinstance(value, str):
            value = parse_object(value)
        value = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return value


def _nowhere(names: set[str], frame: pl.DataFrame, request: PageRequest) -> set[str]:
    """Those of `names` that are no field of any row: another page may have what this one lacks."""
    outputs = frame.get_column(request.output_column)
    if not request.unpack_json or outputs.dtype != pl.String:
        return names
    for text in cast("Iterable[str | None]", outputs):
        if not names:
            break
        found = parse_object(text) or {}
        fields = _field_names([found], frame.columns, request).values()
        paths = {name for name in names if "." in name and _value(found, name) is not None}
        names = names - {*fields, *map(visible, fields), *paths}
    return names


def _fit(rows: list[dict[Any, Any]], names: list[str], row_count: int, request: PageRequest) -> Page:
    """Fill the page row by row until its budget is spent."""
    header = _header(names, request.max_chars // 2)
    budget = request.max_chars - _size(header) - len("[]")
    limit = request.max_cell_chars
    taken: list[list[Cell]] = []
    cut = 0
    for row in rows:
        cells = [cell(_value(row, name)) for name in names[: len(header)]]
        if not taken:
            width, limit = _shrink(cells, budget, limit)
            cells, header = cells[:width], header[:width]
        line, cuts = _cut(cells, limit)
        budget -= _size(line) + len(",")
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
        shortened=_what_was_cut(cut, limit, len(rows) - len(taken), len(names) - len(header)),
    )


def _header(names: list[str], room: int) -> list[str]:
    """The names as shown: shorter, then fewer, until they fit into `room`."""
    shown = [visible(name) for name in names[:_MAX_COLUMNS]]
    length = _MAX_NAME
    header = [shorten(name, length)[0] for name in shown]
    while _size(header) > room and length > _MIN_NAME:
        length //= 2
        header = [shorten(name, length)[0] for name in shown]
    while _size(header) > room and len(header) > 1:
        header.pop()
    return header


def _shrink(cells: list[Cell], room: int, limit: int) -> tuple[int, int]:
    """How many cells of a row, cut to how many characters, fit into `room`: shorter first, then fewer."""
    width = len(cells)
    while _size(_cut(cells[:width], limit)[0]) + len(",") > room:
        if limit > _MIN_CELL:
            limit = max(limit // 2, _MIN_CELL)
        elif width > 1:
            width -= 1
        else:
            break
    return width, limit


def _cut(cells: list[Cell], limit: int) -> tuple[list[Cell], int]:
    line: list[Cell] = []
    cuts = 0
    for value in cells:
        shown, was_cut = shorten(value, limit) if isinstance(value, str) else (value, False)
        line.append(shown)
        cuts += was_cut
    return line, cuts


def _size(values: Sequence[Cell]) -> int:
    return len(to_json(values).decode())


def _what_was_cut(cells: int, limit: int, rows: int, columns: int) -> str | None:
    parts: list[str] = []
    if cells:
        parts.append(f"{cells} cells cut to {limit} characters (raise max_cell_chars, or name fewer columns)")
    if rows:
        parts.append(f"{rows} rows left out to stay short (next_offset continues)")
    if columns:
        parts.append(f"{columns} columns left out (name those you need in columns)")
    return "; ".join(parts) or None
