"""Bytes that hold some rows of a flat column, found in as few rounds of requests as possible.

Where the file has a list of the pages, that says where they are. Where it has none, they are counted from the
start of the chunk, and how far to fetch is guessed from the bytes per row.
"""

from bisect import bisect_left, bisect_right

from sutro_mcp.results.byte_ranges import ByteRange, merged

from .footer import Chunk
from .page_headers import Page, PageWalker, Read
from .page_index import MAX_INDEX_SIZE, Place, dictionary_at, header_at, read_index
from .parquet_errors import DamagedError
from .request_coalescing import Lookup

HEAD = 896 << 10
"""Bytes at the start of a file that are worth having at once with its end: first rows of first columns."""
TAIL = 64 << 10
"""Bytes at the end of a file, where a footer of usual size is."""

_SMALL = 512 << 10  # fewer bytes than this are not worth another round
_NEAR = 64 << 10
_SMALL_DICTIONARY = 256 << 10
_FAR = 4 << 20
_UNDERSHOOT = 0.97  # of a guess over a distance: bytes too few cost a round, bytes too many are lost
_USUAL_PAGE = 1 << 20  # uncompressed


def opening_ranges(size: int, *, with_head: bool = False) -> list[ByteRange]:
    """Where reading a file of `size` bytes begins: its footer and, for a first page, its first rows."""
    tail = (max(size - TAIL, 0), size)
    return [tail, (0, min(HEAD, size))] if with_head else [tail]


class FlatChunk:
    """Knowledge of a flat column's chunk; it is kept, so that the file is asked for it once."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._cursor = PageWalker(chunk)
        self._pages: list[Page] = []
        self._places: tuple[Place, ...] = ()

    def lookup(self, read: Read, start: int, stop: int) -> Lookup[list[Page]]:
        """The data pages with rows [start, stop) of the chunk; at the end their bytes are there."""
        index = self._chunk.offset_index
        if index and self._chunk.size > _SMALL and index[1] - index[0] <= MAX_INDEX_SIZE:
            return self._by_index(index, read, start, stop)
        return self._by_walk(read, start, stop)

    def _by_index(self, index: ByteRange, read: Read, start: int, stop: int) -> Lookup[list[Page]]:
        if not self._places:
            yield [index]
            self._places = read_index(read(*index), self._chunk)
        places = [place for place in self._places if place.first < stop and start < place.first + place.rows]
        data = (places[0].start, places[-1].stop)
        before = (self._chunk.start, self._places[0].start)
        size = before[1] - before[0]
        at_once = size > 0 and (size <= _SMALL_DICTIONARY or data[0] - before[1] <= _NEAR)
        yield [before, data] if at_once else [data]
        headers = [header_at(read, place) for place in places]
        dictionary: Page | None = None
        if any(header.needs_dictionary for header in headers):
            if not size:
                raise DamagedError("a page needs a dictionary and there is none")
            yield [before]
            dictionary = dictionary_at(read, before)
        return [
            header.page(place.start, place.first, dictionary)
            for header, place in zip(headers, places, strict=True)
        ]

    def _by_walk(self, read: Read, start: int, stop: int) -> Lookup[list[Page]]:
        walker = self._cursor
        least = _NEAR
        while walker.seen < stop:
            position = walker.position
            limit = min(max(self._reach(start, stop), position + least), self._chunk.stop)
            yield [(position, limit), *self._needed(start, stop)]
            while page := walker.next(read, limit):
                self._pages.append(page)
            least = least * 4 if walker.position == position else _NEAR
        yield self._needed(start, stop)
        return self._between(start, stop)

    def _between(self, start: int, stop: int) -> list[Page]:
        first = bisect_right(self._pages, start, key=lambda page: page.first + page.values)
        last = bisect_left(self._pages, stop, key=lambda page: page.first)
        return self._pages[first:last]

    def _needed(self, start: int, stop: int) -> list[ByteRange]:
        """Where the known pages with these rows are, and the dictionary that they need or may need."""
        pages = self._between(start, stop)
        dictionaries = {page.dictionary for page in pages} if pages else {self._cursor.dictionary}
        return merged((page.start, page.stop) for page in (*dictionaries, *pages) if page)

    def _reach(self, start: int, stop: int) -> int:
        """How far to fetch next, to come to the pages with rows [start, stop) and little further."""
        chunk, position, seen = self._chunk, self._cursor.position, self._cursor.seen
        rate = (chunk.stop - position) / (chunk.values - seen)  # bytes per row of what is left
        ahead = rate * max(0, start - seen) * _UNDERSHOOT
        if position == chunk.start:
            head = HEAD if chunk.start + _NEAR <= HEAD else chunk.start + HEAD
            if position + ahead <= head:
                return head
        if chunk.stop - position <= _SMALL:
            return chunk.stop
        if ahead > _FAR:
            return position + int(ahead)
        if self._pages:
            page = (position - self._pages[0].start) / len(self._pages)
        else:
            page = _USUAL_PAGE * chunk.size / max(chunk.size, chunk.uncompressed)
        return position + int(rate * (stop - seen) + min(page, _USUAL_PAGE))
