"""A summary in one pass over batches of columns, in memory that does not grow with the rows.

Small results are counted exactly. Where there are more distinct values than a sketch holds, the summary says
which of its numbers are estimates; rows, nulls, lengths, extremes, means and what is wrong with single rows
stay exact at any size. What is held is told by the values alone, so batches may be cut anywhere.
"""

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from sutro_mcp.results.parquet import UnsupportedError
from sutro_mcp.results.request_models import SUMMARY_CHARS, LocalArtifact, Sample, Summary, SummaryRequest
from sutro_mcp.results.rows.artifact_frame import times_as_text
from sutro_mcp.results.rows.cells import cell
from sutro_mcp.results.rows.json_fields import Path, at, unwrap
from sutro_mcp.results.rows.json_in_text import read_output
from sutro_mcp.results.rows.reader import Rows, open_rows
from sutro_mcp.results.worker.protocol import Channel, NullChannel
from sutro_mcp.untrusted_text import visible

from .batches import one_ahead
from .column_profile import Column
from .distinct_sketch import Budget
from .output_profile import Outputs
from .samples import choose
from .summary_budget import MOST_COLUMNS, fit_summary

# What is made of a batch may be several times its size.
_MOST_ROWS = 262_144
_MOST_BYTES = 16 * 2**20

Cells = Callable[[str, Sequence[int]], Sequence[Any]]


def make_summary(artifact: LocalArtifact, request: SummaryRequest, channel: Channel | None = None) -> Summary:
    """The summary of a whole artifact, at most `max_chars` long as JSON text."""
    channel = channel or NullChannel()
    with open_rows(artifact, request.output_column, channel) as table:
        try:
            return _summarise(table, request, channel)
        except UnsupportedError:
            return _summarise(table.whole(), request, channel)


def _summarise(table: Rows, request: SummaryRequest, channel: Channel) -> Summary:
    summariser = Summariser(
        table.names,
        table.height,
        request.output_column,
        json_schema=request.expected.json_schema,
        unpack_json=request.unpack_json,
    )
    with one_ahead(table.batches(summariser.columns)) as batches:
        for name, first_row, values in batches:
            summariser.add(name, first_row, values)
            if name == request.output_column:
                channel.tell({"rows": [first_row + len(values), table.height]})

    def cells(name: str, rows: Sequence[int]) -> list[Any]:
        parts = (times_as_text(table.part([name], row, 1)) for row in rows)
        # Indexing would give a list as a Series.
        return [part.get_column(name).to_list()[0] for part in parts]

    return summariser.result(cells, expected_rows=request.expected.num_rows, max_chars=request.max_chars)


class Summariser:
    """Takes a result apart column by column; ask for the result once every row of `columns` was added.

    `columns` are those that have to be added: of very many, the last are never shown.
    """

    def __init__(
        self,
        columns: Sequence[str],
        row_count: int,
        output_column: str,
        *,
        json_schema: dict[str, Any] | None = None,
        unpack_json: bool = True,
    ) -> None:
        carried = [name for name in columns if name != output_column]
        budget = self._budget = Budget(row_count)
        self._row_count = row_count
        self._output = output_column
        self._outputs = Outputs(output_column, budget, json_schema, unpack=unpack_json, carried=carried)
        self._carried = {name: Column(visible(name), budget) for name in carried[: MOST_COLUMNS - 1]}
        self._unshown = len(carried) - len(self._carried)
        self._added = dict.fromkeys((output_column, *self._carried), 0)
        self._has_inputs = "inputs" in columns
        self._is_text = True
        self.columns = [name for name in columns if name in self._added]

    def add(self, name: str, first_row: int, values: pl.Series) -> None:
        """The next batch of one column, of any size. Raises ValueError unless it follows the last one."""
        if name not in self._added:
            return
        if self._added[name] != first_row:
            raise ValueError(f"rows from {self._added[name]} were expected, not from {first_row}")
        self._added[name] += len(values)
        # Polars takes some names for patterns.
        values = values.alias("values")
        size = max(int(values.estimated_size()), 1)
        step = min(_MOST_ROWS, max(1, len(values) * _MOST_BYTES // size))
        for start in range(0, len(values), step):
            self._add(name, first_row + start, values.slice(start, step))

    def _add(self, name: str, first_row: int, values: pl.Series) -> None:
        # 32 bits, as polars itself numbers rows.
        rows = pl.int_range(first_row, first_row + len(values), dtype=pl.UInt32, eager=True)
        if name != self._output:
            self._carried[name].add(rows, values)
            return
        if values.dtype.base_type() in (pl.Null, pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        if values.dtype == pl.String:
            self._outputs.add(rows, values)
        else:
            self._is_text = False
            self._outputs.text.add(rows, values)

    def result(
        self, cells: Cells, *, expected_rows: int | None = None, max_chars: int = SUMMARY_CHARS
    ) -> Summary:
        """The summary, at most `max_chars` long as JSON text.

        `cells` gives the cells of a column in the rows asked for, which ascend; it is called once at most for
        each column. Raises ValueError if rows are missing.
        """
        if missing := [name for name, rows in self._added.items() if rows != self._row_count]:
            raise ValueError(
                f"rows of {missing[0]!r} are missing: {self._added[missing[0]]} of {self._row_count}"
            )
        self._budget.settle()
        columns, unshown, more = self._columns()
        tops = [column.top() for _, _, column in columns]
        chosen = choose(self._row_count, self._outputs.extremes)
        wanted: dict[str, set[int]] = {self._output: set(chosen)}
        if self._has_inputs:
            wanted["inputs"] = set(chosen)
        for (name, _, _), top in zip(columns, tops, strict=True):
            wanted.setdefault(name, set()).update(item.row for item in top)
        found = {
            name: dict(zip(sorted(rows), cells(name, sorted(rows)), strict=True))
            for name, rows in wanted.items()
            if rows
        }
        objects = {row: _object(text) for row, text in found.get(self._output, {}).items()}
        suspicious, suspicious_rows = self._outputs.suspicions() if self._is_text else ([], 0)
        summary = Summary(
            row_count=self._row_count,
            expected_rows=expected_rows,
            outputs=self._outputs.kind if self._is_text else "not text",
            columns=[
                column.summary(
                    top,
                    [found[name][item.row] if path is None else at(objects[item.row], path) for item in top],
                    column.sql_type if path is None else self._outputs.sql_type(path),
                )
                for (name, path, column), top in zip(columns, tops, strict=True)
            ],
            wrapped=dict(self._outputs.wrapped) or None,
            suspicious_rows=suspicious_rows,
            suspicious=suspicious,
            samples=[
                Sample(
                    row=row,
                    why=why,
                    output=_shown(found[self._output][row]),
                    input=_shown(found["inputs"][row]) if self._has_inputs else None,
                )
                for row, why in chosen.items()
            ],
        )
        names = [column.sql_name for _, _, column in columns]
        return fit_summary(summary, max_chars, names, unshown=unshown, more=more)

    def _columns(self) -> tuple[list[tuple[str, Path | None, Column]], int, bool]:
        """Columns and fields to show, how many are not, and whether there are still more."""
        outputs = self._outputs
        columns: list[tuple[str, Path | None, Column]] = [(self._output, None, outputs.text)]
        unshown, more = self._unshown, False
        if self._is_text and outputs.structured:
            outputs.name_fields()
            columns = [(self._output, path, column) for path, column in outputs.fields.items()]
            fields, more = outputs.unshown
            unshown += fields
        columns += [(name, None, column) for name, column in self._carried.items()]
        return columns[:MOST_COLUMNS], unshown + max(len(columns) - MOST_COLUMNS, 0), more


def _object(text: Any) -> dict[str, Any] | None:
    found, _ = read_output(text) if isinstance(text, str) else (None, None)
    return None if found is None else unwrap(found)


def _shown(value: Any) -> str | None:
    shown = cell(value)
    return shown if shown is None or isinstance(shown, str) else str(shown)
