"""Waiting for a job as a tool: the answer, its words, and that stopping the wait leaves the job alone."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import anyio
import pytest
from inline_snapshot import snapshot
from mcp import MCPError
from mcp.types import CallToolResult

from sutro_mcp.api import JobStatus, Status
from sutro_mcp.emulator import Fault
from sutro_mcp.server.answers import RowsDone
from sutro_mcp.server.live.job_wait import WaitOutcome
from sutro_mcp.server.tools.wait_for_job import reply_to_wait
from tests.server.live.test_job_wait import Heard, Steered, end, rows, running, sent, silent
from tests.support import Era, Talk, complete_text_of, talk

pytestmark = pytest.mark.anyio


async def call(chat: Talk, heard: Heard, **arguments: Any) -> CallToolResult:
    """The tool, as a host calls it that wants progress."""
    with anyio.fail_after(60):
        return await chat.client.call_tool("wait_for_job", arguments, progress_callback=heard)


ENDS = {
    "SUCCEEDED": snapshot("""\
job-1 is SUCCEEDED (final). Call get_job_results.
read or watch: sutro://jobs/job-1/results/summary\
"""),
    "FAILED": snapshot("""\
job-1 is FAILED (final). Call get_job for the settings it ran with; a failed job has no results.
200 of 500 rows done (40.0%).
read or watch: sutro://jobs/job-1
<data>
failure: out of memory
</data>\
"""),
    "CANCELLED": snapshot("""\
job-1 is CANCELLED (final). Nothing to do; a cancelled job has no results.
200 of 500 rows done (40.0%).
read or watch: sutro://jobs/job-1\
"""),
}


@pytest.mark.parametrize("status", ENDS)
async def test_it_returns_when_the_stream_ends_with_the_job(era: Era, status: str) -> None:
    """At once, after two looks at the status, with what to call next and the URI of what there is."""
    emulator, job_id = running(job_id="job-1", failure_reason={"message": "out of memory"})
    heard = Heard()

    async def lines() -> AsyncGenerator[bytes]:
        yield rows(200)
        end(emulator, job_id, status)

    async with talk(emulator, era, transport=Steered(emulator, lines)) as chat:
        result = await call(chat, heard, job_id=job_id)
        looks = ["GET /job-status/job-1", "GET /jobs/job-1", "GET /job-status/job-1"]
        assert chat.paths() == looks
    assert complete_text_of(result) == ENDS[status]
    heard.check(500)
    assert heard.notes[-1][:2] == ((500 if status == "SUCCEEDED" else 200), 500)


async def test_a_job_that_has_ended_is_answered_by_one_request(chat: Talk) -> None:
    """The status, for each of the three ends; nothing is told meanwhile."""
    for name in ("support-ticket-triage", "contract-summaries", "crm-dedupe-v2"):
        heard = Heard()
        job_id = chat.emulator.find(name)
        text = complete_text_of(await call(chat, heard, job_id=job_id))
        assert text.startswith(f"{job_id} is {chat.emulator.job(job_id).status} (final).")
        assert chat.paths() == [f"GET /job-status/{job_id}"]
        assert heard.notes == []


async def test_at_the_timeout_the_job_goes_on(era: Era) -> None:
    """The limit that was applied, what next, and no estimate where nothing was observed."""
    emulator, job_id = running(job_id="job-1")
    emulator.faults.add(Fault.json(404, "Not Found"), path="/stream-job-progress/*", times=None)
    async with talk(emulator, era) as chat:
        assert await chat.text("wait_for_job", job_id=job_id, timeout_seconds=1) == snapshot("""\
job-1 is RUNNING after 1 second of waiting. Call wait_for_job again. Do not resubmit the job.
Sutro tells the cost when a job has ended.
read or watch: sutro://jobs/job-1/status\
""")
    assert sent(emulator, "job-cancel") == 0


def test_long_waits_and_troubles_are_told() -> None:
    """An estimate of many minutes sends the model away; a deployment is quoted as data only."""
    stands = JobStatus(job_id="job-1", status=Status.RUNNING)
    outcome = WaitOutcome(stands, None, RowsDone(1, 9_000, None, 4_000), 90, trouble="It said \u202e.")
    assert complete_text_of(reply_to_wait(outcome, 45)) == snapshot("""\
job-1 is RUNNING after 45 seconds of waiting. It needs about 66 more minutes. Tell the user, and call wait_for_job again later. Do not resubmit the job.
1 of 9,000 rows done (0.0%), about 4,000 s left.
No row was seen to be done for 90 seconds.
read or watch: sutro://jobs/job-1/status
<data>
trouble: It said \\u{202E}.
</data>\
""")


async def test_a_first_read_that_fails_is_an_error(chat: Talk) -> None:
    """Without a status there is nothing to wait for: gateway, silence and key."""
    job_id = chat.emulator.find("catalogue-copy-refresh")
    chat.emulator.faults.add(Fault.html(502), path="/job-status/*", times=4)
    assert "(502)" in await chat.refusal("wait_for_job", job_id=job_id)
    chat.emulator.faults.add(Fault.slow(30), path="/job-status/*")
    refusal = await chat.refusal("wait_for_job", job_id=job_id, timeout_seconds=1)
    assert refusal == (
        f"Cannot wait for {job_id}: its status could not be read within 1 second. "
        "Call wait_for_job again, with more time; do not resubmit the job."
    )
    chat.emulator.faults.add(Fault.json(401, "no"), path="/job-status/*")
    assert "SUTRO_API_KEY" in await chat.refusal("wait_for_job", job_id=job_id)


async def test_times_out_of_bounds_send_nothing(chat: Talk) -> None:
    """Nor what is no time."""
    for seconds in (0, -1, 301, 1.5, "soon"):
        assert "timeout_seconds: " in await chat.refusal("wait_for_job", job_id="x", timeout_seconds=seconds)
    assert chat.emulator.requests == []


async def test_a_host_that_disconnects_stops_the_wait_and_not_the_job() -> None:
    """With a connection between the two: the newer era has none in memory, there a call is a call."""
    emulator, job_id = running()
    transport = Steered(emulator, silent)
    before = asyncio.all_tasks()

    async def ask(chat: Talk) -> None:
        with pytest.raises(MCPError, match="closed"):
            await call(chat, Heard(), job_id=job_id)

    async with anyio.create_task_group() as host:
        async with talk(emulator, "legacy", transport=transport) as chat:
            host.start_soon(ask, chat)
            await transport.until(opened=1, seconds=5)
        await transport.until(closed=1)
    assert asyncio.all_tasks() == before
    assert sent(emulator, "job-cancel") == 0
    assert emulator.job(job_id).status == "RUNNING"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [1, 256])
async def test_waits_that_are_stopped_leave_nothing_behind_but_the_job(era: Era, number: int) -> None:
    """No task, no thread, no open stream, after one and after as many as may wait; the connection is usable."""
    emulator, job_id = running()
    transport = Steered(emulator, silent)
    async with talk(emulator, era, transport=transport) as chat:
        # The first call makes the API client in a thread, which is kept for the next.
        await chat.call("list_jobs")
        before, threads = asyncio.all_tasks(), threading.active_count()
        async with anyio.create_task_group() as host:
            for _ in range(number):
                host.start_soon(partial(call, chat, Heard(), job_id=job_id))
            await transport.until(opened=number, seconds=20)
            host.cancel_scope.cancel()
        await transport.until(closed=number, seconds=1 if number == 1 else 20)
        with anyio.fail_after(60):
            while asyncio.all_tasks() != before:
                await anyio.lowlevel.checkpoint()
        assert threading.active_count() == threads
        assert (await chat.call("list_jobs"))["jobs"]["rows"][0][0] == job_id
    assert sent(emulator, "job-cancel") == 0
