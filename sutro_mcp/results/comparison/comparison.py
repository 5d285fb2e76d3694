"""Compares two runs and makes the answer: a few thousand characters, whatever the size of the runs.

What there is no room for is counted. Every number is exact: where too many different moves would have to be
counted, none is given, and that is said.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import duckdb

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.name_matching import matching
from sutro_mcp.results.request_models import Cell, CompareRequest, Comparison, ComparisonTable
from sutro_mcp.results.rows.cells import cell
from sutro_mcp.results.rows.char_budget import fit
from sutro_mcp.results.sql.duckdb_engine import LoadedTables
from sutro_mcp.results.sql.results_view import OUTPUT
from sutro_mcp.results.sql.sql_errors import said
from sutro_mcp.results.worker.protocol import Channel
from sutro_mcp.untrusted_text import quote, shorten, visible

from .change_figures import MOST_MOVES, Comparing, Move, Pair
from .compared_fields import INPUTS, ComparedField, ComparedTables, Side, compared_tables
from .pairing import BATCH_BYTES, Pairing, RowCounts

_FIELDS_CHARS = 1_700
_MOVES_CHARS = 1_400
_SAMPLES_CHARS = 1_100
_NAMES_CHARS = 220
_MOST_LISTED = 30
_MOST_MOVES = 30
_MOST_FIELDS_OF_SAMPLE = 4
_NAME = 60
_TYPE = 40
_CELL = 120


def compare(
    loaded: LoadedTables, request: CompareRequest, channel: Channel, batch_bytes: int = BATCH_BYTES
) -> Comparison:
    """The comparison of the tables `before` and `after`, rows matched by `request.by`.

    Raises InvalidArgumentError for a column that a run lacks.
    """
    loaded.use_artifacts(" ".join(loaded.columns))
    before, after = loaded.opened["before"], loaded.opened["after"]
    by = _column(request.by, [name for name, _ in before.columns])
    try:
        tables = compared_tables(before, after, by)
    except KeyError as lacking:
        happened = _no_column(loaded, by, lacking.args)
        advice = f"Use row, inputs or a column that both have. {loaded.listing}"
        raise InvalidArgumentError(request.doing(*loaded.specs), happened, advice) from None
    try:
        return _compare(loaded, tables, by, channel, batch_bytes)
    except (duckdb.Error, RuntimeError, MemoryError) as error:
        raise InvalidArgumentError(
            request.doing(*loaded.specs), said(error, "", ()), request.advice
        ) from None


def _compare(
    loaded: LoadedTables, tables: ComparedTables, by: str, channel: Channel, batch_bytes: int
) -> Comparison:
    connection = loaded.connection
    pairing = Pairing(connection, tables, batch_bytes)
    comparing = Comparing(connection, tables.fields)
    for done, count in pairing.batches():
        comparing.add()
        rows = max(pairing.before.rows, pairing.after.rows)
        channel.tell({"rows": [rows * done // count, rows]})
    comparing.add_up_moves()
    notes = ["some JSON fields are no columns and were not compared"] if loaded.more_fields else []
    if rounded := [each.field.name for each in comparing.fields if each.rounded]:
        names = ", ".join(_names(rounded, "fields with such integers", notes) or [])
        notes.append(f"integers beyond 2^53 were compared with fractions, as these, in {names}")
    unbounded = [each.field.name for each in comparing.fields if each.differ and each.unbounded]
    if unbounded:
        names = ", ".join(_names(unbounded, "fields with such differences", notes) or [])
        notes.append(f"differences of 1e150 and more, as from infinity, are not in the mean of {names}")
    ranked = sorted(
        (n for n, each in enumerate(comparing.fields) if each.differ),
        key=lambda n: (-comparing.fields[n].differ, n),
    )
    most = max(_MOST_MOVES // max(len(ranked), 1), 2)
    found = {n: comparing.moves(n, min(most, 8)) for n in ranked[:_MOST_MOVES]}
    fields = _fields(comparing, ranked, found, notes)
    moves, samples = _examples(connection, comparing, found, by, notes)
    unchanged = [each.field.name for each in comparing.fields if each.present and not each.differ]
    without = [each.field.name for each in comparing.fields if not each.present and each.field.name != OUTPUT]
    return Comparison(
        runs=_runs(pairing, by),
        compared_rows=comparing.pairs,
        changed_rows=comparing.changed,
        same_inputs=comparing.same_inputs if tables.inputs else None,
        different_inputs=comparing.different_inputs if tables.inputs else None,
        fields=fields,
        moves=moves,
        samples=samples,
        unchanged=_names(unchanged, "unchanged fields", notes),
        without_values=_names(without, "fields without values", notes),
        only_before=_names(tables.only_before, "fields of the run before alone", notes),
        only_after=_names(tables.only_after, "fields of the run after alone", notes),
        shortened="; ".join(notes) or None,
    )


def _runs(pairing: Pairing, by: str) -> ComparisonTable:
    columns = ["run", "rows", "only_here", *([] if by == "row" else ["null_key", "repeated_key"])]

    def line(run: str, counts: RowCounts) -> list[Cell]:
        numbers = [counts.rows, counts.only_here, counts.null_key, counts.repeated_key]
        return [run, *numbers[: len(columns) - 1]]

    return ComparisonTable(
        columns=columns, rows=[line("before", pairing.before), line("after", pairing.after)]
    )


def _fields(
    comparing: Comparing, ranked: Sequence[int], found: Mapping[int, tuple[int, list[Move]]], notes: list[str]
) -> ComparisonTable | None:
    """The fields that changed, those that changed most before."""
    columns = ["field", "type", "rows", "agree", "agree_share", "moves"]
    chosen = [comparing.fields[n] for n in ranked]
    if has_gaps := any(each.lost or each.gained for each in chosen):
        columns += ["lost", "gained"]
    if has_numbers := any(each.numbers for each in chosen):
        columns += ["mean_difference", "sd_difference"]

    def line(n: int) -> list[Cell]:
        each = comparing.fields[n]
        agree = each.present - each.differ
        # Cut, not rounded: a field that changed at all does not agree in all.
        share = math.floor(agree / each.present * 10_000) / 10_000
        moves = f"over {MOST_MOVES:,}" if each.has_many_moves else found[n][0] if n in found else None
        cells: list[Cell] = [each.field.name, each.field.type, each.present, agree, share, moves]
        cells += [each.lost, each.gained] if has_gaps else []
        if has_numbers:
            cells += [_rounded(each.mean_difference), _rounded(each.deviation)]
        return cells

    return _table(columns, [line(n) for n in ranked], _FIELDS_CHARS, "changed fields", notes)


def _examples(
    connection: duckdb.DuckDBPyConnection,
    comparing: Comparing,
    found: Mapping[int, tuple[int, list[Move]]],
    by: str,
    notes: list[str],
) -> tuple[ComparisonTable | None, ComparisonTable | None]:
    """The largest moves, and the first rows that changed."""
    moves = [(n, move) for n, (count, each) in found.items() for move in each if move.rows > 1 or count <= 3]
    pairs = {*comparing.samples, *(move.first for _, move in moves)}
    numbers = {n: comparing.fields[n].field for n in found}
    before = _values(connection, "before", {row for row, _ in pairs}, numbers)
    after = _values(connection, "after", {row for _, row in pairs}, numbers)

    def line(n: int, pair: Pair) -> list[Cell]:
        (_, old), (_, new) = before[pair[0]][n], after[pair[1]][n]
        return [numbers[n].name, old, new]

    # By number the rows have the same one.
    rows = ["row"] if by == "row" else ["row", "row_after"]
    largest = [[*line(n, move.first), move.rows, *move.first[: len(rows)]] for n, move in moves]
    some: list[list[Cell]] = []
    for pair in comparing.samples:
        changed = [n for n in found if before[pair[0]][n][0] != after[pair[1]][n][0]]
        some += [[*pair[: len(rows)], *line(n, pair)] for n in changed[:_MOST_FIELDS_OF_SAMPLE]]
    first = [f"first_{name}" for name in rows]
    return (
        _table(["field", "before", "after", "rows", *first], largest, _MOVES_CHARS, "moves", notes),
        _table([*rows, "field", "before", "after"], some, _SAMPLES_CHARS, None, notes),
    )


def _values(
    connection: duckdb.DuckDBPyConnection, run: str, rows: Iterable[int], fields: Mapping[int, ComparedField]
) -> dict[int, dict[int, tuple[Any, Cell]]]:
    """The values of these fields as they are compared and as they are shown, by row and field."""
    if not fields or not (chosen := ", ".join(map(str, rows))):
        return {}
    sides: list[Side] = [getattr(field, run) for field in fields.values()]
    values = ", ".join([*(side.compared for side in sides), *(side.shown for side in sides)])
    found = connection.execute(f"SELECT row, {values} FROM {run} WHERE row IN ({chosen})").fetchall()
    return {
        row: {
            n: (compared, cell(shown))
            for n, compared, shown in zip(fields, both[: len(sides)], both[len(sides) :], strict=True)
        }
        for row, *both in found
    }


def _table(
    columns: list[str], rows: list[list[Cell]], max_chars: int, what: str | None, notes: list[str]
) -> ComparisonTable | None:
    """As many rows as there is room for; None for none."""
    if not rows:
        return None
    lines = [[_short(name, value) for name, value in zip(columns, row, strict=True)] for row in rows]
    fitted = fit(columns, lines, max_chars, _CELL)
    if what and len(fitted.rows) < len(rows):
        notes.append(f"{len(rows) - len(fitted.rows):,} of {len(rows):,} {what} not shown")
    return ComparisonTable(columns=fitted.columns, rows=fitted.rows)


def _short(column: str, value: Cell) -> Cell:
    limit = {"field": _NAME, "type": _TYPE}.get(column)
    return shorten(visible(value), limit)[0] if limit and isinstance(value, str) else value


def _names(names: Sequence[str], what: str, notes: list[str]) -> list[str] | None:
    room, shown = _NAMES_CHARS, list[str]()
    for name in names[:_MOST_LISTED]:
        short = shorten(visible(name), _NAME)[0]
        room -= len(short) + 4
        if shown and room < 0:
            break
        shown.append(short)
    if len(shown) < len(names):
        notes.append(f"{len(names) - len(shown):,} of {len(names):,} {what} not named")
    return shown or None


def _rounded(value: float | None) -> float | None:
    """To six digits."""
    return None if value is None else float(f"{value:.6g}")


def _column(by: str, names: Sequence[str]) -> str:
    """The column that `by` is: as it is shown or was carried, else whatever its case and accents."""
    exact = [name for name in (by, f"carried.{by}") if name in names]
    return exact[0] if exact else matching(by, names)


def _no_column(loaded: LoadedTables, by: str, lacking: Sequence[str]) -> str:
    where = "neither run has" if len(lacking) > 1 else f"the run {lacking[0]} does not have"
    happened = f"{where} {'inputs in its results' if by == INPUTS else f'a column {quote(by, 60)}'}"
    before, after = ({name for name, _ in loaded.opened[run].columns} for run in ("before", "after"))
    if near := get_close_matches(by, sorted(before & after), 3):
        happened += f"; the nearest names are {', '.join(quote(name, 60) for name in near)}"
    return happened
