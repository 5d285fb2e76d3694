"""Jobs move by polls, by the clock, at once or not at all; cancellation; the progress stream."""

import json
from typing import Any

import pytest
from httpx import AsyncClient

from sutro_mcp.emulator import ApiVariant, Emulator, Pace

from .conftest import Clock
from .support import Connect, job_of, status_of

pytestmark = pytest.mark.anyio


async def test_standing_still_nothing_moves(emulator: Emulator, client: AsyncClient) -> None:
    """The default, so that a test decides what it sees."""
    job_id = emulator.add_job(status="RUNNING")
    assert [await status_of(client, job_id) for _ in range(3)] == ["RUNNING"] * 3


async def test_with_polls_each_read_is_one_step_and_a_list_is_none(connect: Connect) -> None:
    """n reads of the status or the job end it."""
    emulator = Emulator(seed_jobs=False, pace=Pace.polls(6))
    job_id = emulator.add_job(status="QUEUED", num_rows=100)
    client = await connect(emulator)
    seen: list[str] = []
    for number in range(6):
        await client.get("/list-jobs")
        job = await job_of(client, job_id) if number % 2 else None
        seen.append(job["status"] if job else await status_of(client, job_id))
    assert seen == ["STARTING", "RUNNING", "RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]


async def test_a_job_that_moves_stays_consistent(connect: Connect) -> None:
    """Rows and tokens only rise; what completion tells comes with it."""
    emulator = Emulator(seed_jobs=False, pace=Pace.polls(8))
    job_id = emulator.add_job(status="QUEUED", num_rows=40, input_tokens=400, output_tokens=80)
    client = await connect(emulator)
    jobs = [await job_of(client, job_id) for _ in range(9)]
    spent = [job["input_tokens"] or 0 for job in jobs]
    assert spent == sorted(spent)
    assert (jobs[-1]["status"], spent[-1], jobs[-1]["output_tokens"]) == ("SUCCEEDED", 400, 80)
    for job in jobs:
        over = job["status"] == "SUCCEEDED"
        assert (job["datetime_completed"] is not None) == (job["job_cost"] is not None) == over
    started, completed = jobs[-1]["datetime_started"], jobs[-1]["datetime_completed"]
    assert jobs[-1]["datetime_created"] <= started <= completed


async def test_by_the_clock_a_submitted_job_starts_counting_at_once(connect: Connect, clock: Clock) -> None:
    """From submission on."""
    emulator = Emulator(seed_jobs=False, pace=Pace.clock(100), now=clock)
    client = await connect(emulator)
    job_id = (await client.post("/batch-inference", json={"inputs": ["a"]})).json()["results"]
    seen: list[str] = []
    for seconds in (0, 15, 35, 49, 1):
        clock.forward(seconds)
        seen.append(await status_of(client, job_id))
    assert seen == ["QUEUED", "STARTING", "RUNNING", "RUNNING", "SUCCEEDED"]


async def test_by_the_clock_an_older_job_counts_from_its_first_sight(connect: Connect, clock: Clock) -> None:
    """A list is a sight too."""
    emulator = Emulator(seed_jobs=False, pace=Pace.clock(100), now=clock)
    job_id = emulator.add_job(status="RUNNING", num_rows=100, progress=0.5)
    client = await connect(emulator)
    clock.forward(1000)
    await client.get("/list-jobs")
    clock.forward(50)
    job = await job_of(client, job_id)
    clock.forward(50)
    assert (job["status"], emulator.job(job_id).rows_done) == ("RUNNING", 75)
    assert await status_of(client, job_id) == "SUCCEEDED"


async def test_at_once_means_before_anybody_looks(connect: Connect) -> None:
    """Even a list shows only finished work."""
    emulator = Emulator(pace=Pace.at_once())
    client = await connect(emulator)
    jobs = (await client.get("/list-jobs")).json()["jobs"]
    assert {job["status"] for job in jobs} <= {"SUCCEEDED", "FAILED", "CANCELLED", "CANCELLING", "UNKNOWN"}


@pytest.mark.parametrize(("fails_at", "started"), [(0.1, False), (0.5, True)], ids=["at init", "mid-run"])
async def test_a_job_can_fail_on_its_way(connect: Connect, fails_at: float, started: bool) -> None:
    """§4.2: also before it runs."""
    emulator = Emulator(seed_jobs=False, pace=Pace.polls(10))
    reason = {"message": "No."}
    job_id = emulator.add_job(status="QUEUED", outcome="FAILED", fails_at=fails_at, failure_reason=reason)
    client = await connect(emulator)
    jobs = [await job_of(client, job_id) for _ in range(10)]
    assert jobs[0]["failure_reason"] == (None if started else reason)
    assert (jobs[-1]["status"], jobs[-1]["failure_reason"]) == ("FAILED", reason)
    assert (jobs[-1]["datetime_started"] is not None) == started


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_a_cancelled_job_shows_cancelling_for_so_many_reads(connect: Connect, allowed: int) -> None:
    """§6.4: the request is not the stop. A list does not count as a read."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(cancelling_reads=allowed))
    job_id = emulator.add_job(status="RUNNING", num_rows=10)
    client = await connect(emulator)
    answer = (await client.get(f"/job-cancel/{job_id}")).json()
    listed = (await client.get("/list-jobs")).json()["jobs"][0]["status"]
    seen = [await status_of(client, job_id) for _ in range(allowed + 2)]
    message = f"Cancelling job with job_id: {job_id}. Check the job status endpoint for details."
    assert answer == {"cancelled": True, "message": message}
    assert listed == "CANCELLING"
    assert seen == ["CANCELLING"] * allowed + ["CANCELLED"] * 2
    assert (await job_of(client, job_id))["job_cost"] is not None


async def test_a_cancellation_can_take_for_ever(connect: Connect) -> None:
    """For clients that wait."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(cancelling_reads=None), pace=Pace.polls(1))
    job_id = emulator.add_job(status="RUNNING")
    client = await connect(emulator)
    await client.get(f"/job-cancel/{job_id}")
    assert [await status_of(client, job_id) for _ in range(3)] == ["CANCELLING"] * 3


async def test_the_work_can_end_before_the_cancellation(emulator: Emulator, client: AsyncClient) -> None:
    """§4.2: the race."""
    job_id = emulator.add_job(status="RUNNING", outputs=["a"], after_cancel="SUCCEEDED")
    await client.get(f"/job-cancel/{job_id}")
    assert [await status_of(client, job_id) for _ in range(2)] == ["CANCELLING", "SUCCEEDED"]
    assert (await client.post("/job-results", json={"job_id": job_id})).status_code == 200


@pytest.mark.parametrize(
    ("pace", "seen"),
    [
        (Pace(), ["CANCELLING", "CANCELLING"]),
        (Pace.polls(5), ["CANCELLING", "CANCELLED"]),
        (Pace.at_once(), ["CANCELLED", "CANCELLED"]),
    ],
    ids=["still", "polls", "at once"],
)
async def test_a_job_found_cancelling_obeys_the_pace(connect: Connect, pace: Pace, seen: list[str]) -> None:
    """Nobody of this session asked for it."""
    emulator = Emulator(seed_jobs=False, pace=pace)
    job_id = emulator.add_job(status="CANCELLING")
    client = await connect(emulator)
    assert [await status_of(client, job_id) for _ in range(2)] == seen


async def _events(client: AsyncClient, job_id: str) -> list[dict[str, Any]]:
    response = await client.get(f"/stream-job-progress/{job_id}")
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_a_stream_rises_to_all_rows_and_ends(connect: Connect) -> None:
    """§6.8: heartbeats, absolute progress, full tokens."""
    emulator = Emulator(seed_jobs=False, pace=Pace.polls(4))
    job_id = emulator.add_job(status="QUEUED", num_rows=90, input_tokens=900, output_tokens=90)
    client = await connect(emulator)

    events = await _events(client, job_id)

    progress = [event["result"] for event in events if event["update_type"] == "progress"]
    tokens = [event["result"] for event in events if event["update_type"] == "tokens"]
    assert progress == [0, 30, 60, 90]
    assert {"update_type": "heartbeat"} in events
    assert tokens[-1] == {
        "input_tokens": 900,
        "output_tokens": 90,
        "total_tokens_processed_per_second": 990.0,
    }
    assert await status_of(client, job_id) == "SUCCEEDED"


async def test_a_stream_of_a_waiting_job_is_a_heartbeat(emulator: Emulator, client: AsyncClient) -> None:
    """Standing still, it closes instead of waiting for ever."""
    assert await _events(client, emulator.add_job(status="QUEUED")) == [{"update_type": "heartbeat"}]


async def test_a_stream_by_the_clock_ends_with_the_job(connect: Connect) -> None:
    """The real clock, for a twentieth of a second."""
    emulator = Emulator(seed_jobs=False, pace=Pace.clock(0.05))
    job_id = emulator.add_job(status="RUNNING", num_rows=10)
    client = await connect(emulator)
    events = await _events(client, job_id)
    assert [event["result"] for event in events if event["update_type"] == "progress"][-1] == 10


async def test_all_rows_can_be_done_and_the_job_still_fail(connect: Connect) -> None:
    """§4.2: only the stored status proves success."""
    emulator = Emulator(seed_jobs=False, pace=Pace.polls(2))
    job_id = emulator.add_job(status="RUNNING", num_rows=10, outcome="FAILED", fails_at=1.0)
    client = await connect(emulator)
    events = await _events(client, job_id)
    assert [event["result"] for event in events if event["update_type"] == "progress"][-1] == 10
    assert await status_of(client, job_id) == "FAILED"


async def test_a_stream_of_an_unknown_job_is_a_404(client: AsyncClient) -> None:
    """Before anything is streamed."""
    assert (await client.get("/stream-job-progress/nope")).status_code == 404


async def test_a_closing_server_ends_its_streams(connect: Connect) -> None:
    """At the next look."""
    emulator = Emulator(seed_jobs=False, pace=Pace.polls(5))
    job_id = emulator.add_job(status="RUNNING")
    emulator.account.closing = True
    assert await _events(await connect(emulator), job_id) == [{"update_type": "heartbeat"}]
