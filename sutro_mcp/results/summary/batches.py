"""Batches of rows: read one ahead of the work on them, and their texts, each once where many are alike."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import polars as pl

from .distinct_sketch import hashes

T = TypeVar("T")

# With fewer different texts than this share, finding them costs less than to parse them all.
_DISTINCT = 0.6


class Batch:
    """`texts` that are to be looked at one by one. The place of a text is its index there."""

    def __init__(self, rows: pl.Series, texts: pl.Series) -> None:
        self._rows = rows
        self._cells: pl.DataFrame | None = None
        self.texts = texts
        cells = pl.DataFrame({"h": hashes(texts), "row": rows}).with_row_index("at")
        distinct = cells.group_by("h", maintain_order=True).agg(pl.col("at").first())
        if distinct.height < _DISTINCT * len(texts):
            self.texts = texts.gather(distinct["at"])
            places = distinct.select("h").with_row_index("place")
            self._every = list(range(distinct.height))
            self._cells = cells.select("h", "row").join(places, on="h", maintain_order="left")

    def rows_of(self, places: Sequence[int]) -> pl.Series:
        """All rows that hold these texts, in ascending order; `places` ascend."""
        if self._cells is None:
            return self._rows if len(places) == len(self._rows) else self._rows.gather(list(places))
        if len(places) == len(self.texts):
            return self._cells["row"]
        wanted = pl.Series(places, dtype=pl.UInt32)
        return self._cells.filter(pl.col("place").is_in(wanted.implode()))["row"]

    def expand(self, places: Sequence[int], values: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The rows of these texts and a value for each, from one value for each text."""
        # In any order: objects of different keys are taken apart one kind after the other.
        if self._cells is None:
            return self._rows.gather(list(places)), values
        if list(places) == self._every:
            return self._cells["row"], values.gather(self._cells["place"])
        at = pl.DataFrame({"place": pl.Series(places, dtype=pl.UInt32)}).with_row_index("at")
        found = self._cells.join(at, on="place")
        return found["row"], values.gather(found["at"])


@contextmanager
def one_ahead(items: Iterator[T]) -> Generator[Iterator[T]]:
    """The same items; while one is worked on, a thread makes the next, and no more than that.

    Polars decodes while polars counts. What `items` raises is raised in its place; when the block ends,
    nothing is being made any more.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:

        def made() -> Iterator[T]:
            coming = thread.submit(next, items, None)
            while (item := coming.result()) is not None:
                coming = thread.submit(next, items, None)
                yield item

        yield made()
