"""The pages of one column chunk, found one after the other.

A page begins with a header, most often of some 20 to 200 bytes, that says how long it is and how many values
it has.
Headers are remote input: each is held against what its chunk can still contain before anybody acts on it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .footer import Chunk
from .parquet_errors import DamagedError, UnsupportedError
from .thrift import EndOfDataError, Reader
from .thrift_fields import DataPageHeader, DataPageHeaderV2, Encoding, PageHeader, PageType

MAX_PAGE_SIZE = 256 << 20  # uncompressed; writers aim at 1 MiB
MAX_PAGE_VALUES = 1 << 24
MAX_PAGES = 1 << 16  # in one chunk
MAX_HEADER = 64 << 20  # a header may hold the smallest and the largest value in full
_BLOCK = 16 << 10
_FIRST_READ = 4 << 10
_SIZES = (PageHeader.TYPE, PageHeader.UNCOMPRESSED_PAGE_SIZE, PageHeader.COMPRESSED_PAGE_SIZE)
_DETAILS = {
    PageType.DATA_PAGE: PageHeader.DATA_PAGE_HEADER,
    PageType.DICTIONARY_PAGE: PageHeader.DICTIONARY_PAGE_HEADER,
    PageType.DATA_PAGE_V2: PageHeader.DATA_PAGE_HEADER_V2,
}

Read = Callable[[int, int], bytes]
"""The bytes [start, stop) of the file."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page with its header, and the dictionary page that it refers to, if any.

    `first` counts the values of the chunk before it; it means nothing for a dictionary. `levels` are the
    bytes of its levels that are not compressed, in a page of the second kind.
    """

    start: int
    stop: int
    first: int
    values: int
    uncompressed: int
    levels: int
    dictionary: "Page | None"


@dataclass(frozen=True, slots=True)
class Header:
    """A page's facts about itself; `size` is that of header and page together."""

    kind: int
    values: int
    encoding: int
    size: int
    uncompressed: int
    levels: int

    @property
    def is_dictionary(self) -> bool:
        """Whether the page is one."""
        return self.kind == PageType.DICTIONARY_PAGE

    @property
    def needs_dictionary(self) -> bool:
        """Whether the page's values are places in a dictionary."""
        return self.encoding in (Encoding.PLAIN_DICTIONARY, Encoding.RLE_DICTIONARY)

    def page(self, start: int, first: int, dictionary: Page | None) -> Page:
        """The page, which begins at `start`. Raises DamagedError for one that lacks its dictionary."""
        if self.needs_dictionary and not dictionary:
            raise DamagedError("a page needs a dictionary and there is none")
        needed = dictionary if self.needs_dictionary else None
        return Page(start, start + self.size, first, self.values, self.uncompressed, self.levels, needed)


class PageWalker:
    """A way through a chunk's pages: `position` is where the next header is, `seen` the values before it."""

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.position = chunk.start
        self.seen = 0
        self.dictionary: Page | None = None
        self._found = 0

    def next(self, read: Read, limit: int) -> Page | None:
        """The next data page whose header ends before `limit`, if there is one; nothing beyond is read.

        Raises DamagedError when the pages do not make up the chunk, and UnsupportedError.
        """
        limit = min(limit, self.chunk.stop)
        while self.seen < self.chunk.values and self.position < limit:
            header = header_within(read, self.position, limit)
            if header is None and limit == self.chunk.stop:
                raise DamagedError("a column chunk ends within the header of a page")
            if header is None:
                break
            page = header.page(self.position, self.seen, self.dictionary)
            if header.is_dictionary and self._found:
                raise DamagedError("a column chunk has a dictionary within its data")
            self._move(page, 0 if header.is_dictionary else page.values)
            if header.is_dictionary:
                self.dictionary = page
            elif page.values:
                return page
        return None

    def _move(self, page: Page, values: int) -> None:
        left = self.chunk.values - self.seen - values
        room = self.chunk.stop - page.stop
        if left < 0 or room < 0 or (left and not room):
            raise DamagedError("the pages of a column chunk do not add up to it")
        if page.values > MAX_PAGE_VALUES or self._found == MAX_PAGES:
            raise UnsupportedError("a column chunk has too large or too many pages")
        if room and not left:
            raise UnsupportedError("a column chunk has more than its pages")
        # Not before: who asks again after an error must get the same.
        self.position, self.seen, self._found = page.stop, self.seen + values, self._found + 1


def header_within(read: Read, start: int, stop: int) -> Header | None:
    """The page header at `start`, or None if it goes on beyond `stop`. Raises as `read_header` does."""
    size = _FIRST_READ
    while True:
        # To the same places for one header after another: what is beyond may have to be asked for.
        data = read(start, min((start + size | _BLOCK - 1) + 1, stop))
        try:
            return read_header(data, 0)
        except EndOfDataError:
            if len(data) >= MAX_HEADER:
                raise UnsupportedError("the header of a page is too long") from None
        if len(data) < size:
            return None
        size *= 16


def read_header(data: bytes, position: int) -> Header:
    """The page header at `position`. Raises EndOfDataError, DamagedError and UnsupportedError."""
    reader = Reader(data, position)
    numbers = dict.fromkeys(_SIZES, -1)
    details: dict[int, int] = {}
    for field, inner in reader.fields():
        if field in _SIZES:
            numbers[field] = reader.integer(inner)
        elif field == _DETAILS.get(numbers[PageHeader.TYPE]):
            details = reader.numbers(inner)
        else:
            reader.skip(inner)
    kind, uncompressed, compressed = numbers.values()
    if kind > PageType.DATA_PAGE_V2 or kind == PageType.INDEX_PAGE:
        raise UnsupportedError("a page is of a kind that is not known")
    values, encoding, levels = details.get(DataPageHeader.NUM_VALUES, -1), -1, 0
    if kind == PageType.DATA_PAGE:
        encoding = details.get(DataPageHeader.ENCODING, -1)
    elif kind == PageType.DATA_PAGE_V2:
        encoding, levels = details.get(DataPageHeaderV2.ENCODING, -1), _levels(details)
    if min(kind, uncompressed, compressed, values) < 0 or not 0 <= levels <= min(uncompressed, compressed):
        raise DamagedError("the header of a page is wrong")
    if uncompressed > MAX_PAGE_SIZE:
        raise DamagedError("a page is too large")
    return Header(kind, values, encoding, reader.position - position + compressed, uncompressed, levels)


def _levels(found: dict[int, int]) -> int:
    """Bytes of a second-kind page that are not compressed, or -1."""
    definition = found.get(DataPageHeaderV2.DEFINITION_LEVELS_BYTE_LENGTH, -1)
    repetition = found.get(DataPageHeaderV2.REPETITION_LEVELS_BYTE_LENGTH, -1)
    return definition + repetition if min(definition, repetition) >= 0 else -1
