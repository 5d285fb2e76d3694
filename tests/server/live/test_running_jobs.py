"""How far running jobs are: read beside an answer, never at its cost."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import httpx
import pytest

from sutro_mcp.api import ApiClient, Job, resolve_connection
from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault
from sutro_mcp.server.live.running_jobs import RunningJobs
from tests.support import Talk, records

pytestmark = pytest.mark.anyio

STREAM = "/stream-job-progress/*"
TELLS = (
    b'{"update_type":"heartbeat"}\n{"update_type":"progress","result":250}\n'
    b'{"update_type":"tokens","result":{"total_tokens_processed_per_second":1234.5}}\n'
)


@asynccontextmanager
async def looking(emulator: Emulator, **options: float) -> AsyncGenerator[tuple[RunningJobs, Sequence[Job]]]:
    """A reader of the streams of the emulator's jobs, and the jobs."""
    connection = resolve_connection(emulator.api_origin, DEMO_KEY, env={})
    async with ApiClient(connection, transport=httpx.ASGITransport(app=emulator.app)) as client:
        jobs = await client.list_jobs()
        emulator.requests.clear()
        yield RunningJobs(lambda: client, **{"patience": 30.0, "kept": 60.0, **options}), jobs


def running(count: int = 1) -> Emulator:
    """An account with so many running jobs, started a hundred seconds ago."""
    emulator = Emulator(seed_jobs=False)
    started = datetime.now(UTC) - timedelta(seconds=100)
    for number in range(count):
        emulator.add_job(job_id=f"job-{number}", status="RUNNING", num_rows=1_000, started=started)
    return emulator


async def test_rows_share_speed_and_time_left_come_from_the_stream() -> None:
    """The time left at the average speed since the start."""
    emulator = running()
    emulator.faults.add(Fault.raw(TELLS), path=STREAM, times=None)
    async with looking(emulator) as (reader, jobs):
        seen = await reader.of(jobs[0])
    assert seen is not None
    assert (seen.rows_done, seen.share, seen.tokens_per_second) == (250, 0.25, 1_234)
    assert 300 <= (seen.seconds_left or 0) <= 400
    assert seen.words("minutes").startswith("250 of 1,000 rows done (25.0%), 1,234 tokens/s, about ")
    assert seen.words("minutes").endswith(" minutes left")


async def test_callers_share_a_look_and_get_it_again_for_a_while() -> None:
    """One stream for many answers."""
    emulator = running(3)
    async with looking(emulator) as (reader, jobs):
        async with anyio.create_task_group() as callers:
            for _ in range(5):
                callers.start_soon(reader.rows_done, jobs)
        assert set(await reader.rows_done(jobs)) == {"job-0", "job-1", "job-2"}
    assert len(emulator.requests) == 3


async def test_what_was_seen_is_not_kept_for_long() -> None:
    """Here, not at all."""
    emulator = running()
    async with looking(emulator, kept=0.0) as (reader, jobs):
        await reader.of(jobs[0])
        await reader.of(jobs[0])
    assert len(emulator.requests) == 2


@pytest.mark.parametrize(
    "fault",
    [Fault.slow(30), Fault.json(404, "no"), Fault.raw(b""), Fault.raw(b'{"update_type":"heartbeat"}\n')],
    ids=["silent", "refused", "empty", "heartbeat"],
)
async def test_a_stream_that_says_nothing_costs_only_its_own_figures(fault: Fault) -> None:
    """And little time; it is not asked again at once."""
    emulator = running(2)
    emulator.faults.add(fault, path="/stream-job-progress/job-0", times=None)
    async with looking(emulator, patience=2.0) as (reader, jobs):
        with anyio.fail_after(60):
            seen = [set(await reader.rows_done(jobs)) for _ in range(2)]
    assert seen == [{"job-1"}, {"job-1"}]


async def test_a_caller_that_goes_leaves_no_gap_for_the_next() -> None:
    """Jobs that it did not wait for have no figures."""
    emulator = running()
    emulator.faults.add(Fault.slow(30), path=STREAM, times=1)
    async with looking(emulator) as (reader, jobs):
        async with anyio.create_task_group() as callers:
            callers.start_soon(reader.of, jobs[0])
            while not emulator.requests:  # noqa: ASYNC110 - the reader tells nobody that it has asked
                await anyio.sleep(0.01)
            callers.cancel_scope.cancel()
        seen = await reader.of(jobs[0])
    assert seen is not None
    assert seen.rows_done == 500


async def test_a_list_shows_the_rows_done_and_asks_nothing_for_jobs_that_do_not_run(chat: Talk) -> None:
    """The one request more for each that runs."""
    jobs = records((await chat.call("list_jobs", status=["RUNNING", "SUCCEEDED"], limit=3))["jobs"])
    assert [job.get("done") for job in jobs] == [2_059, 10_440, None]
    assert sorted(path.split("/")[1] for path in chat.paths()) == ["list-jobs", *["stream-job-progress"] * 2]
    assert "done" not in (await chat.call("list_jobs", status=["SUCCEEDED"]))["jobs"]["columns"]
    assert chat.paths() == ["GET /list-jobs"]
