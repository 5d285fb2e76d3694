"""A Parquet file of which only the needed bytes are fetched."""

from collections.abc import Iterator, Sequence
from itertools import chain

from sutro_mcp.results.byte_ranges import ByteRange, merged

from .footer import Chunk, Footer, Group, read_footer
from .null_counts import second_kind, with_null_count
from .page_ranges import FlatChunk, opening_ranges
from .parquet_errors import DamagedError, UnsupportedError
from .request_coalescing import Bytes, CoalescedRequests, Lookup
from .schema import Column
from .slice_files import MAX_SLICE_ROWS, RowSlice, Slicer
from .thrift_fields import ENCRYPTED_MAGIC, MAGIC

MAX_FOOTER = 64 << 20
SLICE_BUDGET = 8 << 20
_FRAME = 8  # length of the footer and magic


def open_parquet(source: Bytes) -> "ParquetFile":
    """Read the footer, in one round of requests if it has a usual size, else in two.

    Raises HostileError for a file that nobody should read, DamagedError and UnsupportedError for one that is
    left to a full reader.
    """
    size = source.size
    if size < len(MAGIC) + _FRAME:
        raise DamagedError("the file is too short")
    rounds = CoalescedRequests(source)
    rounds.fetch(opening_ranges(size))
    frame = source.read(size - _FRAME, size)
    if frame[4:] == ENCRYPTED_MAGIC:
        raise UnsupportedError("the file is encrypted")
    if frame[4:] != MAGIC:
        raise DamagedError("the file does not end as Parquet does")
    length = int.from_bytes(frame[:4], "little")
    start = size - _FRAME - length
    if start < len(MAGIC) or length > MAX_FOOTER:
        raise DamagedError("the footer is too long")
    rounds.fetch([(start, size)])
    return ParquetFile(rounds, read_footer(source.read(start, size - _FRAME), start))


class ParquetFile:
    """An open file. It remembers where pages are, and holds none of them.

    Its methods raise DamagedError when pages contradict the footer, UnsupportedError for pages that need a
    full reader and for a nested column whose row groups are too large, and KeyError for a name that no
    column has.
    """

    def __init__(self, rounds: CoalescedRequests, footer: Footer) -> None:
        self._rounds = rounds
        self._footer = footer
        self._columns = {column.name: column for column in footer.columns}
        self._slicers: dict[str, Slicer] = {}
        self._known: dict[tuple[int, str], FlatChunk] = {}

    @property
    def row_count(self) -> int:
        """Rows of the whole file."""
        return self._footer.rows

    @property
    def names(self) -> tuple[str, ...]:
        """The top-level columns in the order of the schema; to be taken literally."""
        return tuple(self._columns)

    def spans(self, names: Sequence[str]) -> list[ByteRange]:
        """Where all rows of these columns are, in file order."""
        return merged((chunk.start, chunk.stop) for chunk in self._chunks(names))

    def uncompressed(self, names: Sequence[str]) -> int:
        """Bytes of these columns' pages once decompressed, as the footer says.

        A value that stands in a dictionary counts once.
        """
        return sum(chunk.uncompressed for chunk in self._chunks(names))

    def _chunks(self, names: Sequence[str]) -> list[Chunk]:
        columns = [self._columns[name] for name in names]
        return [chunk for group in self._footer.groups for column in columns for chunk in group.of(column)]

    def rows(self, names: Sequence[str], start: int, stop: int) -> dict[str, list[RowSlice]]:
        """For each column the slices that cover rows [start, stop) as far as there are such rows, in order.

        The first slice may begin before `start` and the last end after `stop`. What one call needs of all
        columns is asked for together, round by round.
        """
        start, stop = max(0, start), min(stop, self.row_count)
        groups = [
            group
            for group in self._footer.groups
            if max(start, group.first_row) < min(stop, group.first_row + group.rows)
        ]
        columns = [self._columns[name] for name in dict.fromkeys(names)]
        lookups = [
            self._rows(
                column, group, max(0, start - group.first_row), min(group.rows, stop - group.first_row)
            )
            for column in columns
            for group in groups
        ]
        found: dict[str, list[RowSlice]] = {column.name: [] for column in columns}
        for each in chain.from_iterable(self._rounds.together(lookups)):
            found[each.name].append(each)
        return found

    def miscounts_nulls(self) -> bool:
        """Whether a page says a wrong number of nulls, in which case a full reader shifts its values.

        `rows` and `slice_files` give such pages with the right number.
        """
        read = self._rounds.source.read
        return any(
            with_null_count(page) != page
            for column in self._columns.values()
            if column.flat
            for group in self._footer.groups
            for page in second_kind(group.of(column)[0], read)
        )

    def slice_files(self, names: Sequence[str], budget: int = SLICE_BUDGET) -> Iterator[RowSlice]:
        """Every row of these columns once, in file order: row group by row group, column by column within it.

        A slice has at most `budget` uncompressed bytes if its pages allow, and at most 262,144 rows; that of
        a nested column has whole row groups. Small row groups share their slices. Nothing is asked for:
        `spans(names)` must be there or arrive in this order. What can be known from the footer is refused at
        once, what pages say only when they are reached, after sound slices.
        """
        slicers = [self._slicer(self._columns[name]) for name in dict.fromkeys(names)]
        for slicer in slicers:
            for group in self._footer.groups:
                slicer.check(group)
        return (
            each
            for groups in self._together(slicers, budget)
            for slicer in sorted(slicers, key=lambda slicer: groups[0].of(slicer.column)[0].start)
            for each in slicer.from_groups(groups, budget)
        )

    def _together(self, slicers: Sequence[Slicer], budget: int) -> Iterator[list[Group]]:
        """Adjacent row groups, several where each is small: by the budget of their largest column."""
        batch: list[Group] = []
        sizes, rows = dict.fromkeys(range(len(slicers)), 0), 0
        for group in self._footer.groups:
            own = [sum(chunk.uncompressed for chunk in group.of(slicer.column)) for slicer in slicers]
            grown = {place: sizes[place] + size for place, size in enumerate(own)}
            if batch and (max(grown.values(), default=0) > budget or rows + group.rows > MAX_SLICE_ROWS):
                yield batch
                batch, grown, rows = [], dict(enumerate(own)), 0
            batch.append(group)
            sizes, rows = grown, rows + group.rows
        if batch:
            yield batch

    def _rows(self, column: Column, group: Group, start: int, stop: int) -> Lookup[list[RowSlice]]:
        slicer = self._slicer(column)
        chunks = group.of(column)
        slicer.check(group)
        if not column.flat:
            yield merged((chunk.start, chunk.stop) for chunk in chunks)
            return [slicer.nested([group])]
        known = self._known.setdefault((group.first_row, column.name), FlatChunk(chunks[0]))
        pages = yield from known.lookup(self._rounds.source.read, start, stop)
        return list(slicer.from_pages(((group, page) for page in pages), SLICE_BUDGET))

    def _slicer(self, column: Column) -> Slicer:
        if column.name not in self._slicers:
            self._slicers[column.name] = Slicer.of(self._footer, column, self._rounds.source.read)
        return self._slicers[column.name]
