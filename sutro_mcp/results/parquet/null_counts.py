"""How many nulls a data page of the second kind has.

Its header says so, and readers skip the levels of a page that has none. Some writers (pyarrow 10 without
statistics) always say 0: the values of such a page would move up to the places of its nulls. The levels,
which stand before the values and are never compressed, tell the truth.
"""

from collections.abc import Iterator

from . import thrift
from .footer import Chunk
from .page_headers import PageWalker, Read
from .parquet_errors import DamagedError
from .thrift import Reader
from .thrift_fields import DataPageHeaderV2, PageHeader


def second_kind(chunk: Chunk, read: Read) -> Iterator[bytes]:
    """The data pages of the second kind in a chunk; of a chunk that begins with another kind, none."""
    walker = PageWalker(chunk)
    while (page := walker.next(read, chunk.stop)) and page.levels:
        yield read(page.start, page.stop)


def with_null_count(page: bytes) -> bytes:
    """A page of the second kind of a flat column, its header with the number of nulls that its levels say.

    Raises DamagedError when the levels are none.
    """
    reader = Reader(page)
    numbers: dict[int, int] = {}
    start = stop = 0
    for field, kind in reader.fields():
        if field != PageHeader.DATA_PAGE_HEADER_V2:
            reader.skip(kind)
            continue
        for inner, inner_kind in reader.struct(kind):
            if inner > DataPageHeaderV2.REPETITION_LEVELS_BYTE_LENGTH:
                reader.skip(inner_kind)
                continue
            before = reader.position
            numbers[inner] = reader.integer(inner_kind)
            if inner == DataPageHeaderV2.NUM_NULLS:
                start, stop = before, reader.position
    levels = reader.position + numbers[DataPageHeaderV2.REPETITION_LEVELS_BYTE_LENGTH]
    size = numbers[DataPageHeaderV2.DEFINITION_LEVELS_BYTE_LENGTH]
    values = numbers[DataPageHeaderV2.NUM_VALUES]
    nulls = values - _present(page[levels : levels + size], values) if size else 0
    if not start or nulls == numbers[DataPageHeaderV2.NUM_NULLS]:
        return page
    return page[:start] + thrift.integer(nulls)[1] + page[stop:]


def _present(levels: bytes, values: int) -> int:
    """How many of the values are not null: levels of one bit, in runs and in bits side by side."""
    reader = Reader(levels)
    seen = present = 0
    while seen < values:
        head = reader.varint()
        count = min(head >> 1 if head & 1 == 0 else head >> 1 << 3, values - seen)
        if not count:
            raise DamagedError("the levels of a page are wrong")
        if head & 1:
            bits = int.from_bytes(reader.raw(head >> 1), "little")
            present += (bits & (1 << count) - 1).bit_count()
        else:
            present += count * (reader.raw(1)[0] & 1)
        seen += count
    return present
