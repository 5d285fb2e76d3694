"""The store: one download however many ask, and room made only where nobody reads."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio
import pytest

from sutro_mcp.errors import ServiceUnavailableError
from sutro_mcp.results import ArtifactStore, Progress, Variant

pytestmark = pytest.mark.anyio

A, B, C = Variant("job-a"), Variant("job-b"), Variant("job-c", include_inputs=True)


@dataclass(frozen=True)
class Fetched:
    """A file as a source hands it over."""

    path: Path
    size: int
    format: Literal["parquet", "json", "csv"] = "parquet"


@dataclass
class Source:
    """Hands over a file of ten bytes once `gate` is open; fails as often as `failures` says."""

    gate: anyio.Event = field(default_factory=anyio.Event)
    failures: int = 0
    fetched: Counter[Variant] = field(default_factory=Counter[Variant])

    async def fetch_results(
        self,
        job_id: str,
        directory: Path,
        *,
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
        on_progress: Progress | None = None,
    ) -> Fetched:
        """A new file at each call."""
        self.fetched[Variant(job_id, include_inputs, include_cumulative_logprobs)] += 1
        path = directory / f"{job_id}-{self.fetched.total()}"
        await self.gate.wait()
        if self.fetched.total() <= self.failures:
            raise ServiceUnavailableError("fetch", "it is down", "Wait")
        if on_progress:
            on_progress(10, 10)
        path.write_bytes(bytes(10))
        return Fetched(path, 10)


@pytest.fixture
def source() -> Source:
    """A source that answers at once."""
    source = Source()
    source.gate.set()
    return source


async def use(store: ArtifactStore, source: Source, variant: Variant = A, fresh: bool = False) -> Path:
    """Reads an artifact and lets go of it; where it was."""
    async with store.artifact(source, variant, fresh=fresh) as artifact:
        assert artifact.path.exists()
        return artifact.path


def names(folder: Path) -> list[str]:
    """The files in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_many_callers_cause_one_fetch(tmp_path: Path) -> None:
    """Those who come later wait for the first, and all read the same file."""
    store, source, seen = ArtifactStore(tmp_path), Source(), set[Path]()

    async def caller() -> None:
        seen.add(await use(store, source))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as callers:
            for _ in range(20):
                callers.start_soon(caller)
            await anyio.wait_all_tasks_blocked()
            source.gate.set()

    assert source.fetched == {A: 1}
    assert len(seen) == 1


async def test_options_make_another_artifact(tmp_path: Path, source: Source) -> None:
    """They change its columns; each is fetched with its own."""
    store = ArtifactStore(tmp_path)
    variants = [A, Variant("job-a", True), Variant("job-a", False, True), B]

    for variant in variants * 2:
        await use(store, source, variant)

    assert source.fetched == dict.fromkeys(variants, 1)


async def test_a_first_caller_that_is_cancelled_leaves_the_others_unharmed(tmp_path: Path) -> None:
    """The next of them fetches."""
    store, source, done = ArtifactStore(tmp_path), Source(), list[Path]()
    first = anyio.CancelScope()

    async def cancelled() -> None:
        with first:
            await use(store, source)

    async def caller() -> None:
        done.append(await use(store, source))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as callers:
            callers.start_soon(cancelled)
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):
                callers.start_soon(caller)
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            source.gate.set()

    assert len(done) == 3
    assert source.fetched == {A: 2}


async def test_a_failure_is_not_kept(tmp_path: Path, source: Source) -> None:
    """The next caller tries again."""
    store, source.failures = ArtifactStore(tmp_path), 1

    with pytest.raises(ServiceUnavailableError):
        await use(store, source)

    assert await use(store, source) == await use(store, source)
    assert source.fetched == {A: 2}


async def test_a_fresh_artifact_is_neither_read_from_the_store_nor_kept(
    tmp_path: Path, source: Source
) -> None:
    """Its file is gone when the block ends, also if the block fails."""
    store = ArtifactStore(tmp_path)
    kept = await use(store, source)

    fresh = await use(store, source, fresh=True)
    with pytest.raises(ZeroDivisionError):
        async with store.artifact(source, A, fresh=True):
            raise ZeroDivisionError

    assert kept != fresh
    assert await use(store, source) == kept
    assert names(tmp_path) == [kept.name]
    assert source.fetched == {A: 3}


async def test_the_least_recently_used_make_room(tmp_path: Path, source: Source) -> None:
    """Reading counts as use."""
    store = ArtifactStore(tmp_path, capacity=20)
    a, b = await use(store, source, A), await use(store, source, B)
    await use(store, source, A)

    c = await use(store, source, C)

    assert (a.exists(), b.exists(), c.exists()) == (True, False, True)
    assert await use(store, source, A) == a
    assert await use(store, source, B) != b
    assert source.fetched == {A: 1, B: 2, C: 1}


async def test_an_artifact_in_use_stays_however_full_the_store_is(tmp_path: Path, source: Source) -> None:
    """It goes when the last reader does."""
    store = ArtifactStore(tmp_path, capacity=0)

    async with store.artifact(source, A) as outer:
        async with store.artifact(source, A) as inner:
            assert inner.path == outer.path
        await use(store, source, B)
        assert names(tmp_path) == [outer.path.name]

    assert names(tmp_path) == []


async def test_an_artifact_evicted_while_others_wait_is_fetched_for_one_of_them(tmp_path: Path) -> None:
    """Whoever comes later waits too: no two fetch at once, and no file is forgotten."""
    store, source = ArtifactStore(tmp_path, capacity=0), Source()
    first_gate = source.gate

    with anyio.fail_after(5):
        async with anyio.create_task_group() as callers:
            callers.start_soon(use, store, source)
            await anyio.wait_all_tasks_blocked()
            callers.start_soon(use, store, source)
            await anyio.wait_all_tasks_blocked()
            source.gate = anyio.Event()
            first_gate.set()
            await anyio.wait_all_tasks_blocked()
            callers.start_soon(use, store, source)
            await anyio.wait_all_tasks_blocked()
            assert source.fetched == {A: 2}
            source.gate.set()

    assert names(tmp_path) == []


async def test_the_first_caller_follows_the_progress(tmp_path: Path, source: Source) -> None:
    """Of its own fetch; what lies on disk makes none."""
    store, seen = ArtifactStore(tmp_path), list[tuple[int, int | None]]()

    for _ in range(2):
        async with store.artifact(source, A, on_progress=lambda done, total: seen.append((done, total))):
            pass

    assert seen == [(10, 10)]
