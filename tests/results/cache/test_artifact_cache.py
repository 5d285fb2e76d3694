"""The folder of artifacts: who finds what there, and what makes room for what."""

import os
import shutil
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
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
from sutro_mcp.results.cache import ArtifactStore
from sutro_mcp.results_spec import ResultsSpec
from tests.results.support import reads_proc

pytestmark = pytest.mark.anyio

BODY = b"PAR1" + bytes(200_000) + b"PAR1"
CHANGED = BODY[:9] + b"changed" + BODY[16:]
LARGE = 10**9


@dataclass
class Sutro:
    """A deployment, a client of it, and a store that keeps artifacts in `folder`."""

    emulator: Emulator
    client: ApiClient
    folder: Path
    store: ArtifactStore

    def add(self) -> ResultsSpec:
        """A job with results of about 200 kB."""
        return ResultsSpec(self.emulator.add_job(num_rows=1, outputs=["x"], parquet=BODY))

    def replace(self, spec: ResultsSpec, body: bytes) -> None:
        """Other results for the same job."""
        self.emulator.job(spec.job_id).parquet = body
        self.emulator.artifacts.replace(self.emulator.job(spec.job_id))

    async def fetch(self, spec: ResultsSpec, client: ApiClient | None = None, fresh: bool = False) -> Path:
        """Fetches all of an artifact and lets go of it; where it is."""
        async with self.store.artifact(client or self.client, spec, fresh=fresh) as artifact:
            await artifact.fetch([(0, artifact.size)])
            assert artifact.is_whole
            return artifact.path

    def restart(self, capacity: int = LARGE) -> None:
        """End the process, as far as the store can tell, and begin another."""
        self.store.close()
        self.store = ArtifactStore(self.folder, capacity)

    def asked(self) -> int:
        """How much was asked since the last time."""
        seen, self.emulator.requests[:] = list(self.emulator.requests), []
        return len(seen)

    def kinds(self) -> list[str]:
        """Kinds of files in the folder."""
        return sorted(path.suffix for path in self.folder.iterdir())


@pytest.fixture
async def sutro(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Sutro]:
    """One of these; the deployment reads the contract as a test's parameter says."""
    folder = tmp_path / "cache"
    folder.mkdir()
    with serve_in_thread(seed_jobs=False, variant=getattr(request, "param", ApiVariant())) as emulator:
        async with ApiClient(resolve_connection(emulator.api_origin, emulator.api_key, env={})) as client:
            sutro = Sutro(emulator, client, folder, ArtifactStore(folder, LARGE))
            yield sutro
            sutro.store.close()


async def test_results_are_kept_by_deployment_key_job_and_options(sutro: Sutro) -> None:
    """No name shows what it stands for, and no two of them meet."""
    spec = sutro.add()
    job_id = spec.job_id
    kinds = [spec, ResultsSpec(job_id, True), ResultsSpec(job_id, False, True), sutro.add()]
    paths = {await sutro.fetch(kind) for kind in kinds}
    assert len(paths) == 4
    sutro.asked()
    assert {await sutro.fetch(kind) for kind in kinds} == paths
    assert sutro.asked() == 0
    assert not any(spec.job_id in path.name for path in paths)


async def test_another_key_reaches_nothing_that_was_fetched_with_this_one(sutro: Sutro) -> None:
    """Not even where the answer would be the same."""
    spec = sutro.add()
    ours = await sutro.fetch(spec)
    sutro.emulator.account.api_key = sutro.emulator.api_key = "sk_test_another_key"
    connection = resolve_connection(sutro.emulator.api_origin, sutro.emulator.api_key, env={})
    async with ApiClient(connection) as other:
        sutro.asked()
        assert await sutro.fetch(spec, other) != ours
        assert sutro.asked() == 2


async def test_the_least_recently_used_make_room(sutro: Sutro) -> None:
    """Whichever process fetched them; but not what somebody reads."""
    sutro.restart(2 * len(BODY) + 50_000)
    old, used, new = sutro.add(), sutro.add(), sutro.add()
    paths = [await sutro.fetch(each) for each in (old, used)]
    for path in paths:
        os.utime(path.with_suffix(".list"), (time.time() - 60, time.time() - 60))
    async with sutro.store.artifact(sutro.client, used):
        os.utime(paths[1].with_suffix(".list"), (time.time() - 90, time.time() - 90))
        await sutro.fetch(new)
        assert [path.exists() for path in paths] == [False, True]


async def test_what_nobody_used_for_a_week_is_removed(sutro: Sutro) -> None:
    """Even where there is room; a clock that jumps back removes nothing."""
    week = 7 * 24 * 3600
    path, later = await sutro.fetch(sutro.add()), await sutro.fetch(sutro.add())
    os.utime(path.with_suffix(".list"), (time.time() - week - 9, time.time() - week - 9))
    os.utime(later.with_suffix(".list"), (time.time() + week, time.time() + week))
    await sutro.fetch(sutro.add())
    assert (path.exists(), later.exists()) == (False, True)


async def test_fresh_results_neither_come_from_the_store_nor_stay_in_it(sutro: Sutro) -> None:
    """Nothing is kept for a caller who disables the cache."""
    spec = sutro.add()
    await sutro.fetch(spec)
    sutro.asked()
    path = await sutro.fetch(spec, fresh=True)
    assert sutro.asked() == 2
    assert not path.exists()
    assert sutro.kinds() == [".data", ".list"]


async def test_a_fresh_look_at_other_results_ends_what_was_kept(sutro: Sutro) -> None:
    """Or the next call would show the old ones again."""
    spec = sutro.add()
    await sutro.fetch(spec)
    sutro.replace(spec, CHANGED)
    async with sutro.store.artifact(sutro.client, spec) as in_use:
        await sutro.fetch(spec, fresh=True)
        assert in_use.path.read_bytes() == BODY
        assert (await sutro.fetch(spec)).read_bytes() == CHANGED
    assert not in_use.path.exists()
    assert sutro.kinds() == [".data", ".list"]


@pytest.mark.parametrize(
    "sutro", [ApiVariant(), ApiVariant(results_url=False)], ids=["parts", "whole"], indirect=True
)
async def test_what_another_process_removed_is_fetched_anew(sutro: Sutro) -> None:
    """Made room, or the user took the folder away."""
    spec = sutro.add()
    path = await sutro.fetch(spec)
    shutil.rmtree(path.parent)
    assert (await sutro.fetch(spec)).read_bytes() == BODY


@pytest.mark.parametrize("body", [CHANGED, BODY + BODY], ids=["same length", "another length"])
async def test_an_artifact_that_changed_between_two_processes_is_fetched_anew(
    sutro: Sutro, body: bytes
) -> None:
    """The entity tag tells. A file without a list is nobody's, and stays until room is made."""
    spec = sutro.add()
    old = await sutro.fetch(spec)
    orphan = old.with_name(f"{old.name.partition('-')[0]}-{0:016}.data")
    orphan.touch()
    sutro.replace(spec, body)
    sutro.restart()
    assert (await sutro.fetch(spec)).read_bytes() == body
    assert (old.exists(), orphan.exists()) == (False, True)


UNCHECKED = {
    "no entity tag": ApiVariant(store_etag=False),
    "no link": ApiVariant(results_url=False),
    "JSON": ApiVariant(results_url=False, get_results=False),
}


@pytest.mark.parametrize("sutro", UNCHECKED.values(), ids=UNCHECKED, indirect=True)
async def test_what_cannot_be_checked_is_not_kept_for_the_next_process(sutro: Sutro) -> None:
    """In this one it is fetched once."""
    spec = sutro.add()
    await sutro.fetch(spec)
    sutro.asked()
    path = await sutro.fetch(spec)
    assert sutro.asked() == 0
    sutro.restart()
    assert not path.exists()
    assert sutro.kinds() == []


async def test_what_a_store_without_parts_gave_is_fetched_anew_by_the_next_process(sutro: Sutro) -> None:
    """It has an entity tag, but no way to ask for one byte with it."""
    spec = sutro.add()
    for _ in range(2):
        assert (await sutro.fetch(spec)).read_bytes() == BODY
        sutro.restart()
    assert sutro.kinds() == [".data", ".list"]


async def test_results_of_a_job_that_has_not_succeeded_are_not_kept(sutro: Sutro) -> None:
    """There is nothing to keep, and the next call asks again."""
    running = ResultsSpec(sutro.emulator.add_job(status="RUNNING"))
    for _ in range(2):
        sutro.asked()
        with pytest.raises(ResultsNotReadyError):
            await sutro.fetch(running)
        assert sutro.asked() > 0
    assert sutro.kinds() == []


async def test_a_failure_is_told_to_all_and_remembered_for_nobody(sutro: Sutro) -> None:
    """A later caller may be lucky."""
    spec = sutro.add()
    sutro.emulator.faults.add(Fault.json(503, "busy"), origin="store", times=None)
    failures: list[ServiceUnavailableError] = []

    async def call() -> None:
        with pytest.raises(ServiceUnavailableError) as failed:
            await sutro.fetch(spec)
        failures.append(failed.value)

    async with anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(call)
    sutro.emulator.faults.clear()
    assert len(failures) == 3
    assert (await sutro.fetch(spec)).read_bytes() == BODY


async def test_what_could_not_be_read_is_fetched_anew(sutro: Sutro) -> None:
    """It must not be what the next call finds."""
    spec = sutro.add()

    async def read() -> None:
        async with sutro.store.artifact(sutro.client, spec) as artifact:
            await artifact.fetch([(0, 9)])
            raise UnexpectedReplyError("read", "it is damaged", "Call again")

    with pytest.raises(UnexpectedReplyError):
        await read()
    assert sutro.kinds() == []
    await sutro.fetch(spec)
    assert sutro.kinds() == [".data", ".list"]


def put(kind: str, path: Path, elsewhere: Path) -> None:
    """Something that is no file of ours in the place of one that was."""
    path.unlink()
    match kind:
        case "link":
            path.symlink_to(elsewhere)
        case "device":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.touch()
            os.truncate(path, 50 * 2**30)


@pytest.mark.skipif(os.name == "nt", reason="makes pipes")
@pytest.mark.parametrize("suffix", [".data", ".list"])
@pytest.mark.parametrize("kind", ["link", "device", "pipe", "folder", "50 GiB of nothing"])
async def test_what_lies_in_the_place_of_a_file_is_as_good_as_missing(
    sutro: Sutro, tmp_path: Path, suffix: str, kind: str
) -> None:
    """Nothing waits for it, nothing follows it, and a new artifact is fetched."""
    spec = sutro.add()
    old = await sutro.fetch(spec)
    sutro.store.close()
    elsewhere = tmp_path / "elsewhere"
    shutil.copy(old.with_suffix(suffix), elsewhere)
    copied, changed = elsewhere.read_bytes(), elsewhere.stat().st_mtime_ns
    put(kind, old.with_suffix(suffix), elsewhere)
    sutro.restart()
    assert (await sutro.fetch(spec)).read_bytes() == BODY
    assert (elsewhere.read_bytes(), elsewhere.stat().st_mtime_ns) == (copied, changed)


@pytest.mark.skipif(os.name == "nt", reason="makes pipes")
async def test_what_takes_the_place_of_a_file_while_it_is_open_is_not_read(sutro: Sutro) -> None:
    """The next call fetches the artifact anew."""
    spec = sutro.add()
    path = await sutro.fetch(spec)
    sutro.restart()

    async def read() -> None:
        async with sutro.store.artifact(sutro.client, spec) as artifact:
            put("pipe", artifact.path, path)
            await artifact.fetch([(0, 9)])

    with pytest.raises(ArtifactChangedError, match="gone from the disk"):
        await read()
    assert (await sutro.fetch(spec)).read_bytes() == BODY


async def test_an_old_artifact_that_cannot_be_checked_now_is_checked_later(sutro: Sutro) -> None:
    """It is neither used nor thrown away."""
    spec = sutro.add()
    path = await sutro.fetch(spec)
    sutro.restart()
    sutro.emulator.faults.add(Fault.json(503, "busy"), origin="store", times=None)
    with pytest.raises(ServiceUnavailableError):
        await sutro.fetch(spec)
    sutro.emulator.faults.clear()
    assert await sutro.fetch(spec) == path


@reads_proc
async def test_few_files_are_open_at_once(sutro: Sutro) -> None:
    """Reading many jobs does not use them up."""
    for _ in range(34):
        await sutro.fetch(sutro.add())
    assert len(list_open(sutro.folder)) <= 33


def list_open(folder: Path) -> list[str]:
    """Files below a folder that this process has open."""
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [str(link) for link in links if folder in link.parents]


async def test_a_store_that_no_longer_gives_parts_is_read_from_zero_once(sutro: Sutro) -> None:
    """The bytes that were there cannot be completed any more."""
    body = b"PAR1" + bytes(range(256)) * 40_000 + b"PAR1"
    spec = ResultsSpec(sutro.emulator.add_job(num_rows=1, outputs=["x"], parquet=body))
    async with sutro.store.artifact(sutro.client, spec) as artifact:
        await artifact.fetch([(0, 1000)])
        sutro.emulator.account.variant = ApiVariant(store_ranges=False)
        await artifact.fetch([(0, artifact.size)])
        assert artifact.path.read_bytes() == body
    seen = [request.status for request in sutro.emulator.requests if request.origin == "store"]
    assert seen == [206, 200, 200]
