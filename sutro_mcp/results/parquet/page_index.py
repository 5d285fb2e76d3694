"""A chunk's list of its data pages: with it any page is found without walking there.

Some writers leave such lists near the footer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from sutro_mcp.results.byte_ranges import ByteRange

from .footer import Chunk
from .page_headers import MAX_PAGE_VALUES, MAX_PAGES, Header, Page, Read, header_within
from .parquet_errors import DamagedError, UnsupportedError
from .thrift import Reader
from .thrift_fields import OffsetIndex, PageLocation

MAX_INDEX_SIZE = 16 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a data page is said to be; its header decides what it is. Rows as counted in its chunk."""

    start: int
    stop: int
    first: int
    rows: int


def read_index(raw: bytes, chunk: Chunk) -> tuple[Place, ...]:
    """The places of all data pages of a flat chunk, in order. Raises DamagedError and UnsupportedError."""
    reader = Reader(raw)
    found: list[tuple[int, int, int]] = []
    for field, kind in reader.fields():
        if field == OffsetIndex.PAGE_LOCATIONS:
            found = list(_locations(reader, kind))
        else:
            reader.skip(kind)
    end = (chunk.stop, 0, chunk.values)
    places = tuple(
        Place(start, start + size, first, following - first)
        for (start, size, first), (_, _, following) in pairwise([*found, end])
    )
    if not places or places[0].first or any(place.rows < 0 or place.stop <= place.start for place in places):
        raise DamagedError("a page index does not list the rows of its chunk")
    bounds = [chunk.start, *(edge for place in places for edge in (place.start, place.stop)), chunk.stop]
    if any(before > after for before, after in pairwise(bounds)):
        raise DamagedError("a page index leads out of its chunk")
    return places


def _locations(reader: Reader, kind: int) -> Iterator[tuple[int, int, int]]:
    for count, item in enumerate(reader.items(kind)):
        if count >= MAX_PAGES:
            raise UnsupportedError("a column chunk has too many pages")
        found = reader.numbers(item)
        start, size = found.get(PageLocation.OFFSET, -1), found.get(PageLocation.COMPRESSED_PAGE_SIZE, -1)
        yield start, size, found.get(PageLocation.FIRST_ROW_INDEX, -1)


def header_at(read: Read, place: Place) -> Header:
    """The header of the page at `place`. Raises DamagedError if it is not what the index says."""
    header = _header(read, (place.start, place.stop))
    if header.is_dictionary or header.values != place.rows:
        raise DamagedError("a page is not what the page index says")
    return header


def dictionary_at(read: Read, span: ByteRange) -> Page:
    """The dictionary page that fills `span`. Raises DamagedError if it does not."""
    header = _header(read, span)
    if not header.is_dictionary:
        raise DamagedError("a page is not what the page index says")
    return header.page(span[0], 0, None)


def _header(read: Read, span: ByteRange) -> Header:
    header = header_within(read, *span)
    if header is None or header.size != span[1] - span[0]:
        raise DamagedError("a page does not end where the page index says")
    if header.values > MAX_PAGE_VALUES:
        raise UnsupportedError("a page is too large")
    return header
