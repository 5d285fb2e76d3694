"""The rows of an artifact, wherever its bytes are: some of them as a frame, or all of them in batches.

Of a Parquet file only those pages are read that hold what is asked for (`parquet`). What such reading does
not know how to do, what looks damaged to it, and results that came as JSON, are read whole.
"""

import io
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import polars as pl

from sutro_mcp.concurrency import LRU
from sutro_mcp.results.parquet import (
    DamagedError,
    HostileError,
    ParquetFile,
    RowSlice,
    UnsupportedError,
    open_parquet,
)
from sutro_mcp.results.request_models import LocalArtifact
from sutro_mcp.results.worker.artifact_bytes import FileBytes
from sutro_mcp.results.worker.protocol import Channel, StoppedError

from .artifact_frame import read_artifact, with_plain_text
from .column_roles import Naming, shown_columns, unreadable

# Files whose footer and pages are remembered from one task to the next.
_MOST_FILES = 8
# Decoded rows that are kept, as the next page most likely begins where this one ends.
_KEPT_BYTES = 64 * 1024 * 1024
# Up to this size (decoded) all outputs are looked through for a field; of more, only the first.
_SEARCHED_BYTES = 32 * 1024 * 1024


@contextmanager
def open_rows(
    ref: LocalArtifact, output_column: str, channel: Channel, kept: Sequence[str] = ()
) -> Generator["Rows"]:
    """The rows of an artifact; for `kept` see `shown_columns`. Raises UnexpectedReplyError if unreadable."""
    naming = partial(shown_columns, kept=kept)
    if ref.format != "parquet":
        yield FrameRows(read_artifact(ref, output_column, naming))
        return
    with ExitStack() as stack:
        with _readable(ref):
            opened = _opened(ref)
            stack.enter_context(opened.source.opened(ref.inode, channel))
            try:
                rows = ParquetRows(opened, ref, output_column, naming)
            except _LEFT_TO_FULL_READERS:
                rows = _whole(opened, ref, output_column, naming)
        yield rows


class FrameRows:
    """Rows that are all in memory."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        self.names = frame.columns
        self.height = frame.height

    def part(self, names: Sequence[str], offset: int, limit: int) -> pl.DataFrame:
        return pl.DataFrame({name: self._frame.get_column(name).slice(offset, limit) for name in names})

    def batches(self, names: Sequence[str]) -> Iterator[tuple[str, int, pl.Series]]:
        for name in names:
            yield name, 0, self._frame.get_column(name)

    def size(self, names: Sequence[str]) -> int:
        return sum(int(self._frame.get_column(name).estimated_size()) for name in names)

    def searched(self, name: str) -> tuple[Iterator[pl.Series], bool]:
        return iter([self._frame.get_column(name)]), True

    def whole(self) -> "FrameRows":
        return self


class _Opened:
    """A file, its footer, and what was decoded of it lately."""

    def __init__(self, ref: LocalArtifact) -> None:
        self.source = FileBytes(ref)
        self._file: ParquetFile | None = None
        self._kept = LRU[tuple[str, int], pl.Series](_KEPT_BYTES, _bytes_of)

    @property
    def file(self) -> ParquetFile:
        if self._file is None:
            self._file = open_parquet(self.source)
        return self._file

    def columns(self, names: Sequence[str], start: int, stop: int) -> dict[str, pl.Series]:
        """Rows `start` to `stop` of these columns."""
        found = {name: self._find(name, start, stop) for name in names}
        absent = [name for name, column in found.items() if column is None]
        for name, slices in (self.file.rows(absent, start, stop) if absent else {}).items():
            for each in slices:
                self._kept[name, each.first_row] = decode(each)
            found[name] = self._find(name, start, stop)
        return {name: column for name, column in found.items() if column is not None}

    def _find(self, name: str, start: int, stop: int) -> pl.Series | None:
        """The rows among what is kept, if they are all there."""
        parts: list[pl.Series] = []
        for (kept, first), column in sorted(self._kept.items(), key=lambda item: item[0]):
            if kept == name and first <= start < first + len(column):
                parts.append(column.slice(start - first, stop - start))
                self._kept.move_to_end((kept, first))
                start += len(parts[-1])
                if start >= stop:
                    break
        if start < stop or not parts:
            return None
        return parts[0] if len(parts) == 1 else pl.concat(parts)


class ParquetRows:
    """Rows of which only those that are asked for are read; columns in the documented order, as shown."""

    def __init__(self, opened: _Opened, ref: LocalArtifact, output_column: str, naming: Naming) -> None:
        self._opened = opened
        self._ref = ref
        self._output_column = output_column
        self._naming = naming
        self._stored = naming(opened.file.names, ref, output_column)
        self.names = list(self._stored)
        self.height = opened.file.row_count

    def part(self, names: Sequence[str], offset: int, limit: int) -> pl.DataFrame:
        """These columns of up to `limit` rows from `offset` on."""
        stop = min(offset + limit, self.height)
        if offset >= stop:
            # The types of a column are known to polars once it has seen some of its rows.
            return self.part(names, 0, 1).clear() if self.height else self.whole().part(names, 0, 0)
        with _readable(self._ref):
            try:
                found = self._opened.columns([self._stored[name] for name in names], offset, stop)
            except _LEFT_TO_FULL_READERS:
                return self.whole().part(names, offset, limit)
        return pl.DataFrame({name: found[self._stored[name]] for name in names})

    def batches(self, names: Sequence[str]) -> Iterator[tuple[str, int, pl.Series]]:
        """Every cell of these columns once: column, number of the first row, values; rows in order.

        Raises UnsupportedError, at any time.
        """
        shown = {self._stored[name]: name for name in names}
        with _readable(self._ref):
            file = self._opened.file
            self._opened.source.prefetch(file.spans(tuple(shown)))
            try:
                for each in file.slice_files(tuple(shown)):
                    yield shown[each.name], each.first_row, decode(each)
            except DamagedError as error:
                raise UnsupportedError(*error.args) from error

    def size(self, names: Sequence[str]) -> int:
        """About how many bytes these columns take in memory."""
        return self._opened.file.uncompressed([self._stored[name] for name in names])

    def searched(self, name: str) -> tuple[Iterator[pl.Series], bool]:
        """Values of a column to look something up in, and whether they are all of them."""
        stored = self._stored[name]
        file = self._opened.file
        if file.uncompressed([stored]) > _SEARCHED_BYTES:
            return iter([self.part([name], 0, 1_000).get_column(name)]), False
        self._opened.source.fetch(file.spans([stored]))
        with _readable(self._ref):
            try:
                return iter([decode(each) for each in file.slice_files([stored])]), True
            except _LEFT_TO_FULL_READERS:
                return self.whole().searched(name)

    def whole(self) -> FrameRows:
        """The same rows, read at once: for what `batches` could not do half way through."""
        return _whole(self._opened, self._ref, self._output_column, self._naming)


def _whole(opened: _Opened, ref: LocalArtifact, output_column: str, naming: Naming) -> FrameRows:
    opened.source.fetch([(0, opened.source.size)])
    return FrameRows(read_artifact(ref, output_column, naming))


Rows = FrameRows | ParquetRows
_LEFT_TO_FULL_READERS = (DamagedError, UnsupportedError)
_files = LRU[tuple[str, int], _Opened](_MOST_FILES)


def _opened(ref: LocalArtifact) -> _Opened:
    if ref.inode is None:
        return _Opened(ref)
    key = (ref.path, ref.inode)
    if key not in _files:
        _files[key] = _Opened(ref)
    return _files[key]


def _bytes_of(column: pl.Series) -> int:
    return int(column.estimated_size())


def decode(each: RowSlice) -> pl.Series:
    """The values of a slice. Raises DamagedError."""
    try:
        column = pl.read_parquet(io.BytesIO(each.parquet)).to_series()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise DamagedError("its pages cannot be decoded") from error
    if len(column) != each.row_count:
        raise DamagedError("a page does not hold as many rows as it says")
    return with_plain_text(column)


@contextmanager
def _readable(ref: LocalArtifact) -> Generator[None]:
    try:
        yield
    except HostileError as error:
        raise unreadable(ref, "the file is damaged or not Parquet") from error
    except FileNotFoundError as error:
        if ref.inode is not None:
            # Another server process has made room; the server fetches it anew.
            raise StoppedError from error
        raise unreadable(ref, "the file is not there") from error
    except OSError as error:
        raise unreadable(ref, "the file cannot be read") from error
