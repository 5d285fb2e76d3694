"""Rows of one column, cut into small Parquet files at the borders of pages."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sutro_mcp.results.byte_ranges import merged

from .arrow_schema import one_field
from .footer import Chunk, Footer, Group
from .null_counts import with_null_count
from .page_headers import Page, PageWalker, Read
from .parquet_errors import UnsupportedError
from .rebuilt_file import Part, PartGroup, rebuild
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
    """Makes the slices of one column; whatever it reads must be there or arrive by itself.

    A slice is of one row group or of several: each small file costs a reader more than a hundred rows do.
    """

    footer: Footer
    column: Column
    arrow_schema: bytes | None
    read: Read

    @classmethod
    def of(cls, footer: Footer, column: Column, read: Read) -> "Slicer":
        """Raises UnsupportedError when the file's note of types does not fit its columns."""
        note = footer.arrow_schema
        return cls(footer, column, one_field(note, column.index, column.name) if note else None, read)

    def from_pages(self, pages: Iterable[tuple[Group, Page]], budget: int) -> Iterator[RowSlice]:
        """The slices of these pages of a flat column, each at most `budget` bytes if its pages allow."""
        for batch in self._batches(pages, budget):
            yield self._flat(batch)

    def from_groups(self, groups: Sequence[Group], budget: int) -> Iterator[RowSlice]:
        """The slices of whole row groups, found while their bytes arrive."""
        if self.column.flat:
            yield from self.from_pages(
                ((group, page) for group in groups for page in self._pages(group)), budget
            )
        else:
            yield self.nested(groups)

    def nested(self, groups: Sequence[Group]) -> RowSlice:
        """The row groups of a column of lists or structs, in one slice.

        Raises UnsupportedError for one whose pages are beyond MAX_NESTED_SIZE.
        """
        return self._row_slice(groups[0].first_row, [self._nested(group) for group in groups])

    def _nested(self, group: Group) -> PartGroup:
        parts: list[Part] = []
        for chunk in group.of(self.column):
            walker = PageWalker(chunk)
            size = sum(page.uncompressed for page in _walked(walker, self.read))
            head = 0
            if walker.dictionary:
                head = walker.dictionary.stop - walker.dictionary.start
                size += walker.dictionary.uncompressed
            parts.append(Part(chunk, [self.read(chunk.start, chunk.stop)], head, chunk.values, size))
            if sum(part.uncompressed for part in parts) > MAX_NESTED_SIZE:
                raise UnsupportedError("a row group of a nested column is too large")
        return PartGroup(group.rows, parts)

    def check(self, group: Group) -> None:
        """Raise UnsupportedError for a nested row group that is beyond MAX_NESTED_SIZE by its own account."""
        if (
            not self.column.flat
            and sum(max(chunk.uncompressed, chunk.size) for chunk in group.of(self.column)) > MAX_NESTED_SIZE
        ):
            raise UnsupportedError("a row group of a nested column is too large")

    def _pages(self, group: Group) -> Iterator[Page]:
        return _walked(PageWalker(group.of(self.column)[0]), self.read)

    def _batches(
        self, pages: Iterable[tuple[Group, Page]], budget: int
    ) -> Iterator[list[tuple[Group, Page]]]:
        batch: list[tuple[Group, Page]] = []
        size = rows = 0
        for group, page in pages:
            expanded = _expanded(page, group.of(self.column)[0])
            if batch and (size + expanded > budget or rows + page.values > MAX_SLICE_ROWS):
                yield batch
                batch, size, rows = [], 0, 0
            batch.append((group, page))
            size += expanded
            rows += page.values
        yield batch

    def _flat(self, batch: Sequence[tuple[Group, Page]]) -> RowSlice:
        group, page = batch[0]
        parts = [
            self._part(group.of(self.column)[0], [page for _, page in found])
            for group, found in groupby(batch, key=lambda each: each[0])
        ]
        return self._row_slice(group.first_row + page.first, [PartGroup(p.values, [p]) for p in parts])

    def _part(self, chunk: Chunk, pages: Sequence[Page]) -> Part:
        head = [page.dictionary for page in pages if page.dictionary][:1]
        data = [self.read(page.start, page.stop) for page in head]
        if any(page.levels for page in pages):
            data += [with_null_count(self.read(page.start, page.stop)) for page in pages]
        else:
            data += [self.read(*span) for span in merged((page.start, page.stop) for page in pages)]
        rows = sum(page.values for page in pages)
        uncompressed = sum(page.uncompressed for page in (*head, *pages))
        return Part(chunk, data, sum(page.stop - page.start for page in head), rows, uncompressed)

    def _row_slice(self, first_row: int, groups: Sequence[PartGroup]) -> RowSlice:
        parquet = rebuild(self.footer, self.column, self.arrow_schema, groups)
        return RowSlice(self.column.name, first_row, sum(group.rows for group in groups), parquet)


def _walked(walker: PageWalker, read: Read) -> Iterator[Page]:
    while page := walker.next(read, walker.chunk.stop):
        yield page


def _expanded(page: Page, chunk: Chunk) -> int:
    """About how many bytes the values of a page take once they no longer refer to a dictionary."""
    estimates = [page.uncompressed, chunk.uncompressed * page.values // chunk.values]
    if page.dictionary:
        estimates.append(page.dictionary.uncompressed * page.values // max(1, page.dictionary.values))
    return max(estimates)
