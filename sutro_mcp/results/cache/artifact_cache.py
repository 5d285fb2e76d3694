"""The folder of artifacts: each is fetched once, however many ask, and the least recently used make room.

The name of an artifact is a digest of deployment, key, job and options: nobody reaches what another key got.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple, dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Protocol

import anyio

from sutro_mcp import errors
from sutro_mcp.results_spec import ResultsSpec

from .artifact_fetching import CachedArtifact, Format, OnBytes, RemoteArtifact
from .cache_folders import KEPT_SECONDS, claim, is_ours, remove_folder, sweep, temporary_folder, usage
from .sparse_file import Entry, read_state, remove

CAPACITY = 5 * 1024**3
# Files that are open between two calls.
_MOST_OPEN = 32


class FetchedArtifact(Protocol):
    """The file of a source that cannot offer parts: complete, checked file."""

    @property
    def path(self) -> Path: ...
    @property
    def format(self) -> Format: ...


class ArtifactSource(Protocol):
    """Where artifacts come from; the typed client is one."""

    @property
    def cache_identity(self) -> str:
        """Stands for deployment and key, and reveals neither."""
        ...

    async def open_results(self, spec: ResultsSpec) -> RemoteArtifact | None:
        """The artifact where parts of it can be had, or None."""
        ...

    async def fetch_results(
        self, spec: ResultsSpec, directory: Path, *, on_bytes: OnBytes | None = None
    ) -> FetchedArtifact:
        """The whole artifact as a new file in `directory`."""
        ...


@dataclass
class _Open:
    artifact: CachedArtifact
    users: int = 0
    is_bad: bool = False


class ArtifactStore:
    """At most `capacity` bytes of artifacts besides those in use; without `folder` none outlives `close`."""

    def __init__(self, folder: Path | None = None, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.bytes = 0
        """The bytes of all artifacts when they were last counted, which is after each use."""
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._turns: dict[str, anyio.Lock] = {}
        # Also for what cannot be checked later, which is of no use to another process.
        self._private = temporary_folder()
        self.folder = folder or self._private

    @asynccontextmanager
    async def artifact(
        self,
        source: ArtifactSource,
        spec: ResultsSpec,
        *,
        fresh: bool = False,
        on_bytes: OnBytes | None = None,
    ) -> AsyncGenerator[CachedArtifact]:
        """The artifact, kept on disk until the block ends. `fresh` neither reads nor feeds the store.

        When the block raises ArtifactChangedError or UnexpectedReplyError, what it has read is not given to
        the next caller; nor is what is kept, unless a `fresh` one turns out to be the same.
        """
        key = _key(source, spec)
        if fresh:
            artifact = await self._find(None, source, spec, on_bytes)
            try:
                yield artifact
                if key in self._open and not self._open[key].artifact.is_that_of(artifact):
                    self._drop(key)
            finally:
                artifact.discard()
            return
        async with self._turns.setdefault(key, anyio.Lock()):
            if key in self._open and not self._open[key].artifact.is_in_place:
                self._drop(key)
            if key not in self._open:
                self._open[key] = _Open(await self._find(key, source, spec, on_bytes))
            entry = self._open[key]
            self._open.move_to_end(key)
            entry.users += 1
        try:
            yield entry.artifact
        except (errors.UnexpectedReplyError, errors.ArtifactChangedError):
            entry.is_bad = True
            raise
        finally:
            entry.users -= 1
            if entry.is_bad and self._open.get(key) is entry:
                self._drop(key)
            elif entry.is_bad and not entry.users:
                entry.artifact.discard()
            self._make_room()

    def path_of(self, source: ArtifactSource, spec: ResultsSpec) -> Path | None:
        """Where the artifact lies that the next caller gets, if it is known; no other ever lies there."""
        entry = self._open.get(_key(source, spec))
        return entry.artifact.path if entry is not None and not entry.is_bad else None

    def _drop(self, key: str) -> None:
        """Give it to no other caller, and remove it when the last one that has it is done."""
        entry = self._open.pop(key)
        entry.is_bad = True
        if not entry.users:
            entry.artifact.discard()

    def close(self) -> None:
        """Keep what the next process can use; remove the rest."""
        for entry in self._open.values():
            entry.artifact.close()
        self._open.clear()
        remove_folder(self._private)
        # Here, as a server that starts has somebody who waits for it.
        sweep()

    async def _find(
        self, key: str | None, source: ArtifactSource, spec: ResultsSpec, on_bytes: OnBytes | None
    ) -> CachedArtifact:
        """An earlier process's artifact, if it is still what the deployment has; else a new one.

        Without `key` it is a new one, which no other process finds.
        """
        remote = await source.open_results(spec)
        if remote is None:
            _restore(self._private)
            fetched = await source.fetch_results(spec, self._private, on_bytes=on_bytes)
            entry = Entry(fetched.path, fetched.path.stat().st_size, spec.doing, is_whole=True)
            return CachedArtifact(entry, None, fetched.format)
        if key is None:
            data = self._private / f"{token_hex(8)}.data"
        elif found := await self._left(key, remote, spec):
            return found
        else:
            data = self.folder / f"{key}-{token_hex(8)}.data"
        _restore(data.parent)
        return CachedArtifact(Entry(data, remote.size, spec.doing), remote)

    async def _left(self, key: str, remote: RemoteArtifact, spec: ResultsSpec) -> CachedArtifact | None:
        """An earlier process's artifact, if it is still what the deployment has."""
        for data in sorted(filter(is_ours, self.folder.glob(f"{key}-*.data"))):
            state = await anyio.to_thread.run_sync(read_state, data)
            if state is None:
                continue
            if state.size != remote.size:
                remove(data)
                continue
            try:
                artifact = CachedArtifact(Entry(data, remote.size, spec.doing, state=state), remote)
            except errors.ConfigurationError:
                # Something else is in its place. Where nothing can be kept, a new one will say so.
                remove(data)
                continue
            try:
                await artifact.verify()
            except (errors.ArtifactChangedError, errors.RangesUnsupportedError):
                artifact.discard()
            except BaseException:
                artifact.close()
                raise
            else:
                return artifact
        return None

    def _make_room(self) -> None:
        """Close what is too many, then remove what is too old or too much, the least recently used first."""
        idle = [key for key, entry in self._open.items() if not entry.users]
        for key in idle[: max(len(self._open) - _MOST_OPEN, 0)]:
            self._open.pop(key).artifact.close()
        in_use = {entry.artifact.path for entry in self._open.values() if entry.users}
        paths = {
            *filter(is_ours, self.folder.glob("*.data")),
            *(entry.artifact.path for entry in self._open.values()),
        }
        files = sorted((*used, path) for path in paths if (used := usage(path)) is not None)
        total = sum(size for _, size, _ in files)
        for used, size, path in files:
            if path in in_use or (total <= self.capacity and time.time() - used < KEPT_SECONDS):
                continue
            for key in [key for key, entry in self._open.items() if entry.artifact.path == path]:
                self._open.pop(key).artifact.discard()
            remove(path)
            total -= size
        self.bytes = total


def _restore(folder: Path) -> None:
    """Make a folder anew that somebody has removed."""
    # Where that fails, what is to be written there says why.
    if not folder.exists():
        with suppress(OSError):
            claim(folder)


def _key(source: ArtifactSource, spec: ResultsSpec) -> str:
    parts = (source.cache_identity, *astuple(spec))
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
