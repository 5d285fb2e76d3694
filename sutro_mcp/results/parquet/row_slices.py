"""Rows of one column, cut into small Parquet files at the borders of pages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sutro_mcp.results.cache.byte_ranges import merged

from .arrow_schema import one_field
from .damage import UnsupportedError
from .footer import Chunk, Footer, Group
from .page_headers import Page, PageWalker, Read
from .rebuilt_file import Part, rebuild
from .schema import Column

MAX_SLICE_ROWS = 262_144
MAX_NESTED_SIZE = 256 << 20  # uncompressed; such a column is read a row group at a time


@dataclass(frozen=True, slots=True)
class RowSlice:
    """Consecutive rows of one top-level column, the first being row `first_row`, as a Parquet file."""

    name: str
    first_row: int
    row_count: int
    parquet: bytes


@dataclass(frozen=True, slots=True)
class Slicer:
    """Makes the slices of one column; whatever it reads must be there or arrive by itself."""

    footer: Footer
    column: Column
    arrow_schema: bytes | None
    read: Read

    @classmethod
    def of(cls, footer: Footer, column: Column, read: Read) -> "Slicer":
        """Raises UnsupportedError when the file's note of types does not fit its columns."""
        note = footer.arrow_schema
        return cls(footer, column, one_field(note, column.index, column.name) if note else None, read)

    def from_pages(self, group: Group, pages: Iterable[Page], budget: int) -> Iterator[RowSlice]:
        """The slices of these pages of a flat column, each at most `budget` bytes if its pages allow."""
        chunk = group.of(self.column)[0]
        for batch in _batches(pages, chunk, budget):
            yield self._flat(group, chunk, batch)

    def from_group(self, group: Group, budget: int) -> Iterator[RowSlice]:
        """The slices of a whole row group, found while its bytes arrive."""
        if self.column.flat:
            yield from self.from_pages(group, _pages(PageWalker(group.of(self.column)[0]), self.read), budget)
        else:
            yield self.nested(group)

    def nested(self, group: Group) -> RowSlice:
        """The row group of a column of lists or structs, in one slice.

        Raises UnsupportedError for one whose pages are beyond MAX_NESTED_SIZE.
        """
        parts: list[Part] = []
        for chunk in group.of(self.column):
            walker = PageWalker(chunk)
            size = sum(page.uncompressed for page in _pages(walker, self.read))
            head = 0
            if walker.dictionary:
                head = walker.dictionary.stop - walker.dictionary.start
                size += walker.dictionary.uncompressed
            parts.append(Part(chunk, [self.read(chunk.start, chunk.stop)], head, chunk.values, size))
            if sum(part.uncompressed for part in parts) > MAX_NESTED_SIZE:
                raise UnsupportedError("a row group of a nested column is too large")
        return self._row_slice(group.first_row, group.rows, parts)

    def check(self, group: Group) -> None:
        """Raise UnsupportedError for a nested row group that is beyond MAX_NESTED_SIZE by its own account."""
        if (
            not self.column.flat
            and sum(max(chunk.uncompressed, chunk.size) for chunk in group.of(self.column)) > MAX_NESTED_SIZE
        ):
            raise UnsupportedError("a row group of a nested column is too large")

    def _flat(self, group: Group, chunk: Chunk, pages: list[Page]) -> RowSlice:
        head = [page.dictionary for page in pages if page.dictionary][:1]
        data = [self.read(page.start, page.stop) for page in head]
        data += [self.read(*span) for span in merged((page.start, page.stop) for page in pages)]
        rows = sum(page.values for page in pages)
        uncompressed = sum(page.uncompressed for page in (*head, *pages))
        part = Part(chunk, data, sum(page.stop - page.start for page in head), rows, uncompressed)
        return self._row_slice(group.first_row + pages[0].first, rows, [part])

    def _row_slice(self, first_row: int, rows: int, parts: list[Part]) -> RowSlice:
        parquet = rebuild(self.footer, self.column, self.arrow_schema, rows, parts)
        return RowSlice(self.column.name, first_row, rows, parquet)


def _pages(walker: PageWalker, read: Read) -> Iterator[Page]:
    while page := walker.next(read, walker.chunk.stop):
        yield page


def _batches(pages: Iterable[Page], chunk: Chunk, budget: int) -> Iterator[list[Page]]:
    batch: list[Page] = []
    size = rows = 0
    for page in pages:
        expanded = _expanded(page, chunk)
        if batch and (size + expanded > budget or rows + page.values > MAX_SLICE_ROWS):
            yield batch
            batch, size, rows = [], 0, 0
        batch.append(page)
        size += expanded
        rows += page.values
    yield batch


def _expanded(page: Page, chunk: Chunk) -> int:
    """About how many bytes the values of a page take once they no longer refer to a dictionary."""
    estimates = [page.uncompressed, chunk.uncompressed * page.values // chunk.values]
    if page.dictionary:
        estimates.append(page.dictionary.uncompressed * page.values // max(1, page.dictionary.values))
    return max(estimates)
