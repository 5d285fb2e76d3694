"""One artifact in use: what of it is on disk, and how the rest gets there.

Whoever needs bytes says which; what is missing is fetched, however many ask for it, once.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from pathlib import Path
from typing import Literal, Protocol

import anyio

from sutro_mcp.errors import (
    ArtifactChangedError,
    RangesUnsupportedError,
    SutroError,
    UnexpectedReplyError,
)
from sutro_mcp.results.cache.byte_ranges import ByteRange, ByteRanges, merged

from .file_on_disk import Entry

Progress = Callable[[int, int | None], None]
Format = Literal["parquet", "json", "csv"]

# Up to this size an artifact is fetched whole: one request costs less than the three of a page.
SMALL = 8 * 1024 * 1024
# Nearer spans are fetched as one: the bytes between cost less than another request.
_GAP = 64 * 1024
# How much of what an earlier process left is checked before others get their turn.
_STEP = 16 * 1024 * 1024


class RemoteArtifact(Protocol):
    """An artifact in the object store. `etag` is its strong entity tag, known after the first reply."""

    @property
    def size(self) -> int: ...
    @property
    def etag(self) -> str | None: ...
    def chunks(self, start: int, stop: int, etag: str | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` to `stop`, of the artifact that `etag` names.

        Raises ArtifactChangedError, or RangesUnsupportedError where only the whole can be had.
        """
        ...


class CachedArtifact(Protocol):
    """What a reader of results works on."""

    @property
    def path(self) -> Path: ...
    @property
    def format(self) -> Format: ...
    @property
    def size(self) -> int: ...
    @property
    def inode(self) -> int: ...
    @property
    def is_whole(self) -> bool:
        """Whether every byte is on disk."""
        ...

    def reporting(self, on_progress: Progress | None) -> AbstractContextManager[None]:
        """Tell `on_progress` how many bytes are there, and how many there are, whenever some come."""
        ...

    async def want(self, spans: Sequence[ByteRange]) -> None:
        """Return when all these bytes are on disk."""
        ...

    async def ahead(self, spans: Sequence[ByteRange]) -> None:
        """Fetch these bytes in order, for a reader that will soon want them and meet what goes wrong."""
        ...


class WholeFile:
    """An artifact that came as a file."""

    def __init__(self, path: Path, kind: Format) -> None:
        self.path = path
        self.format: Format = kind
        self.is_whole = True
        stat = path.stat()
        self.size = stat.st_size
        self.inode = stat.st_ino

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still there."""
        return self.path.exists()

    def is_that_of(self, other: "PartialFile | WholeFile") -> bool:  # noqa: ARG002
        """Nothing tells whether another one is the same."""
        return False

    def reporting(self, on_progress: Progress | None) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing more will come."""
        return nullcontext()

    async def want(self, spans: Sequence[ByteRange]) -> None:
        """Everything is there."""

    async def ahead(self, spans: Sequence[ByteRange]) -> None:
        """Everything is there."""

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Nobody else could tell that it is still what the deployment has."""
        self.discard()


class _Coming:
    """A request under way: bytes up to `at` have come, and those up to `stop` will."""

    def __init__(self, start: int, stop: int) -> None:
        self.at = start
        self.stop = stop


class PartialFile:
    """An artifact of which parts are on disk and the rest is in the object store."""

    format: Format = "parquet"

    def __init__(self, entry: Entry, remote: RemoteArtifact) -> None:
        self._entry = entry
        self._remote = remote
        self._coming: list[_Coming] = []
        self._news = anyio.Event()
        self._listeners: list[Progress] = []
        self._checking = anyio.Lock()
        self._only_whole = entry.size <= SMALL

    @property
    def path(self) -> Path:
        return self._entry.data

    @property
    def size(self) -> int:
        return self._entry.size

    @property
    def inode(self) -> int:
        return self._entry.inode

    @property
    def is_whole(self) -> bool:
        return self._entry.has(0, self.size)

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still there."""
        return self._entry.is_in_place

    def is_that_of(self, other: "PartialFile | WholeFile") -> bool:
        """Whether both are the same artifact, as far as the store's tag for it can tell."""
        if not isinstance(other, PartialFile) or self._entry.etag is None:
            return False
        return (self._entry.etag, self.size) == (other._entry.etag, other.size)

    @contextmanager
    def reporting(self, on_progress: Progress | None) -> Generator[None]:
        if on_progress is None:
            yield
            return
        self._listeners.append(on_progress)
        try:
            yield
        finally:
            self._listeners.remove(on_progress)

    async def verify(self) -> None:
        """Raises ArtifactChangedError if what an earlier process left is not of what the store has now."""
        async with aclosing(self._remote.chunks(0, 1, self._entry.etag)) as chunks:
            async for _ in chunks:
                pass

    async def want(self, spans: Sequence[ByteRange]) -> None:
        fetched: list[ByteRange] = []
        while missing := await self._missing(spans):
            if missing == fetched:
                raise UnexpectedReplyError(
                    "read the results", "bytes that came are not there", "Call again; if it stays, report it"
                )
            coming = ByteRanges((fetch.at, fetch.stop) for fetch in self._coming)
            if fetches := [gap for start, stop in missing for gap in coming.missing(start, stop)]:
                await self._fetch_all(fetches)
                fetched = missing
            else:
                await self._news.wait()
        self._entry.touch()

    async def ahead(self, spans: Sequence[ByteRange]) -> None:
        for start, stop in spans:
            for at in range(start, stop, _STEP):
                await self._check([(at, min(at + _STEP, stop))])
        for span in await self._missing(spans):
            await self.want([span])

    def close(self) -> None:
        """Keep what has come for another time, if it can then be told from another artifact."""
        if self._entry.etag is None:
            self._entry.discard()
        else:
            self._entry.close()

    def discard(self) -> None:
        """Remove what has come."""
        self._entry.discard()

    async def _missing(self, spans: Sequence[ByteRange]) -> list[ByteRange]:
        if self._only_whole:
            spans = [(0, self.size)]
        await self._check(spans)
        return merged(self._entry.missing(spans), _GAP)

    async def _check(self, spans: Sequence[ByteRange]) -> None:
        async with self._checking:
            if not self._entry.is_checked(spans):
                await anyio.to_thread.run_sync(self._entry.check, spans)

    async def _fetch_all(self, spans: list[ByteRange]) -> None:
        # At once, before anybody else can ask for the same.
        coming = [_Coming(start, stop) for start, stop in spans]
        self._coming.extend(coming)
        failures: list[SutroError] = []

        async def fetch(each: _Coming) -> None:
            try:
                await self._fetch(each)
            except RangesUnsupportedError:
                # What is there cannot be completed: all of it is asked for, from zero.
                self._only_whole = True
                self._entry.clear()
            except SutroError as error:
                failures.append(error)
                group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                for each in coming:
                    group.start_soon(fetch, each)
        finally:
            for each in coming:
                self._end(each)
        if failures:
            raise failures[0]

    def _end(self, coming: _Coming) -> None:
        if coming in self._coming:
            self._coming.remove(coming)
            self._tell()

    async def _fetch(self, coming: _Coming) -> None:
        writer = self._entry.writer(coming.at)
        try:
            async with aclosing(self._remote.chunks(coming.at, coming.stop, self._entry.etag)) as chunks:
                async for data in chunks:
                    self._agree()
                    writer.write(data)
                    coming.at = writer.at
                    self._tell()
        except BaseException:
            if self._entry.etag is None:
                # Nothing could tell whether what comes next belongs to the same artifact.
                self._entry.clear()
            raise
        finally:
            writer.end()
            self._end(coming)
        self._entry.note()

    def _agree(self) -> None:
        """Two requests that were sent before the entity tag was known must have found the same artifact."""
        found = self._remote.etag
        if self._entry.etag is None:
            self._entry.etag = found
        elif found != self._entry.etag:
            raise ArtifactChangedError(
                "read the results", "they were replaced meanwhile", "Call again to read the new ones"
            )

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()
        for listener in self._listeners:
            listener(self._entry.come, self.size)
