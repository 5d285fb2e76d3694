"""What came out of a job: counts, distributions, suspicious rows and a few samples, never all rows."""

from collections.abc import Sequence
from typing import Any

from sutro_mcp.results.parquet import UnsupportedError
from sutro_mcp.results.request_models import LocalArtifact, Summary, SummaryRequest
from sutro_mcp.results.rows.json_values import times_as_text
from sutro_mcp.results.rows.reader import Rows, open_rows
from sutro_mcp.results.worker.protocol import Channel, NullChannel

from . import Summariser
from .ahead import one_ahead


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
