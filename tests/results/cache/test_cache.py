"""The folder of artifacts: who finds what there, and what makes room for what."""

import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import ApiVariant, Emulator, Fault, serve_in_thread
from sutro_mcp.errors import (
    ArtifactChangedError,
    ResultsNotReadyError,
    ServiceUnavailableError,
    UnexpectedReplyError,
)
from sutro_mcp.results.cache import ArtifactStore, Variant, private_folder
from tests.results.support import reads_proc

pytestmark = pytest.mark.anyio

BODY = b"PAR1" + bytes(200_000) + b"PAR1"
LARGE = 10**9


@asynccontextmanager
async def sutro(
    reading: ApiVariant = ApiVariant(),  # noqa: B008 - frozen
) -> AsyncGenerator[tuple[Emulator, ApiClient]]:
    """A deployment and a client of it."""
    with serve_in_thread(seed_jobs=False, variant=reading) as emulator:
        async with ApiClient(resolve_connection(emulator.api_origin, emulator.api_key, env={})) as client:
            yield emulator, client


def add(emulator: Emulator) -> Variant:
    """A job with results of about 200 kB."""
    return Variant(emulator.add_job(num_rows=1, outputs=["x"], parquet=BODY))


async def fetch(store: ArtifactStore, client: ApiClient, variant: Variant, fresh: bool = False) -> Path:
    """Fetches all of an artifact and lets go of it; where it is."""
    async with store.artifact(client, variant, fresh=fresh) as artifact:
        await artifact.want([(0, artifact.size)])
        assert artifact.is_whole
        return artifact.path


def asked(emulator: Emulator) -> int:
    """How much was asked since the last time."""
    seen, emulator.requests[:] = list(emulator.requests), []
    return len(seen)


def names(folder: Path) -> list[str]:
    """What kinds of files are in a folder."""
    return sorted(path.suffix for path in folder.iterdir())


async def test_results_are_kept_by_deployment_key_job_and_options(tmp_path: Path) -> None:
    """No name shows what it stands for, and no two of them meet."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        kinds = [variant, Variant(variant.job_id, True), Variant(variant.job_id, False, True), add(emulator)]
        paths = {await fetch(store, client, kind) for kind in kinds}
        assert len(paths) == 4
        asked(emulator)
        assert {await fetch(store, client, kind) for kind in kinds} == paths
        assert asked(emulator) == 0
        assert not any(variant.job_id in path.name for path in paths)
        store.close()


async def test_another_key_reaches_nothing_that_was_fetched_with_this_one(tmp_path: Path) -> None:
    """Not even where the answer would be the same."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        ours = await fetch(store, client, variant)
        emulator.account.api_key = emulator.api_key = "sk_test_another_key"
        async with ApiClient(resolve_connection(emulator.api_origin, emulator.api_key, env={})) as other:
            asked(emulator)
            assert await fetch(store, other, variant) != ours
            assert asked(emulator) == 2
        store.close()


async def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    """Whichever process fetched them; but not what somebody reads."""
    async with sutro() as (emulator, client):
        store = ArtifactStore(tmp_path, 2 * len(BODY) + 50_000)
        old, used, new = add(emulator), add(emulator), add(emulator)
        paths = [await fetch(store, client, each) for each in (old, used)]
        for path in paths:
            os.utime(path.with_suffix(".list"), (time.time() - 60, time.time() - 60))
        async with store.artifact(client, used):
            os.utime(paths[1].with_suffix(".list"), (time.time() - 90, time.time() - 90))
            await fetch(store, client, new)
            assert [path.exists() for path in paths] == [False, True]
        store.close()


async def test_what_nobody_used_for_a_week_is_removed(tmp_path: Path) -> None:
    """Even where there is room; a clock that jumps back removes nothing."""
    async with sutro() as (emulator, client):
        store, week = ArtifactStore(tmp_path, LARGE), 7 * 24 * 3600
        path, later = await fetch(store, client, add(emulator)), await fetch(store, client, add(emulator))
        os.utime(path.with_suffix(".list"), (time.time() - week - 9, time.time() - week - 9))
        os.utime(later.with_suffix(".list"), (time.time() + week, time.time() + week))
        await fetch(store, client, add(emulator))
        assert (path.exists(), later.exists()) == (False, True)
        store.close()


async def test_fresh_results_neither_come_from_the_store_nor_stay_in_it(tmp_path: Path) -> None:
    """Who disables the cache wants nothing kept."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        await fetch(store, client, variant)
        asked(emulator)
        path = await fetch(store, client, variant, fresh=True)
        assert asked(emulator) == 2
        assert not path.exists()
        assert names(tmp_path) == [".data", ".list"]
        store.close()


async def test_a_fresh_look_at_other_results_ends_what_was_kept(tmp_path: Path) -> None:
    """Or the next call would show the old ones again."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        await fetch(store, client, variant)
        changed = BODY[:9] + b"changed" + BODY[16:]
        emulator.job(variant.job_id).parquet = changed
        emulator.artifacts.replace(emulator.job(variant.job_id))
        async with store.artifact(client, variant) as in_use:
            await fetch(store, client, variant, fresh=True)
            assert in_use.path.read_bytes() == BODY
            assert (await fetch(store, client, variant)).read_bytes() == changed
        assert not in_use.path.exists()
        assert names(tmp_path) == [".data", ".list"]
        store.close()


@pytest.mark.parametrize("reading", [ApiVariant(), ApiVariant(results_url=False)], ids=["parts", "whole"])
async def test_what_another_process_removed_is_fetched_anew(tmp_path: Path, reading: ApiVariant) -> None:
    """Made room, or the user took the folder away."""
    async with sutro(reading) as (emulator, client):
        folder = tmp_path / "cache"
        folder.mkdir()
        store, variant = ArtifactStore(folder, LARGE), add(emulator)
        path = await fetch(store, client, variant)
        shutil.rmtree(path.parent)
        assert (await fetch(store, client, variant)).read_bytes() == BODY
        store.close()


async def test_what_goes_while_it_is_checked_is_fetched_anew_by_the_next_call(tmp_path: Path) -> None:
    """The call that meets it cannot know what it would have read."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        await fetch(store, client, variant)
        store.close()
        store = ArtifactStore(tmp_path, LARGE)

        async def read() -> None:
            async with store.artifact(client, variant) as artifact:
                artifact.path.unlink()
                await artifact.want([(0, 9)])

        with pytest.raises(ArtifactChangedError, match="gone from the disk"):
            await read()
        assert (await fetch(store, client, variant)).read_bytes() == BODY
        store.close()


def test_what_a_killed_process_left_is_removed_after_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is a folder of ours that nothing has changed in since."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, used, elsewhere = (
        tmp_path / name for name in ("sutro-mcp-results-old", "sutro-mcp-results-used", "elsewhere")
    )
    link, file = tmp_path / "sutro-mcp-results-link", tmp_path / "sutro-mcp-results-file"
    deep = tmp_path / "sutro-mcp-results-of-mine"
    for folder in (old, used, elsewhere, deep / "in"):
        folder.mkdir(parents=True)
        (folder / "a.parquet").write_bytes(BODY)
    link.symlink_to(elsewhere)
    file.touch()
    long_ago = time.time() - 7 * 24 * 3600 - 9
    for path in (old / "a.parquet", old, used, elsewhere / "a.parquet", elsewhere, file, deep / "in", deep):
        os.utime(path, (long_ago, long_ago))
    os.utime(link, (long_ago, long_ago), follow_symlinks=False)

    ArtifactStore(None, LARGE).close()

    assert set(tmp_path.iterdir()) == {used, elsewhere, link, file, deep}
    assert (elsewhere / "a.parquet").exists()


async def test_an_artifact_that_changed_between_two_processes_is_fetched_anew(tmp_path: Path) -> None:
    """Same length, other bytes: the entity tag tells."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        old = await fetch(store, client, variant)
        store.close()
        changed = BODY[:9] + b"changed" + BODY[16:]
        emulator.job(variant.job_id).parquet = changed
        emulator.artifacts.replace(emulator.job(variant.job_id))
        store = ArtifactStore(tmp_path, LARGE)
        assert (await fetch(store, client, variant)).read_bytes() == changed
        assert not old.exists()
        store.close()


@pytest.mark.parametrize(
    "reading",
    [
        ApiVariant(store_etag=False),
        ApiVariant(results_url=False),
        ApiVariant(results_url=False, get_results=False),
    ],
    ids=["no entity tag", "no link", "JSON"],
)
async def test_what_cannot_be_checked_is_not_kept_for_the_next_process(
    tmp_path: Path, reading: ApiVariant
) -> None:
    """In this one it is fetched once."""
    async with sutro(reading) as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        await fetch(store, client, variant)
        asked(emulator)
        path = await fetch(store, client, variant)
        assert asked(emulator) == 0
        store.close()
    assert not path.exists()
    assert names(tmp_path) == []


async def test_what_a_store_without_parts_gave_is_fetched_anew_by_the_next_process(tmp_path: Path) -> None:
    """It has an entity tag, but no way to ask for one byte with it."""
    async with sutro(ApiVariant(store_ranges=False)) as (emulator, client):
        variant = add(emulator)
        for _ in range(2):
            store = ArtifactStore(tmp_path, LARGE)
            assert (await fetch(store, client, variant)).read_bytes() == BODY
            store.close()
        assert names(tmp_path) == [".data", ".list"]


async def test_results_of_a_job_that_has_not_succeeded_are_not_kept(tmp_path: Path) -> None:
    """There is nothing to keep, and the next call asks again."""
    async with sutro() as (emulator, client):
        store = ArtifactStore(tmp_path, LARGE)
        running = Variant(emulator.add_job(status="RUNNING"))
        for _ in range(2):
            asked(emulator)
            with pytest.raises(ResultsNotReadyError):
                await fetch(store, client, running)
            assert asked(emulator) > 0
        assert names(tmp_path) == []
        store.close()


async def test_a_failure_is_told_to_all_and_remembered_for_nobody(tmp_path: Path) -> None:
    """Who asks later may be lucky."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        emulator.faults.add(Fault.json(503, "busy"), origin="store", times=None)
        failures: list[ServiceUnavailableError] = []

        async def call() -> None:
            with pytest.raises(ServiceUnavailableError) as failed:
                await fetch(store, client, variant)
            failures.append(failed.value)

        async with anyio.create_task_group() as calls:
            for _ in range(3):
                calls.start_soon(call)
        emulator.faults.clear()
        assert len(failures) == 3
        assert (await fetch(store, client, variant)).read_bytes() == BODY
        store.close()


async def test_what_could_not_be_read_is_fetched_anew(tmp_path: Path) -> None:
    """It must not be what the next call finds."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)

        async def read() -> None:
            async with store.artifact(client, variant) as artifact:
                await artifact.want([(0, 9)])
                raise UnexpectedReplyError("read", "it is damaged", "Call again")

        with pytest.raises(UnexpectedReplyError):
            await read()
        assert names(tmp_path) == []
        await fetch(store, client, variant)
        assert names(tmp_path) == [".data", ".list"]
        store.close()


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """One that is not is mended; one that cannot be is not used."""
    loose, link = tmp_path / "a" / "loose", tmp_path / "link"
    loose.mkdir(parents=True, mode=0o777)
    loose.chmod(0o777)
    link.symlink_to(loose)
    (tmp_path / "file").touch()

    assert private_folder(loose) == loose
    assert loose.stat().st_mode & 0o777 == 0o700
    assert private_folder(tmp_path / "new" / "one") == tmp_path / "new" / "one"
    assert private_folder(link) is None
    assert private_folder(tmp_path / "file") is None


async def test_an_artifact_of_another_length_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """What lies there without a list is nobody's, and stays until room is made."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        old = await fetch(store, client, variant)
        store.close()
        orphan = old.with_name(old.name.partition("-")[0] + "-0.data")
        orphan.touch()
        emulator.job(variant.job_id).parquet = BODY + BODY
        emulator.artifacts.replace(emulator.job(variant.job_id))
        store = ArtifactStore(tmp_path, LARGE)
        assert (await fetch(store, client, variant)).read_bytes() == BODY + BODY
        assert (old.exists(), orphan.exists()) == (False, True)
        store.close()


@pytest.mark.parametrize("is_link", [True, False], ids=["a link", "a folder"])
async def test_what_lies_in_the_place_of_an_artifact_keeps_nobody_from_it(
    tmp_path: Path, is_link: bool
) -> None:
    """A link is not followed, and a new file is begun."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path / "cache", LARGE), add(emulator)
        store.folder.mkdir()
        old = await fetch(store, client, variant)
        store.close()
        old.rename(tmp_path / "elsewhere")
        if is_link:
            old.symlink_to(tmp_path / "elsewhere")
        else:
            old.mkdir()
        store = ArtifactStore(tmp_path / "cache", LARGE)
        new = await fetch(store, client, variant)
        assert new != old
        assert new.read_bytes() == (tmp_path / "elsewhere").read_bytes() == BODY
        store.close()


async def test_an_old_artifact_that_cannot_be_checked_now_is_checked_later(tmp_path: Path) -> None:
    """It is neither used nor thrown away."""
    async with sutro() as (emulator, client):
        store, variant = ArtifactStore(tmp_path, LARGE), add(emulator)
        path = await fetch(store, client, variant)
        store.close()
        store = ArtifactStore(tmp_path, LARGE)
        emulator.faults.add(Fault.json(503, "busy"), origin="store", times=None)
        with pytest.raises(ServiceUnavailableError):
            await fetch(store, client, variant)
        emulator.faults.clear()
        assert await fetch(store, client, variant) == path
        store.close()


@reads_proc
async def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    """Who reads many jobs does not run out of them."""
    async with sutro() as (emulator, client):
        store = ArtifactStore(tmp_path, LARGE)
        for _ in range(34):
            await fetch(store, client, add(emulator))
        assert len(list_open(tmp_path)) <= 33
        store.close()


def list_open(folder: Path) -> list[str]:
    """Files below a folder that this process has open."""
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [str(link) for link in links if folder in link.parents]


async def test_a_store_that_no_longer_gives_parts_is_read_from_zero_once(tmp_path: Path) -> None:
    """What was there cannot be completed any more."""
    body = b"PAR1" + bytes(range(256)) * 40_000 + b"PAR1"
    async with sutro() as (emulator, client):
        variant = Variant(emulator.add_job(num_rows=1, outputs=["x"], parquet=body))
        store = ArtifactStore(tmp_path, LARGE)
        async with store.artifact(client, variant) as artifact:
            await artifact.want([(0, 1000)])
            emulator.account.variant = ApiVariant(store_ranges=False)
            await artifact.want([(0, artifact.size)])
            assert artifact.path.read_bytes() == body
        store.close()
        assert [request.status for request in emulator.requests if request.origin == "store"] == [
            206,
            200,
            200,
        ]
