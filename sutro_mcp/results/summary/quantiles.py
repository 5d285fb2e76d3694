"""Distributions of numbers, text lengths and list lengths from what a pass over batches leaves."""

import math
from fractions import Fraction
from typing import cast

import polars as pl

from sutro_mcp.results.request_models import Distribution

from .distinct_sketch import Budget, hashes

_WAITING = 131_072


class Tally:
    """How often each whole number occurs: lengths, of which there are few different ones."""

    def __init__(self) -> None:
        self._kept = pl.DataFrame(schema={"value": pl.UInt32, "n": pl.UInt32})
        self._fresh: list[pl.Series] = []
        self._waiting = 0

    def add(self, values: pl.Series) -> None:
        """Numbers below 2**32, none of them null."""
        self._fresh.append(values.cast(pl.UInt32))
        self._waiting += len(values)
        if self._waiting >= _WAITING:
            self._merge()

    def distribution(self) -> Distribution | None:
        """Exact; None if nothing was counted."""
        self._merge()
        if not self._kept.height:
            return None
        values, counts = self._kept["value"].cast(pl.Float64), self._kept["n"]
        return _spread(values, counts, values[0], values[-1], mean(values, counts))

    def _merge(self) -> None:
        if self._fresh:
            fresh = pl.DataFrame({"value": pl.concat(self._fresh)}).with_columns(n=pl.lit(1, pl.UInt32))
            together = pl.concat([self._kept, fresh]).group_by("value")
            self._kept = together.agg(pl.col("n").sum()).sort("value")
            self._fresh, self._waiting = [], 0


class Numbers:
    """Finite numbers of one column: extremes, mean, and a uniform sample for quartiles.

    The sample holds the rows with the smallest hashes of their numbers, so that it does not depend on the
    batches.
    """

    def __init__(self, budget: Budget) -> None:
        budget.samples += 1
        self._budget = budget
        self._count = 0
        self._total = Fraction(0)
        self._min: int | float = math.inf
        self._max: int | float = -math.inf
        self._sample = pl.DataFrame(schema={"r": pl.UInt64, "value": pl.Float64})
        self._threshold: int | None = None

    def add(self, rows: pl.Series, values: pl.Series, least: int | float, most: int | float) -> None:
        """`values` as 64-bit floats without null or NaN, not empty; the extremes with all their digits."""
        self._count += len(values)
        self._min, self._max = min(self._min, least), max(self._max, most)
        scale = _scale(values)
        self._total += Fraction(cast("float", (values / scale).sum())) * Fraction(scale)
        cells = pl.DataFrame({"r": hashes(rows), "value": values})
        if self._threshold is not None:
            cells = cells.filter(pl.col("r") <= self._threshold)
        self._sample = self._sample.vstack(cells)
        if self._sample.height > 2 * self._budget.sampled:
            self._cut()

    def distribution(self, counted: pl.DataFrame | None) -> Distribution:
        """Exact from `counted`, all values as `value` with `n`; else quartiles are those of the sample."""
        if counted is not None:
            counted = counted.sort("value")
            exact = mean(counted["value"], counted["n"])
            return _spread(counted["value"], counted["n"], self._min, self._max, exact)
        self._cut()
        values = self._sample["value"].sort()
        ones = pl.repeat(1, len(values), dtype=pl.UInt32, eager=True)
        average = min(max(self._total / self._count, Fraction(self._min)), Fraction(self._max))
        return _spread(values, ones, self._min, self._max, float(average))

    def _cut(self) -> None:
        self._sample = self._sample.bottom_k(self._budget.sampled, by="r")
        self._threshold = cast("int", self._sample["r"].max())


def mean(values: pl.Series, counts: pl.Series) -> float:
    """Mean of floats, each so many times; not empty."""
    # Scaled before they are added: the sum of finite numbers need not be finite.
    scale = _scale(values)
    scaled = cast("list[float]", (values / scale).to_list())
    total = math.fsum(value * n for value, n in zip(scaled, counts, strict=True))
    return min(max(total / int(counts.sum()), min(scaled)), max(scaled)) * scale


def _scale(values: pl.Series) -> float:
    """The divisor that keeps sums finite; a power of two, so that no digit is lost."""
    most = max(abs(cast("float", values.min())), abs(cast("float", values.max())))
    return 2.0**64 if most > 2.0**900 else 1.0


def _spread(
    values: pl.Series, counts: pl.Series, least: int | float, most: int | float, average: float
) -> Distribution:
    """Of `values` in ascending order, each so many times; quartiles by linear interpolation."""
    last = counts.cast(pl.Int64).cum_sum()
    total = cast("int", last[-1])
    places = [(total - 1) * part for part in (0.25, 0.5, 0.75)]
    wanted = [int(place) for place in places] + [math.ceil(place) for place in places]
    found = cast("list[float]", values.gather(last.search_sorted(pl.Series(wanted), side="right")).to_list())
    q25, median, q75 = (
        _between(low, high, place - int(place))
        for place, low, high in zip(places, found[:3], found[3:], strict=True)
    )
    return Distribution(
        min=_whole(least), q25=q25, median=median, q75=q75, max=_whole(most), mean=_round(average)
    )


def _between(low: float, high: float, share: float) -> int | float:
    # Rounding takes the ends of the range of numbers past their neighbours.
    return _round(min(max(low * (1 - share) + high * share, low), high))


def _round(number: float) -> int | float:
    """To six significant digits or two decimals, whichever is finer."""
    digits = max(6, min(len(f"{abs(number):.0f}") + 2, 15)) if abs(number) < 1e21 else 6
    return _whole(float(f"{number:.{digits}g}"))


def _whole(number: int | float) -> int | float:
    return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 1e15 else number
