"""A summary of columns in memory, fed in batches of one's own choice."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from sutro_mcp.results import Summary
from sutro_mcp.results.summary.summariser import Summariser

OUTPUT = "inference_result"
PROSE = "All of this is longer than eighty characters, which is where repeating oneself starts to look odd."


def summarise(
    columns: Mapping[str, pl.Series] | pl.Series, cuts: Iterable[int] = (), **options: Any
) -> Summary:
    """The summary of these columns (a series is the outputs), cut into batches before the rows in `cuts`."""
    table = {OUTPUT: columns} if isinstance(columns, pl.Series) else dict(columns)
    height = len(table[OUTPUT])
    summariser = Summariser(list(table), height, OUTPUT, **options)
    bounds = sorted({0, height, *(cut for cut in cuts if 0 < cut < height)})
    for start, stop in pairwise(bounds):
        for name in summariser.columns:
            summariser.add(name, start, table[name].slice(start, stop - start))

    def cells(name: str, rows: Sequence[int]) -> list[Any]:
        return table[name].gather(list(rows)).to_list()

    return summariser.result(cells, max_chars=10**6)
