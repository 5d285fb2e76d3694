"""Counts of frequent values once there are more distinct ones than a sketch holds."""

import polars as pl

_MOST = 1_024
_WAITING = 1_024
# A value in half a percent of all rows, which is what a summary shows, is in as many of at least one batch.
_SHARE = 0.0025


def count(cells: pl.DataFrame) -> pl.DataFrame:
    """Each value of `cells` once: `h`, `n` (how often), its first `row`, and what else belongs to it."""
    rest = (pl.col(name).first() for name in cells.columns if name not in ("h", "row"))
    return cells.group_by("h").agg(pl.col("row").min(), *rest, n=pl.len().cast(pl.UInt32))


class Frequent:
    """The most frequent values by hash.

    Counts are exact for values that were frequent while all values were still counted. Others are counted
    from the first batch in which they are frequent; `whole` tells them apart.
    """

    def __init__(self, exact: pl.DataFrame) -> None:
        self._kept = self._cut(exact.filter(pl.col("n") > 1).with_columns(whole=pl.lit(True)))
        self._fresh: list[pl.DataFrame] = []

    def add(self, cells: pl.DataFrame) -> None:
        """A batch of cells that are not null."""
        least = max(2, round(_SHARE * cells.height))
        is_kept = pl.col("h").is_in(self._kept["h"].implode())
        found = count(cells).filter((pl.col("n") >= least) | is_kept).with_columns(whole=pl.lit(False))
        if found.height:
            self._fresh.append(found.select(self._kept.columns))
        if sum(frame.height for frame in self._fresh) > _WAITING:
            self._merge()

    def values(self) -> pl.DataFrame:
        """`h`, `n`, `row`, `whole` and what else belongs to a value."""
        self._merge()
        return self._kept

    def _merge(self) -> None:
        rest = (pl.col(name).first() for name in self._kept.columns if name not in ("h", "n", "row", "whole"))
        together = pl.concat([self._kept, *self._fresh]).group_by("h")
        self._fresh = []
        self._kept = self._cut(
            together.agg(pl.col("n").sum(), pl.col("row").min(), pl.col("whole").any(), *rest).select(
                self._kept.columns
            )
        )

    @staticmethod
    def _cut(entries: pl.DataFrame) -> pl.DataFrame:
        return entries.sort("n", "row", descending=[True, False]).head(_MOST)
