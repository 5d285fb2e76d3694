"""Where result artifacts lie while the server runs, and the promise of one download however many ask.

The folder belongs to one server process: it is made private at start and removed at the end. Results of a
job that succeeded do not change, so a fetched artifact is reused until the least recently used ones have to
make room.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import anyio

from sutro_mcp.errors import UnexpectedReplyError

Progress = Callable[[int, int | None], None]


class FetchedArtifact(Protocol):
    """What a source hands over: a complete, checked file."""

    @property
    def path(self) -> Path: ...
    @property
    def format(self) -> Literal["parquet", "json", "csv"]: ...
    @property
    def size(self) -> int: ...


class ArtifactSource(Protocol):
    """Where artifacts come from; the typed client is one."""

    async def fetch_results(
        self,
        job_id: str,
        directory: Path,
        *,
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
        on_progress: Progress | None = None,
    ) -> FetchedArtifact:
        """Fetch the whole artifact into a new file in `directory`."""
        ...


@dataclass(frozen=True)
class Variant:
    """One artifact: the options change its columns."""

    job_id: str
    include_inputs: bool = False
    include_cumulative_logprobs: bool = False


@dataclass
class _Entry:
    artifact: FetchedArtifact
    users: int = 0
    is_bad: bool = False


@dataclass
class ArtifactStore:
    """Artifacts by variant, at most `capacity` bytes besides those in use."""

    directory: Path
    capacity: int = 2 * 1024**3
    _entries: OrderedDict[Variant, _Entry] = field(default_factory=OrderedDict[Variant, _Entry])
    _turns: dict[Variant, anyio.Lock] = field(default_factory=dict[Variant, anyio.Lock])

    @asynccontextmanager
    async def artifact(
        self,
        source: ArtifactSource,
        variant: Variant,
        *,
        fresh: bool = False,
        on_progress: Progress | None = None,
    ) -> AsyncGenerator[FetchedArtifact]:
        """The artifact, kept on disk until the block ends. `fresh` neither reads nor feeds the store."""
        if fresh:
            artifact = await self._fetch(source, variant, on_progress)
            try:
                yield artifact
            finally:
                artifact.path.unlink(missing_ok=True)
            return
        async with self._turns.setdefault(variant, anyio.Lock()):
            if variant not in self._entries:
                self._entries[variant] = _Entry(await self._fetch(source, variant, on_progress))
            entry = self._entries[variant]
            self._entries.move_to_end(variant)
            entry.users += 1
        try:
            yield entry.artifact
        except UnexpectedReplyError:
            # What cannot be read must not be what the next call finds.
            entry.is_bad = True
            raise
        finally:
            entry.users -= 1
            if entry.is_bad and self._entries.get(variant) is entry:
                del self._entries[variant]
            if entry.is_bad and not entry.users:
                entry.artifact.path.unlink(missing_ok=True)
            self._make_room()

    async def _fetch(
        self, source: ArtifactSource, variant: Variant, on_progress: Progress | None
    ) -> FetchedArtifact:
        return await source.fetch_results(
            variant.job_id,
            self.directory,
            include_inputs=variant.include_inputs,
            include_cumulative_logprobs=variant.include_cumulative_logprobs,
            on_progress=on_progress,
        )

    def _make_room(self) -> None:
        total = sum(entry.artifact.size for entry in self._entries.values())
        for variant, entry in list(self._entries.items()):
            if total <= self.capacity:
                return
            if not entry.users:
                entry.artifact.path.unlink(missing_ok=True)
                del self._entries[variant]
                total -= entry.artifact.size
