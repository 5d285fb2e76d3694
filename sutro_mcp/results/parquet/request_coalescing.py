"""Rounds of requests, shared by everything that needs bytes at the same time.

A lookup is a generator: it yields the spans that it needs next and goes on when they are there. As a round
takes as long whether it is for one span or many, all lookups of a call go on together.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import Protocol, TypeVar

from sutro_mcp.results.byte_ranges import ByteRange, ByteRanges, merged

Found = TypeVar("Found")
Lookup = Generator[Sequence[ByteRange], None, Found]


class Bytes(Protocol):
    """Where bytes of the file come from; a request for absent ones is expensive, however many it asks for."""

    @property
    def size(self) -> int:
        """How long the file is."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Exactly the bytes [start, stop); waits until they are there."""
        ...

    def fetch(self, spans: Sequence[ByteRange], /) -> None:
        """Fetch what is absent of these spans together; waits until all are there."""
        ...


class CoalescedRequests:
    """The source of a file's bytes, and which of them were wanted already."""

    def __init__(self, source: Bytes) -> None:
        self.source = source
        self._wanted = ByteRanges()

    def fetch(self, spans: Iterable[ByteRange]) -> None:
        """Have these bytes there, with one request at most."""
        if absent := self._absent(merged(spans)):
            self.source.fetch(absent)
            for start, stop in absent:
                self._wanted.add(start, stop)

    def together(self, lookups: Sequence[Lookup[Found]]) -> list[Found]:
        """The find of each lookup; each round is for all that still need something."""
        results: dict[int, Found] = {}
        while len(results) < len(lookups):
            needed: list[ByteRange] = []
            for number, lookup in enumerate(lookups):
                if number in results:
                    continue
                try:
                    while not (absent := self._absent(next(lookup))):
                        pass
                    needed += absent
                except StopIteration as done:
                    results[number] = done.value
            self.fetch(needed)
        return [results[number] for number in range(len(lookups))]

    def _absent(self, spans: Iterable[ByteRange]) -> list[ByteRange]:
        """Those of the spans that were not wanted as a whole."""
        return [(start, stop) for start, stop in spans if not self._wanted.covers(start, stop)]
