"""One column, or one field of JSON outputs: its values by kind, counted batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from secrets import randbits
from typing import Any, Literal, cast

import polars as pl

from sutro_mcp.results.request_models import ColumnSummary, Distribution, TopValue
from sutro_mcp.results.rows.cells import KINDS, cell, compact
from sutro_mcp.results.rows.json_shape import Shape

from .batches import Batch
from .distinct_sketch import Budget, Sketch, Top, hashes
from .quantiles import Numbers, Tally
from .sql_types import sql_type
from .text_numbers import NumberTexts

_TOP = 8
# More than this share of the rows cannot have passed before a value is counted.
_UNCOUNTED = 0.003
_LOOKED_AT = 64
# A value held by fewer rows than this is an example, not a category.
_TOP_SHARE = 0.005
_FEW = 20
_NUMERIC = ("integer", "number")
# Stands between lists that are written together: a number that no list can know.
_MARK = randbits(62)
_TOGETHER = 1_024
_TYPES: dict[type, type[pl.DataType]] = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}
_DTYPES: dict[type[pl.DataType], str] = {
    pl.Boolean: "boolean",
    pl.String: "text",
    pl.Float32: "number",
    pl.Float64: "number",
    pl.List: "list",
    pl.Array: "list",
    pl.Struct: "object",
    pl.Binary: "bytes",
}


class Column:
    """Counts what a column holds. 1, 1.0, true and "1" are four values, as in JSON."""

    def __init__(
        self, name: str, budget: Budget, texts: Sketch | None = None, sql_name: str | None = None
    ) -> None:
        """`sql_name` is its name in SQL, if that is another one."""
        self.name = name
        self._sql_name = sql_name
        self._budget = budget
        self._present = 0
        self._nulls = 0
        self._not_finite = 0
        self._sketches: dict[str, Sketch] = {} if texts is None else {"text": texts}
        self._numbers: Numbers | None = None
        # Of JSON values; of others the type tells.
        self.shape = Shape()
        self._dtype: pl.DataType | None = None
        self._number_texts = NumberTexts(budget)
        self._lengths = Tally()
        self._items = Tally()

    def add(
        self,
        rows: pl.Series,
        values: pl.Series,
        lengths: pl.Series | None = None,
        marks: pl.DataFrame | None = None,
    ) -> None:
        """Values of one type, which is that of the column, and the numbers of their rows.

        What is known of texts already is their `lengths`, and `marks` that go with each into the sketch.
        """
        self._dtype = values.dtype
        self._count(rows, values, lengths, marks)

    def add_typed(self, rows: pl.Series, values: pl.Series, kind: type) -> None:
        """JSON values of one kind of scalar, and the numbers of their rows."""
        if kind is not type(None):
            self.shape.add_values([kind()])
        self._count(rows, values)

    def _count(
        self,
        rows: pl.Series,
        values: pl.Series,
        lengths: pl.Series | None = None,
        marks: pl.DataFrame | None = None,
    ) -> None:
        values = _plain(values)
        self._present += len(values)
        if nulls := values.null_count():
            self._nulls += nulls
            filled = values.is_not_null()
            rows, values = rows.filter(filled), values.filter(filled)
            marks = None if marks is None else marks.filter(filled)
            lengths = None if lengths is None else lengths.filter(filled)
        if len(values):
            self._add(_kind(values.dtype), rows, values, lengths, marks)

    def add_json(self, batch: Batch, places: Sequence[int], values: Sequence[Any]) -> None:
        """JSON values of any kinds, each found in the text at its place in the batch."""
        self.shape.add_values(values)
        self._add_kinds(batch, places, values)

    def _add_kinds(self, batch: Batch, places: Sequence[int], values: Sequence[Any]) -> None:
        kinds: set[type] = set(map(type, values))
        if len(kinds) == 1:
            self._add_kind(kinds.pop(), batch, places, values)
            return
        for kind in kinds:
            at = [index for index, value in enumerate(values) if type(value) is kind]
            self._add_kind(kind, batch, [places[index] for index in at], [values[index] for index in at])

    def add_parsed(self, batch: Batch, parsed: Iterable[list[Any]]) -> None:
        """JSON values of any kinds, one for each text of the batch, in parts."""
        others: tuple[list[int], list[Any]] = [], []
        places, lengths, texts = list[int](), list[int](), list[str]()
        start = 0
        # Many lists at once take long to walk through: each part is done with before the next is made.
        for values in parsed:
            self.shape.add_values(values)
            lists = [cast("list[Any]", value) for value in values if type(value) is list]
            at = [place for place, value in enumerate(values, start) if type(value) is list]
            if len(lists) < len(values):
                others[0].extend(sorted({*range(start, start + len(values))}.difference(at)))
                others[1].extend(value for value in values if type(value) is not list)
            places += at
            lengths += map(len, lists)
            texts += _compacted(lists)
            start += len(values)
        if texts:
            self._items.add(batch.expand(places, pl.Series(lengths, dtype=pl.UInt32))[1])
            rows, series = batch.expand(places, pl.Series(texts, dtype=pl.String))
            self._present += len(rows)
            self._add("list", rows, series)
        if others[0]:
            self._add_kinds(batch, *others)

    def _add_kind(self, kind: type, batch: Batch, places: Sequence[int], values: Sequence[Any]) -> None:
        if kind is type(None):
            count = len(batch.rows_of(places))
            self._present += count
            self._nulls += count
            return
        if kind is int and (min(values) < -(2**63) or max(values) >= 2**63):
            self._add_integers(batch, places, values)
            return
        if kind is list:
            lengths = pl.Series(map(len, values), dtype=pl.UInt32)
            self._items.add(batch.expand(places, lengths)[1])
        rows, series = batch.expand(places, _series(kind, values))
        self._present += len(rows)
        self._add(KINDS[kind], rows, series)

    def _add_integers(self, batch: Batch, places: Sequence[int], values: Sequence[int]) -> None:
        """Some of them beyond 64 bits: JSON sets no limit to their digits."""
        fits = [-(2**63) <= value < 2**63 for value in values]
        if any(fits):
            self._add_kind(int, batch, list(compress(places, fits)), list(compress(values, fits)))
        places = [place for place, is_small in zip(places, fits, strict=True) if not is_small]
        values = [value for value, is_small in zip(values, fits, strict=True) if not is_small]
        floats = [_float(value) for value in values]
        rows, names = batch.expand(places, pl.Series([hex(value) for value in values]))
        _, numbers = batch.expand(places, pl.Series(floats, dtype=pl.Float64))
        self._present += len(rows)
        self._sketch("integer").add(pl.DataFrame({"h": hashes(names), "row": rows, "value": numbers}))
        if finite := [value for value, number in zip(values, floats, strict=True) if number is not None]:
            filled = numbers.is_not_null()
            self._add_numbers(rows.filter(filled), numbers.filter(filled), min(finite), max(finite))
        self._not_finite += numbers.null_count()

    def _add(
        self,
        kind: str,
        rows: pl.Series,
        values: pl.Series,
        lengths: pl.Series | None = None,
        marks: pl.DataFrame | None = None,
    ) -> None:
        """Values of one kind, not null and not empty."""
        cells = pl.DataFrame({"h": hashes(values), "row": rows})
        if kind in _NUMERIC:
            numbers = values.cast(pl.Float64)
            if kind == "number":
                numbers = numbers.set(~numbers.is_finite(), None)
                self._not_finite += numbers.null_count()
                rows, values = rows.filter(numbers.is_not_null()), values.filter(numbers.is_not_null())
            cells = cells.with_columns(value=numbers)
            if len(values):
                floats = numbers.drop_nulls()
                self._add_numbers(rows, floats, cast("int", values.min()), cast("int", values.max()))
        elif kind == "text":
            self._lengths.add(values.str.len_chars() if lengths is None else lengths)
            self._number_texts.add(rows, values)
        elif values.dtype.is_nested() and kind == "list":
            self._items.add(values.list.len())
        self._sketch(kind).add(cells if marks is None else cells.hstack(marks))

    def _add_numbers(self, rows: pl.Series, floats: pl.Series, least: float, most: float) -> None:
        if self._numbers is None:
            self._numbers = Numbers(self._budget)
        self._numbers.add(rows, floats, least, most)

    def _sketch(self, kind: str) -> Sketch:
        if kind not in self._sketches:
            self._sketches[kind] = Sketch(self._budget)
        return self._sketches[kind]

    @property
    def sql_name(self) -> str:
        """Its name in SQL."""
        return self._sql_name or self.name

    @property
    def sql_type(self) -> str | None:
        """Its type in SQL; None if that is not known."""
        return self.shape.sql_type if self._dtype is None else sql_type(self._dtype)

    @property
    def filled(self) -> int:
        """Cells that are not null."""
        return self._present - self._nulls

    def top(self) -> list[Top]:
        """Once the budget has settled: the values worth naming, most frequent first."""
        # The share is what is shown, so the comparison is made with it and not with a product.
        found = [top for sketch in self._sketches.values() for top in sketch.top(_TOP)]
        found = [top for top in found if top.count / self.filled >= _TOP_SHARE]
        return sorted(found, key=lambda top: (-top.count, top.row))[:_TOP]

    def summary(self, top: Sequence[Top], values: Sequence[Any], kind: str | None) -> ColumnSummary:
        """With the values that stand in the rows of `top`, and its type in SQL."""
        used = {kind: sketch for kind, sketch in self._sketches.items() if sketch.distinct}
        distinct = sum(sketch.distinct for sketch in used.values())
        texts = used.get("text")
        numbers = self._distribution()
        exact = all(sketch.complete for sketch in used.values())
        estimates: list[Literal["distinct", "quartiles", "top"]] = [] if exact else ["distinct"]
        if numbers and not all(sketch.complete for kind, sketch in used.items() if kind in _NUMERIC):
            estimates.append("quartiles")
        text_numbers = None
        # In SQL all of a mixed field is text: real numbers could not be told from the others.
        if not numbers and (found := self._number_texts.found(self.filled, self.sql_name)):
            text_numbers, is_held = found
            if not is_held:
                estimates.append("quartiles")
        if not all(item.exact for item in top) or self._may_hide(top):
            estimates.append("top")
        return ColumnSummary(
            name=self.name,
            type=_type(set(used)),
            sql_type=kind,
            present=self._present,
            nulls=self._nulls,
            values=self.filled,
            distinct=distinct,
            numbers=numbers,
            not_finite=self._not_finite or None,
            lengths=self._lengths.distribution() if texts is not None and texts.distinct > _FEW else None,
            items=self._items.distribution(),
            text_numbers=text_numbers,
            top=[
                TopValue(value=cell(value), count=item.count, share=round(item.count / self.filled, 3))
                for value, item in zip(values, top, strict=True)
            ],
            estimates=estimates or None,
        )

    def _may_hide(self, top: Sequence[Top]) -> bool:
        """Whether a value that was not counted from its first row on may belong among those shown."""
        least = top[-1].count if len(top) == _TOP else _TOP_SHARE * self.filled
        shown = {item.row for item in top}
        counted = [item for sketch in self._sketches.values() for item in sketch.top(_LOOKED_AT)]
        unsure = [item.count for item in counted if not item.exact and item.row not in shown]
        return bool(unsure) and max(unsure) + _UNCOUNTED * self.filled >= least

    def _distribution(self) -> Distribution | None:
        if self._numbers is None:
            return None
        sketches = [sketch for kind, sketch in self._sketches.items() if kind in _NUMERIC]
        if not all(sketch.complete for sketch in sketches):
            return self._numbers.distribution(None)
        counted = pl.concat([sketch.values().select("value", "n") for sketch in sketches])
        return self._numbers.distribution(counted.drop_nulls())


def _plain(values: pl.Series) -> pl.Series:
    """Of a type that has one hash for one value."""
    kind = values.dtype.base_type()
    if kind in (pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if kind == pl.Array:
        return values.arr.to_list()
    return values.cast(pl.Float64) if kind == pl.Float32 else values


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "integer"
    kind = dtype.base_type()
    return _DTYPES.get(kind, kind.__name__.lower())


def _type(kinds: set[str]) -> str:
    if kinds == {"integer", "number"}:
        return "number"
    if len(kinds) > 1:
        return f"mixed ({', '.join(sorted(kinds))})"
    return next(iter(kinds), "null")


def _series(kind: type, values: Sequence[Any]) -> pl.Series:
    """JSON values of one kind; integers of at most 64 bits."""
    if kind in (list, dict):
        return pl.Series(list(_compacted(values)), dtype=pl.String)
    return pl.Series(values, dtype=_TYPES[kind])


def _compacted(values: Sequence[Any]) -> Iterator[str]:
    """`compact` of each, in fewer calls."""
    for start in range(0, len(values), _TOGETHER):
        some = values[start : start + _TOGETHER]
        marked: list[Any] = [_MARK] * (2 * len(some) - 1)
        marked[::2] = some
        yield from compact(marked)[1:-1].split(f",{_MARK},")


def _float(number: int) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None
