"""One artifact in use: what of it is on disk, and how the rest gets there: once, however many ask for it."""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import anyio

from sutro_mcp import errors
from sutro_mcp.concurrency import task_group
from sutro_mcp.results.byte_ranges import ByteRange, ByteRanges, merged

from .sparse_file import Entry, Writer

OnBytes = Callable[[int, int | None], None]
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


@dataclass(eq=False)
class _Coming:
    """A request under way: bytes up to `at` have come, and those up to `stop` will."""

    at: int
    stop: int
    failure: errors.TemporaryError | None = None
    """Why they will not, for all that wait for them."""


class CachedArtifact:
    """An artifact of which parts are on disk and the rest is in the object store, if it has one."""

    def __init__(self, entry: Entry, remote: RemoteArtifact | None, kind: Format = "parquet") -> None:
        """Without `remote` everything is on disk already, and nothing tells whether it is still current."""
        self.format: Format = kind
        self._entry = entry
        self._remote = remote
        self._coming: list[_Coming] = []
        self._news = anyio.Event()
        self._listeners: list[OnBytes] = []
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
        return not self._entry.gaps([(0, self.size)])

    @property
    def is_in_place(self) -> bool:
        return self._entry.is_in_place

    def is_that_of(self, other: "CachedArtifact") -> bool:
        """Whether both are the same artifact, as far as the store's tag for it can tell."""
        etag = self._entry.etag
        return etag is not None and (etag, self.size) == (other._entry.etag, other.size)

    @contextmanager
    def reporting(self, on_bytes: OnBytes | None) -> Generator[None]:
        """Tell `on_bytes` how many bytes are there, and how many there are, whenever some come."""
        if on_bytes is None:
            yield
            return
        self._listeners.append(on_bytes)
        try:
            yield
        finally:
            self._listeners.remove(on_bytes)

    async def verify(self) -> None:
        """Raises ArtifactChangedError if what an earlier process left is not of what the store has now."""
        async with aclosing(self._chunks(0, 1)) as chunks:
            async for _ in chunks:
                pass

    async def fetch(self, spans: Sequence[ByteRange]) -> None:
        """Return when all these bytes are on disk."""
        fetched: list[ByteRange] = []
        while gaps := await self._gaps(spans):
            if gaps == fetched:
                raise errors.UnexpectedReplyError(
                    "read the results", "bytes that came are not there", "Call again; if it stays, report it"
                )
            coming = ByteRanges((fetch.at, fetch.stop) for fetch in self._coming)
            fetches = [gap for start, stop in gaps for gap in coming.gaps(start, stop)]
            # Beside parts that are on their way, the rest would be a part, too.
            if fetches and not (self._only_whole and self._coming):
                in_parts = not self._only_whole
                await self._fetch_all(fetches)
                fetched = [] if in_parts and self._only_whole else gaps
            else:
                awaited = list(self._coming)
                await self._news.wait()
                for each in awaited:
                    if each.failure and any(start < each.stop and each.at < stop for start, stop in gaps):
                        raise each.failure
        self._entry.touch()

    async def prefetch(self, spans: Sequence[ByteRange]) -> None:
        """Fetch these bytes in order, for a reader that will soon want them and meet what goes wrong."""
        for start, stop in spans:
            for at in range(start, stop, _STEP):
                await self._check([(at, min(at + _STEP, stop))])
        for span in await self._gaps(spans):
            await self.fetch([span])

    def close(self) -> None:
        """Keep what has come for another time, if it can then be told from another artifact."""
        if self._entry.etag is None:
            self._entry.discard()
        else:
            self._entry.close()

    def discard(self) -> None:
        self._entry.discard()

    async def _gaps(self, spans: Sequence[ByteRange]) -> list[ByteRange]:
        if self._only_whole:
            spans = [(0, self.size)]
        await self._check(spans)
        return merged(self._entry.gaps(spans), _GAP)

    async def _check(self, spans: Sequence[ByteRange]) -> None:
        async with self._checking:
            if not self._entry.is_checked(spans):
                await anyio.to_thread.run_sync(self._entry.check, spans)

    async def _fetch_all(self, spans: list[ByteRange]) -> None:
        # At once, before anybody else can ask for the same.
        coming = [_Coming(start, stop) for start, stop in spans]
        self._coming.extend(coming)

        async def fetch(each: _Coming) -> None:
            try:
                await self._fetch(each)
            except errors.RangesUnsupportedError:
                # What is there cannot be completed: all of it is asked for, from zero.
                self._only_whole = True
                self._entry.clear()

        try:
            async with task_group() as group:
                for each in coming:
                    group.start_soon(fetch, each)
        finally:
            for each in coming:
                self._end(each)

    def _end(self, coming: _Coming) -> None:
        if coming in self._coming:
            self._coming.remove(coming)
            self._tell()

    async def _fetch(self, coming: _Coming) -> None:
        writer = Writer(self._entry, coming.at)
        try:
            async with aclosing(self._chunks(coming.at, coming.stop)) as chunks:
                async for data in chunks:
                    self._check_etag()
                    writer.write(data)
                    coming.at = writer.at
                    self._tell()
        except BaseException as error:
            if self._entry.etag is None:
                # Nothing could tell whether what comes next belongs to the same artifact.
                self._entry.clear()
            if isinstance(error, errors.TemporaryError) and error.given_up:
                coming.failure = error
            raise
        finally:
            writer.end()
            self._end(coming)
        self._entry.note()

    def _chunks(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        assert self._remote is not None  # noqa: S101 - without one there are no gaps
        return self._remote.chunks(start, stop, self._entry.etag)

    def _check_etag(self) -> None:
        """Two requests that were sent before the entity tag was known must have found the same artifact."""
        found = None if self._remote is None else self._remote.etag
        if self._entry.etag is None:
            self._entry.etag = found
        elif found != self._entry.etag:
            raise errors.ArtifactChangedError(
                "read the results", "they were replaced meanwhile", "Call again to read the new ones"
            )

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()
        for listener in self._listeners:
            listener(self._entry.come, self.size)
