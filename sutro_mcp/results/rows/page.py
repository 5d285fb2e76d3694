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
from sutro_mcp.results.name_matching import composed
from sutro_mcp.results.request_models import LocalArtifact, Page, PageRequest
from sutro_mcp.results.worker.protocol import Channel, NullChannel
from sutro_mcp.untrusted_text import quote, visible

from .artifact_frame import times_as_text
from .cells import cell, parse_object
from .char_budget import MAX_COLUMNS, MAX_NAME, MIN_NAME, Fitted, fit
from .column_roles import field_names
from .json_fields import Path, at, paths, unwrap
from .json_in_text import read_output
from .reader import Rows, open_rows

_MAX_LISTED = 4_000
# Not names that any column or field can have.
_OBJECT, _UNREAD, _WRAPPED = object(), object(), object()


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
    rows, names, fields = _records(part, table.names, request)
    chosen, unknown = _choose(names, fields, table, request)
    page = _fit(rows, chosen, fields, table.height, request)
    words = [_unknown(unknown)] if unknown else []
    if request.output_column not in chosen:
        for kind, what in (
            (_UNREAD, "are no JSON objects"),
            (_WRAPPED, "have text around their JSON object"),
        ):
            if count := sum(bool(row.get(kind)) for row in rows[: len(page.rows)]):
                seen = f"name {request.output_column} in columns to see them"
                words.append(f"{count} of these rows {what} ({seen})")
    return page.model_copy(update={"shortened": "; ".join(filter(None, (page.shortened, *words))) or None})


def _needed(names: Sequence[str], request: PageRequest) -> list[str]:
    """The columns that have to be read: all, or those asked for and the outputs, if any other is a field."""
    if not request.columns:
        return list(names)
    asked = {*map(composed, request.columns)}
    shown = {name: {composed(name), composed(visible(name))} for name in names}
    if asked.difference(*shown.values()):
        asked.add(composed(request.output_column))
    return [name for name in names if shown[name] & asked]


def _records(
    part: pl.DataFrame, columns: Sequence[str], request: PageRequest
) -> tuple[list[dict[Any, Any]], list[str], dict[str, Path]]:
    """Rows as dicts, the column names of the page in order, and fields by the names they can be asked for."""
    rows: list[dict[Any, Any]] = [dict(zip(part.columns, row, strict=True)) for row in part.iter_rows()]
    own = request.output_column
    if not request.unpack_json or part.schema.get(own) != pl.String:
        return rows, part.columns, {}
    read = [read_output(text) for text in part.get_column(own)]
    objects = [found for found, _ in read if found]
    for row, (found, wrapping) in zip(rows, read, strict=True):
        row[_UNREAD] = found is None and row[own] is not None
        row[_WRAPPED] = wrapping is not None
    if not objects:
        return rows, part.columns, {}
    keys = dict.fromkeys(key for found in objects for key in found)
    tops = field_names(((key,) for key in keys), _carried(columns, own), own)
    shown = {key: name for (key,), name in tops.items()}
    for row, (found, _) in zip(rows, read, strict=True):
        if found is None:
            continue
        if own not in request.columns:
            del row[own]
        row.update({shown[key]: value for key, value in found.items()})
    names = [name for column in part.columns for name in (shown.values() if column == own else [column])]
    if any(row[_UNREAD] for row in rows):
        names.append(own)
    if not request.columns:
        return rows, names, {}
    for row, (found, _) in zip(rows, read, strict=True):
        row[_OBJECT] = found and unwrap(found)
    return rows, names, _askable(map(unwrap, objects), columns, request)


def _askable(
    objects: Iterable[dict[str, Any]], columns: Sequence[str], request: PageRequest
) -> dict[str, Path]:
    """The fields of these objects by their names, and by those that they have where they clash."""
    own = request.output_column
    every = dict.fromkeys(path for found in objects for path in paths(found))
    named = field_names(every, _carried(columns, own), own)
    askable = {name: path for path, name in named.items()}
    for path in named:
        askable.setdefault(f"{own}.{'.'.join(path)}", path)
    return {visible(name): path for name, path in askable.items()} | askable


def _carried(columns: Sequence[str], own: str) -> list[str]:
    return [name for name in columns if name != own]


def _choose(
    names: list[str], fields: dict[str, Path], table: Rows, request: PageRequest
) -> tuple[list[str], list[str]]:
    """The columns to show, and those among them that may not exist: not all rows were looked at."""
    if not request.columns:
        return names, []
    wanted = list(dict.fromkeys(request.columns))
    stored = (*table.names, *names)
    # As they are written, as they are shown, and with their accents composed otherwise.
    known = {composed(name): name for name in (*fields, *stored)}
    known |= {composed(visible(name)): name for name in stored} | {name: name for name in (*fields, *stored)}
    missing, is_certain = _nowhere(
        {name for name in wanted if name not in known and composed(name) not in known}, table, request
    )
    if missing and is_certain:
        first = next(name for name in wanted if name in missing)
        own = request.output_column
        choices = [*_carried(table.names, own), *(n for n in names if n not in table.names or n == own)]
        raise InvalidArgumentError(
            f"show column {quote(first, MAX_NAME)}",
            "the results have no such column or field",
            f"Choose from: {quote(', '.join(choices[:MAX_COLUMNS]), _MAX_LISTED)}",
        )
    chosen = [known.get(name) or known.get(composed(name), name) for name in wanted]
    return list(dict.fromkeys(chosen)), [name for name in wanted if name in missing]


def _unknown(names: list[str]) -> str:
    listed = ", ".join(quote(name, MIN_NAME) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"no row looked at has {listed}{more} (shown as null; not all rows were looked at)"


def _value(row: dict[Any, Any], name: str, fields: dict[str, Path]) -> Any:
    """A cell by its column, by the name of its field, or by a path through carried columns or deeper."""
    if name in row:
        return row[name]
    if name in fields:
        return at(row[_OBJECT], fields[name])
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
    shapes: set[tuple[Path, ...]] = set()
    batches, is_whole = table.searched(request.output_column)
    for outputs in batches:
        if outputs.dtype != pl.String:
            return names, True
        for text in cast("Iterable[str | None]", outputs):
            if not names:
                break
            found, _ = read_output(text)
            if found:
                shape = tuple(paths(unwrap(found)))
                if shape not in shapes:
                    shapes.add(shape)
                    here = {*map(composed, _askable([unwrap(found)], table.names, request))}
                    names = {name for name in names if composed(name) not in here}
                names = {name for name in names if "." not in name or _value(found, name, {}) is None}
    return names, is_whole


def _fit(
    rows: list[dict[Any, Any]],
    names: list[str],
    fields: dict[str, Path],
    row_count: int,
    request: PageRequest,
) -> Page:
    """As much of the rows as the budget allows."""
    shown = names[:MAX_COLUMNS]
    if request.columns:
        cells = ([cell(_value(row, name, fields)) for name in shown] for row in rows)
    else:
        cells = ([cell(row.get(name)) for name in shown] for row in rows)
    fitted = fit(shown, cells, request.max_chars, request.max_cell_chars)
    end = request.offset + len(fitted.rows)
    return Page(
        columns=fitted.columns,
        rows=fitted.rows,
        row_count=row_count,
        offset=request.offset,
        next_offset=end if end < row_count else None,
        shortened=_what_was_cut(
            fitted, request.max_cell_chars, len(rows) - len(fitted.rows), len(names) - len(fitted.columns)
        ),
    )


def _what_was_cut(fitted: Fitted, max_cell_chars: int, rows: int, columns: int) -> str | None:
    parts: list[str] = []
    if fitted.cuts:
        # What the budget cut is not longer with a higher limit.
        if fitted.cell_chars == max_cell_chars:
            way = "raise max_cell_chars, or name fewer columns"
        elif len(fitted.columns) > 1:
            way = "name fewer columns"
        else:
            way = "query_job_results reads on, with substr"
        parts.append(f"{counted(fitted.cuts, 'cell')} cut to {fitted.cell_chars} characters ({way})")
    if rows:
        parts.append(f"{counted(rows, 'row')} left out to stay short (next_offset continues)")
    if columns:
        parts.append(f"{counted(columns, 'column')} left out (name those you need in columns)")
    return "; ".join(parts) or None
