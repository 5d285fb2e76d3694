"""Distinct values and their counts by hash, in bounded memory.

A column is fed batch by batch and only numbers stay: a value's hash, its count and the first row that holds
it. Whoever wants to show the value itself reads that row again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import polars as pl

from .frequent_values import Frequent, count

# With k hashes the standard error of an estimate is 1 / sqrt(k - 2): 0.2 % and 0.8 %.
_MOST = 262_144
_LEAST = 16_384
_ALL = 1_048_576
_WAITING = (4_096, 131_072)
_SAMPLED = (4_096, 65_536)
_HASHES = 2.0**64


class Budget:
    """The entries that all sketches and samples of a summary share.

    Sketches that need little leave it to the others. How much each may hold falls as values are added, never
    to less than the values of all batches together will leave it.
    """

    def __init__(self, rows: int = 0) -> None:
        """Of a summary of so many rows."""
        self.rows = rows
        self.sketches: list[Sketch] = []
        self.samples = 0

    def drop(self, sketches: Iterable["Sketch"]) -> None:
        """Sketches that are needed no more."""
        for sketch in sketches:
            self.sketches.remove(sketch)

    @property
    def held(self) -> int:
        """Entries that each sketch may hold."""
        room, left = _ALL, len(self.sketches)
        for height in sorted(sketch.height for sketch in self.sketches):
            if height > room // left:
                return min(_MOST, max(_LEAST, room // left))
            room, left = room - height, left - 1
        return _MOST

    @property
    def waiting(self) -> int:
        """Cells that each sketch may leave unmerged."""
        least, most = _WAITING
        return min(most, max(least, _ALL // max(len(self.sketches), 1)))

    @property
    def sampled(self) -> int:
        """Rows that each sample may hold."""
        least, most = _SAMPLED
        return min(most, max(least, _ALL // 4 // max(self.samples, 1)))

    def settle(self) -> None:
        """After the last batch: only now is it known how much each sketch may hold."""
        for _ in range(2):
            for sketch in self.sketches:
                sketch.merge()


@dataclass(frozen=True)
class Top:
    """A frequent value: the first row known to hold it, and its count, at least that if not `exact`."""

    row: int
    count: int
    exact: bool


def hashes(values: pl.Series) -> pl.Series:
    """64 bits for each value. Hashed twice: one round leaves patterns of numbers visible in an estimate."""
    return values.hash(1).hash(2)


class Sketch:
    """The smallest hashes of a column's values, with exact counts: all of them while there are few enough.

    What is kept depends on the set of values alone, not on their order or on the batches they came in: of
    the values with a hash up to the threshold every occurrence was counted. They are a uniform sample of the
    distinct values, so their number and the threshold tell how many there are (bottom-k, KMV).
    """

    def __init__(self, budget: Budget) -> None:
        budget.sketches.append(self)
        self._budget = budget
        self._threshold: int | None = None
        self._kept: pl.DataFrame | None = None
        self._fresh: list[pl.DataFrame] = []
        self._waiting = 0
        self._frequent: Frequent | None = None
        self.cells = 0

    def add(self, cells: pl.DataFrame) -> None:
        """Cells that are not null: `h` (hash), `row`, and what else belongs to a value."""
        self.cells += cells.height
        if self._threshold is not None and self._frequent is not None:
            self._frequent.add(cells)
            cells = cells.filter(_held(self._threshold))
        self._fresh.append(cells)
        self._waiting += cells.height
        # Merged rarely, so that the cost of a merge is shared by many batches.
        if self._waiting >= self._budget.waiting:
            self.merge()

    @property
    def height(self) -> int:
        """Number of entries held."""
        return 0 if self._kept is None else self._kept.height

    @property
    def complete(self) -> bool:
        """Whether every distinct value is held, with its exact count."""
        return self._threshold is None

    @property
    def distinct(self) -> int:
        """Number of distinct values: exact if complete."""
        if self._threshold is None:
            return self.height
        return min(round((self.height - 1) / self.share), self.cells)

    @property
    def share(self) -> float:
        """The share of all distinct values that is held."""
        return 1.0 if self._threshold is None else (self._threshold + 1) / _HASHES

    def values(self) -> pl.DataFrame:
        """`h`, `n` (count), `row` (first) and what else was given, for each value held, in no order."""
        return pl.DataFrame() if self._kept is None else self._kept

    def counts(self, condition: pl.Expr) -> tuple[int, int]:
        """Number of cells whose value meets `condition`, which may ask for its count, and of such values.

        Exact if complete.
        """
        if self._kept is None:
            return 0, 0
        held = self._kept.filter(condition)
        if self._threshold is None or self._frequent is None:
            return _total(held), held.height
        # What is frequent is counted; only the rest is told from the sample, where a value may be missing.
        frequent = self._frequent.values()
        rare = held.join(frequent, on="h", how="anti")
        counted = held.join(frequent, on="h", how="semi")
        unheld = frequent.filter(condition, ~_held(self._threshold))
        return (
            _total(counted) + _total(unheld) + round(_total(rare) / self.share),
            counted.height + unheld.height + round(rare.height / self.share),
        )

    def top(self, limit: int) -> list[Top]:
        """The values that occur most often, and more than once; ties in the order of their first rows."""
        if self._kept is None:
            return []
        found = self._kept.select("n", "row", pl.lit(True).alias("whole"))
        if self._threshold is not None and self._frequent is not None:
            unheld = self._frequent.values().filter(~_held(self._threshold))
            found = pl.concat([found, unheld.select("n", "row", "whole")])
        found = found.filter(pl.col("n") > 1)
        found = found.sort("n", "row", descending=[True, False]).head(limit)
        return [Top(row, n, exact) for n, row, exact in found.iter_rows()]

    def merging(self, cells: pl.DataFrame, fresh: pl.DataFrame, kept: pl.DataFrame) -> None:
        """Called before values already `kept` are joined by `fresh` ones, counted from `cells`."""

    def merge(self) -> None:
        """Counts the cells that wait, and drops what the budget has no room for."""
        if self._fresh:
            cells = pl.concat(self._fresh)
            self._fresh, self._waiting = [], 0
            fresh = count(cells)
            kept = fresh.clear() if self._kept is None else self._kept
            self.merging(cells, fresh, kept)
            # A join takes half the memory of counting all again. No fresh row is before one that is kept.
            more = kept.join(fresh.select("h", more="n"), on="h", how="left")
            more = more.with_columns(pl.col("n") + pl.col("more").fill_null(0)).drop("more")
            self._kept = pl.concat([more, fresh.join(kept, on="h", how="anti")])
        if self._kept is not None and self._kept.height > (room := self._budget.held):
            if self._threshold is None:
                self._frequent = Frequent(self._kept)
            self._threshold = cast("int", self._kept["h"].sort()[room - 1])
            self._kept = self._kept.filter(_held(self._threshold))


def _held(threshold: int) -> pl.Expr:
    return pl.col("h") <= pl.lit(threshold, pl.UInt64)


def _total(entries: pl.DataFrame) -> int:
    return int(entries["n"].cast(pl.Int64).sum())
