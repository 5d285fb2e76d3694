"""One page of rows within a budget of characters.

JSON outputs are unpacked row by row into columns: a page shows the fields that occur in its own rows, in
order of first appearance, and keeps the raw text of rows that are not JSON objects in the output column. A
page ends early, at a whole row, rather than pass its budget; what was cut is said in `shortened`. The budget
is the length of `columns` and `rows` as compact JSON text.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import polars as pl

from sutro_mcp.errors import InvalidArgumentError, counted
from sutro_mcp.results.request_models import LocalArtifact, Page, PageRequest
from sutro_mcp.results.worker.protocol import Channel, NullChannel
from sutro_mcp.untrusted import quote, visible

from .artifact_frame import times_as_text
from .char_budget import MAX_COLUMNS, MAX_NAME, MIN_NAME, fit
from .json_values import cell, parse_object
from .reader import Rows, open_rows

_MAX_LISTED = 4_000
# Not a name that any column or field can have.
_UNREAD = object()


def make_page(artifact: LocalArtifact, request: PageRequest, channel: Channel | None = None) -> Page:
    """The page asked for. Raises InvalidArgumentError for an unknown column or an offset past the end."""
    with open_rows(artifact, request.output_column, channel or NullChannel()) as table:
        return _make(table, artifact, request)


def _make(table: Rows, artifact: LocalArtifact, request: PageRequest) -> Page:
    if request.offset and request.offset >= table.height:
        raise InvalidArgumentError(
            f"{request.doing(artifact.spec)} from offset {request.offset:,}",
            f"it has {counted(table.height, 'row')}, numbered from 0",
            f"Use an offset below {max(table.height, 1):,}",
        )
    part = times_as_text(table.part(_needed(table.names, request), request.offset, request.limit))
    rows, names = _records(part, table.names, request)
    chosen, unknown = _choose(names, table, request)
    page = _fit(rows, chosen, table.height, request)
    words = [_unknown(unknown)] if unknown else []
    if request.output_column not in chosen and (
        unread := sum(bool(row.get(_UNREAD)) for row in rows[: len(page.rows)])
    ):
        name = request.output_column
        words.append(f"{unread} of these rows are no JSON objects (name {name} in columns to see them)")
    return page.model_copy(update={"shortened": "; ".join(filter(None, (page.shortened, *words))) or None})


def _needed(names: Sequence[str], request: PageRequest) -> list[str]:
    """The columns that have to be read: all, or those asked for and the outputs, if any other is a field."""
    if not request.columns:
        return list(names)
    shown = {*names, *map(visible, names)}
    asked = {*request.columns}
    if asked - shown:
        asked.add(request.output_column)
    return [name for name in names if name in asked or visible(name) in asked]


def _records(
    part: pl.DataFrame, columns: Sequence[str], request: PageRequest
) -> tuple[list[dict[Any, Any]], list[str]]:
    """Rows as dicts, and the column names of the page in order."""
    rows: list[dict[Any, Any]] = [dict(zip(part.columns, row, strict=True)) for row in part.iter_rows()]
    is_text = part.schema.get(request.output_column) == pl.String
    if not request.unpack_json or not is_text:
        return rows, part.columns
    parsed = [parse_object(text) for text in part.get_column(request.output_column)]
    for row, found in zip(rows, parsed, strict=True):
        row[_UNREAD] = found is None and row[request.output_column] is not None
    if not any(parsed):
        return rows, part.columns
    fields = _field_names(parsed, columns, request)
    for row, found in zip(rows, parsed, strict=True):
        if found is None:
            continue
        # An object may itself have a field called like the output column: the field wins, as nothing is lost.
        if request.output_column not in request.columns:
            del row[request.output_column]
        row.update({fields[key]: value for key, value in found.items()})
    own = request.output_column
    names = [name for column in part.columns for name in (fields.values() if column == own else [column])]
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


def _choose(names: list[str], table: Rows, request: PageRequest) -> tuple[list[str], list[str]]:
    """The columns to show, and those among them that may not exist: not all rows were looked at."""
    if not request.columns:
        return names, []
    wanted = list(dict.fromkeys(request.columns))
    shown = {visible(name): name for name in (*table.names, *names)}
    known = {*shown, *shown.values()}
    missing, is_certain = _nowhere({name for name in wanted if name not in known}, table, request)
    if missing and is_certain:
        first = next(name for name in wanted if name in missing)
        fields = [name for name in names if name not in table.names or name == request.output_column]
        others = [name for name in table.names if name != request.output_column]
        choices = [*others, *fields]
        raise InvalidArgumentError(
            f"show column {quote(first, MAX_NAME)}",
            "the results have no such column or field",
            f"Choose from: {quote(', '.join(choices[:MAX_COLUMNS]), _MAX_LISTED)}",
        )
    own = {*table.names, *names}
    chosen = [name if name in own else shown.get(name, name) for name in wanted]
    return chosen, [name for name in wanted if name in missing]


def _unknown(names: list[str]) -> str:
    listed = ", ".join(quote(name, MIN_NAME) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"no row looked at has {listed}{more} (shown as null; not all rows were looked at)"


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


def _nowhere(names: set[str], table: Rows, request: PageRequest) -> tuple[set[str], bool]:
    """Those of `names` that are no field of any row looked at, and whether those are all rows.

    Another page may have what this one lacks.
    """
    if not names or not request.unpack_json:
        return names, True
    batches, is_whole = table.searched(request.output_column)
    for outputs in batches:
        if outputs.dtype != pl.String:
            return names, True
        for text in cast("Iterable[str | None]", outputs):
            if not names:
                break
            found = parse_object(text) or {}
            fields = _field_names([found], table.names, request).values()
            paths = {name for name in names if "." in name and _value(found, name) is not None}
            names = names - {*fields, *map(visible, fields), *paths}
    return names, is_whole


def _fit(rows: list[dict[Any, Any]], names: list[str], row_count: int, request: PageRequest) -> Page:
    """As much of the rows as the budget allows."""
    shown = names[:MAX_COLUMNS]
    # A path has to be asked for: the name of one field may read like the path of another.
    look = _value if request.columns else dict[Any, Any].get
    cells = ([cell(look(row, name)) for name in shown] for row in rows)
    fitted = fit(shown, cells, request.max_chars, request.max_cell_chars)
    end = request.offset + len(fitted.rows)
    return Page(
        columns=fitted.columns,
        rows=fitted.rows,
        row_count=row_count,
        offset=request.offset,
        next_offset=end if end < row_count else None,
        shortened=_what_was_cut(
            fitted.cuts, fitted.cell_chars, len(rows) - len(fitted.rows), len(names) - len(fitted.columns)
        ),
    )


def _what_was_cut(cells: int, limit: int, rows: int, columns: int) -> str | None:
    parts: list[str] = []
    if cells:
        cut = f"{counted(cells, 'cell')} cut to {limit} characters"
        parts.append(f"{cut} (raise max_cell_chars, or name fewer columns)")
    if rows:
        parts.append(f"{counted(rows, 'row')} left out to stay short (next_offset continues)")
    if columns:
        parts.append(f"{counted(columns, 'column')} left out (name those you need in columns)")
    return "; ".join(parts) or None
