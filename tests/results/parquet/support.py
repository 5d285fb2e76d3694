"""A file in memory that counts what is asked of it, and the comparison with polars' own reading."""

import bisect
import io
import random
import tracemalloc
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import polars as pl

from sutro_mcp.results.byte_ranges import ByteRange, merged
from sutro_mcp.results.parquet import RowSlice


@dataclass
class Remote:
    """Bytes that are elsewhere until they are wanted; `present` says which are here."""

    data: bytes
    present: list[ByteRange] = field(default_factory=list[ByteRange])
    rounds: list[list[ByteRange]] = field(default_factory=list[list[ByteRange]])

    @property
    def size(self) -> int:
        """The whole file's."""
        return len(self.data)

    @property
    def fetched(self) -> int:
        """Bytes that came, each once."""
        return sum(stop - start for start, stop in self.present)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes, which must have been wanted, or they would be a request of their own."""
        assert 0 <= start <= stop <= len(self.data)
        assert not self._absent(start, stop), "read before it was wanted"
        return self.data[start:stop]

    def fetch(self, spans: Sequence[ByteRange]) -> None:
        """One round, if anything of it is absent."""
        assert all(0 <= start < stop <= len(self.data) for start, stop in spans)
        absent = [gap for span in spans for gap in self._absent(*span)]
        if absent:
            self.rounds.append(absent)
            self.present = merged([*self.present, *absent])

    def _absent(self, start: int, stop: int) -> list[ByteRange]:
        gaps: list[ByteRange] = []
        first = bisect.bisect_right(self.present, start, key=lambda span: span[1])
        for begin, end in self.present[first:]:
            if begin >= stop:
                break
            if start < begin:
                gaps.append((start, begin))
            start = max(start, end)
        if start < stop:
            gaps.append((start, stop))
        return gaps


@contextmanager
def at_most(size: int) -> Generator[None]:
    """Fails if Python comes to hold `size` bytes beside what it held before."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size


def local(data: bytes) -> Remote:
    """A file that is here as a whole."""
    return Remote(data, [(0, len(data))])


def decode(slices: Sequence[RowSlice]) -> pl.Series:
    """The rows of slices of one column that follow each other."""
    parts: list[pl.Series] = []
    expected = slices[0].first_row
    for each in slices:
        frame = pl.read_parquet(each.parquet, glob=False)
        assert frame.columns == [each.name]
        assert (each.first_row, frame.height) == (expected, each.row_count)
        expected += each.row_count
        parts.append(frame.to_series())
    return pl.concat(parts)


def cut(slices: Sequence[RowSlice], start: int, stop: int) -> pl.Series:
    """Rows [start, stop) of the file, out of slices that cover them."""
    return decode(slices).slice(start - slices[0].first_row, stop - start)


def same(one: pl.Series, other: pl.Series) -> bool:
    """Equal values, types and names; null equals null and NaN equals NaN."""
    return one.name == other.name and one.dtype == other.dtype and one.equals(other, null_equal=True)


def arrow_file(frame: pl.DataFrame, **options: object) -> bytes:
    """The frame as pyarrow writes it; `options` as its `write_table` has them."""
    compression = options.pop("compression", "zstd")
    group, page = options.pop("row_group_size", None), options.pop("data_page_size", None)
    buffer = io.BytesIO()
    frame.write_parquet(
        buffer,
        compression=cast("Any", compression),
        row_group_size=cast("int | None", group),
        data_page_size=cast("int | None", page),
        use_pyarrow=True,
        pyarrow_options=options,
    )
    return buffer.getvalue()


def polars_file(frame: pl.DataFrame, **options: object) -> bytes:
    """The frame as polars writes it; `options` as its `write_parquet` has them."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, **cast("dict[str, Any]", options))
    return buffer.getvalue()


def mutated(data: bytes, dice: random.Random, start: int) -> bytes:
    """The file with one or a few bytes changed from `start` on."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        at = dice.randrange(start, len(data))
        match dice.randrange(4):
            case 0:
                changed[at] = dice.randrange(256)
            case 1:
                changed[at] ^= 1 << dice.randrange(8)
            case 2:
                changed[at] = dice.choice((0x00, 0x7F, 0x80, 0xFF))
            case _:
                changed[at : at + 5] = dice.choices((0x00, 0x7F, 0x80, 0xFF), k=5)
    return bytes(changed)
