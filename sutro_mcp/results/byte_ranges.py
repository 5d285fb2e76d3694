"""Sets of bytes of a file, as sorted spans `[start, stop)` that neither touch nor overlap."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

ByteRange = tuple[int, int]


class ByteRanges:
    """A set of byte positions."""

    def __init__(self, spans: Iterable[ByteRange] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in spans:
            self.add(start, stop)

    def __iter__(self) -> Iterator[ByteRange]:
        return zip(self._starts, self._stops, strict=True)

    @property
    def total(self) -> int:
        """How many bytes there are."""
        return sum(self._stops) - sum(self._starts)

    def add(self, start: int, stop: int) -> None:
        """Add the bytes from `start` up to `stop`."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def covers(self, start: int, stop: int) -> bool:
        """Whether all bytes from `start` up to `stop` are there."""
        at = bisect_right(self._starts, start) - 1
        return start >= stop or (at >= 0 and stop <= self._stops[at])

    def gaps(self, start: int, stop: int) -> list[ByteRange]:
        """The bytes from `start` up to `stop` that are not there."""
        found: list[ByteRange] = []
        for at in range(bisect_right(self._stops, start), len(self._starts)):
            if self._starts[at] >= stop:
                break
            if self._starts[at] > start:
                found.append((start, self._starts[at]))
            start = self._stops[at]
        if start < stop:
            found.append((start, stop))
        return found


def merged(spans: Iterable[ByteRange], gap: int = 0) -> list[ByteRange]:
    """`spans` in order, those that overlap or are at most `gap` apart as one."""
    joined: list[ByteRange] = []
    for start, stop in sorted(spans):
        if start >= stop:
            continue
        if joined and start <= joined[-1][1] + gap:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined
