"""Describe one column of values: type, nulls, distinct values, distribution, frequent values."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import polars as pl

from ._models import ColumnSummary, Distribution, TopValue
from ._page import cell, compact

_TOP = 8
# A value held by fewer rows than this is an example, not a category.
_TOP_SHARE = 0.005
_FEW = 20


def profile(name: str, values: Sequence[Any], present: int | None = None) -> ColumnSummary:
    """Summary of `values`, where None is null. `present` defaults to all of them."""
    filled = [value for value in values if value is not None]
    kinds = {_kind(value) for value in filled}
    counts = Counter(_hashable(value) for value in filled)
    texts = [value for value in filled if isinstance(value, str)]
    numbers = [number for value in filled if (number := _number(value)) is not None]
    lists = [cast("list[Any]", value) for value in filled if isinstance(value, list)]
    return ColumnSummary(
        name=name,
        type=_type(kinds),
        present=len(values) if present is None else present,
        nulls=len(values) - len(filled),
        distinct=len(counts),
        numbers=distribution(numbers) if numbers else None,
        lengths=distribution([float(len(text)) for text in texts]) if len(set(texts)) > _FEW else None,
        items=distribution([float(len(items)) for items in lists]) if lists else None,
        top=_top(counts, len(filled)),
    )


def distribution(values: Sequence[int | float]) -> Distribution:
    """Exact minimum and maximum, quartiles (linear interpolation) and mean; `values` must not be empty."""
    ordered = pl.Series(values, dtype=pl.Float64).sort()
    # Scaled before they are added: the sum of finite numbers need not be finite.
    scale = max(map(abs, values)) or 1.0
    mean = math.fsum(value / scale for value in values) / len(values) * scale
    q25, median, q75 = (_at(ordered, part) for part in (0.25, 0.5, 0.75))
    return Distribution(
        min=_whole(min(values)), q25=q25, median=median, q75=q75, max=_whole(max(values)), mean=_round(mean)
    )


def _at(ordered: pl.Series, part: float) -> int | float:
    place = (len(ordered) - 1) * part
    below = int(place)
    share = place - below
    low, high = ordered[below], ordered[math.ceil(place)]
    # Rounding takes the ends of the range of numbers past their neighbours.
    return _round(min(max(low * (1 - share) + high * share, low), high))


def _round(number: float) -> int | float:
    """To six significant digits or two decimals, whichever is finer."""
    digits = max(6, min(len(f"{abs(number):.0f}") + 2, 15)) if abs(number) < 1e21 else 6
    return _whole(float(f"{number:.{digits}g}"))


def _whole(number: int | float) -> int | float:
    return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 1e15 else number


def _top(counts: Counter[Any], filled: int) -> list[TopValue]:
    frequent = [(value, n) for value, n in counts.most_common(_TOP) if n > 1 and n / filled >= _TOP_SHARE]
    return [TopValue(value=cell(value), count=n, share=round(n / filled, 4)) for (_, value), n in frequent]


def _number(value: Any) -> int | float | None:
    """`value` as a finite number, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # An integer in JSON may have thousands of digits.
    return value if abs(value) <= sys.float_info.max else None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "list"
    return "object" if isinstance(value, dict) else type(value).__name__


def _type(kinds: set[str]) -> str:
    if kinds == {"integer", "number"}:
        return "number"
    if len(kinds) > 1:
        return f"mixed ({', '.join(sorted(kinds))})"
    return next(iter(kinds), "null")


def _hashable(value: Any) -> Any:
    # 1, 1.0 and True are equal in Python but not in JSON; NaN is not even equal to itself.
    if isinstance(value, list | dict):
        return (_kind(cast("Any", value)), compact(cast("Any", value)))
    return (_kind(value), value if value == value else str(value))
