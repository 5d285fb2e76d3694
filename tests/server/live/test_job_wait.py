"""Waiting for a job: the stored status decides, the stream informs, and nobody but the job ends the job."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import httpx
import pytest

from sutro_mcp.api import ApiClient, JobProgress, Status, resolve_connection
from sutro_mcp.api.status_poller import PollSchedule
from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault, Pace
from sutro_mcp.errors import AuthenticationError, JobNotFoundError, SutroError, UnexpectedReplyError
from sutro_mcp.server.answers import RowsDone
from sutro_mcp.server.live.job_progress import Progress
from sutro_mcp.server.live.job_wait import WaitOutcome, WaitTiming, wait

pytestmark = pytest.mark.anyio

FAST = WaitTiming(PollSchedule(0.01, 0.02), soon=0.01, reopen=0.03, notify=0.0, observed=0.0)
STILL = Pace()
Lines = Callable[[], AsyncGenerator[bytes]]


def rows(done: object) -> bytes:
    """A line of the stream."""
    return json.dumps({"update_type": "progress", "result": done}).encode() + b"\n"


def tokens(speed: float) -> bytes:
    """Another."""
    result = {"input_tokens": 5, "output_tokens": 7, "total_tokens_processed_per_second": speed}
    return json.dumps({"update_type": "tokens", "result": result}).encode() + b"\n"


class Steered(httpx.AsyncBaseTransport):
    """The emulator with a stream that the test writes; httpx's own transport to an app holds bodies back."""

    def __init__(self, emulator: Emulator, lines: Lines) -> None:
        self._emulator = httpx.ASGITransport(app=emulator.app)
        self._lines = lines
        self.opened = self.closed = 0
        self._change = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "stream-job-progress" not in request.url.path:
            return await self._emulator.handle_async_request(request)
        self.opened += 1
        self._changed()
        return httpx.Response(200, stream=_Body(self._lines(), self._was_closed))

    async def until(self, *, opened: int = 0, closed: int = 0, seconds: float = 1) -> None:
        """Returns when so many streams were opened and closed; fails after so many seconds."""
        with anyio.fail_after(seconds):
            while self.opened < opened or self.closed < closed:
                await self._change.wait()

    def _was_closed(self) -> None:
        self.closed += 1
        self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()


class _Body(httpx.AsyncByteStream):
    def __init__(self, lines: AsyncGenerator[bytes], on_close: Callable[[], None]) -> None:
        self._lines = lines
        self._on_close = on_close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._lines

    async def aclose(self) -> None:
        self._on_close()
        await self._lines.aclose()


class Heard:
    """The notifications of one wait."""

    def __init__(self) -> None:
        self.notes: list[tuple[float, float | None, str | None]] = []
        self._new = anyio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.notes.append((progress, total, message))
        self._new.set()
        self._new = anyio.Event()

    @property
    def messages(self) -> list[str | None]:
        return [message for _, _, message in self.notes]

    async def until(self, message: str) -> None:
        """Returns when it has been heard."""
        while message not in self.messages:
            await self._new.wait()

    def check(self, total: int) -> None:
        """Each above the last, as MCP demands; a total, once it is known, that stays."""
        values = [value for value, _, _ in self.notes]
        assert values == sorted(set(values))
        totals = [total for _, total, _ in self.notes]
        assert totals[totals.count(None) :] == [total] * (len(totals) - totals.count(None))


async def silent() -> AsyncGenerator[bytes]:
    """A stream that says nothing and does not end."""
    await anyio.sleep_forever()
    yield b""


def running(num_rows: int | None = 500, *, pace: Pace = STILL, **fields: Any) -> tuple[Emulator, str]:
    """One running job, and its id."""
    emulator = Emulator(seed_jobs=False, pace=pace)
    return emulator, emulator.add_job(status="RUNNING", num_rows=num_rows, **fields)


def end(emulator: Emulator, job_id: str, status: str) -> None:
    """The job reaches a terminal status."""
    emulator.job(job_id).end(status, datetime.now(UTC))


async def waited(
    emulator: Emulator,
    job_id: str,
    heard: Heard,
    *,
    lines: Lines = silent,
    transport: httpx.AsyncBaseTransport | None = None,
    seconds: float = 20,
    timing: WaitTiming = FAST,
) -> WaitOutcome:
    """The answer to a wait in a hurry."""
    transport = transport or Steered(emulator, lines)
    connection = resolve_connection(emulator.api_origin, DEMO_KEY, env={})
    async with ApiClient(connection, transport=transport) as client:
        with anyio.fail_after(60):
            return await wait(client, job_id, seconds, heard, anyio.Event(), timing)


def sent(emulator: Emulator, word: str) -> int:
    """How many requests had it in their path."""
    return sum(word in request.path for request in emulator.requests)


# How it ends


@pytest.mark.parametrize(
    "fault",
    [
        Fault.json(404, "Not Found"),
        Fault.json(404, "Job not found"),
        Fault.json(403, "not for you"),
        Fault.html(502),
        Fault.raw(b""),
        Fault.raw(b"<html>hello</html>", media_type="text/html"),
        Fault.raw(b'{"update_type":"progress","result":-4}\n{}\n\xff\n'),
        Fault.raw(rows(10) + b'{"update_type": "progress", "result": 4'),
        Fault.raw(b"x", headers={"content-encoding": "br"}),
    ],
    ids=["no-route", "no-job", "refused", "gateway", "empty", "page", "garbage", "cut", "compressed"],
)
async def test_without_a_stream_the_status_is_polled(fault: Fault) -> None:
    """Whatever is wrong with the stream."""
    emulator, job_id = running(pace=Pace.polls(12))
    emulator.faults.add(fault, path="/stream-job-progress/*", times=None)
    heard = Heard()
    answer = await waited(emulator, job_id, heard, transport=httpx.ASGITransport(app=emulator.app))
    assert answer.stands.status is Status.SUCCEEDED
    assert sent(emulator, "job-status") >= 10
    heard.check(500)


async def _breaking() -> AsyncGenerator[bytes]:
    yield rows(7)
    raise httpx.ReadError("")


async def _chattering() -> AsyncGenerator[bytes]:
    while True:
        yield b"garbage\n"
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("lines", [silent, _breaking, _chattering], ids=["silent", "breaks", "never-ends"])
async def test_a_stream_that_is_no_help_does_not_keep_the_status_from_being_read(lines: Lines) -> None:
    """It is polled as well."""
    emulator, job_id = running(pace=Pace.polls(12))
    heard = Heard()
    assert (await waited(emulator, job_id, heard, lines=lines)).stands.status is Status.SUCCEEDED
    heard.check(500)


@pytest.mark.parametrize("status", ["FAILED", "SUCCEEDED"])
async def test_all_rows_done_is_not_success(status: str) -> None:
    """The status is read, and read again soon; hosts see the total only when it is true."""
    emulator, job_id = running()
    heard = Heard()

    async def lines() -> AsyncGenerator[bytes]:
        yield rows(500)
        yield rows(500)
        await heard.until("RUNNING: 500 of 500 rows")
        assert sent(emulator, "job-status") >= 1
        assert all(value < 500 for value, _, _ in heard.notes)
        end(emulator, job_id, status)
        await anyio.sleep_forever()

    answer = await waited(emulator, job_id, heard, lines=lines)
    assert answer.stands.status.value == status
    assert (heard.notes[-1][0] == 500) is (status == "SUCCEEDED")
    heard.check(500)


async def test_unknown_is_no_end() -> None:
    """The deployment cannot tell for a while, then it can."""
    emulator, job_id = running()
    unknown = Fault.raw(b'{"job_status": {"%s": "UNKNOWN"}}' % job_id.encode())
    emulator.faults.add(unknown, path="/job-status/*", times=3)
    end(emulator, job_id, "SUCCEEDED")
    heard = Heard()
    assert (await waited(emulator, job_id, heard)).stands.status is Status.SUCCEEDED
    assert "UNKNOWN" in heard.messages
    emulator.faults.add(unknown, path="/job-status/*", times=None)
    assert (await waited(emulator, job_id, heard, seconds=0.4)).stands.status is Status.UNKNOWN


# What a host hears


async def test_progress_rises_and_carries_total_and_speed() -> None:
    """Also when the stream goes back, repeats itself, exaggerates, or starts again."""
    emulator, job_id = running()
    heard = Heard()
    transport = Steered(emulator, lambda: lines())

    async def lines() -> AsyncGenerator[bytes]:
        if transport.opened == 1:
            yield tokens(1250.4) + rows(100)
            await heard.until("RUNNING: 100 of 500 rows, 1,250 tokens/s")
            yield rows(40) + rows(100) + b'{"update_type": "heartbeat"}\n'
            return
        yield rows(0) + b'{"update_type": "tokens", "result": {}}\n' + rows(300)
        await heard.until("RUNNING: 300 of 500 rows, 1,250 tokens/s")
        yield rows(9_999)
        await heard.until("RUNNING: 500 of 500 rows, 1,250 tokens/s")
        end(emulator, job_id, "SUCCEEDED")

    await waited(emulator, job_id, heard, transport=transport)
    assert transport.opened == 2
    heard.check(500)
    assert (300, 500, "RUNNING: 300 of 500 rows, 1,250 tokens/s") in heard.notes
    assert heard.notes[-1] == (500, 500, "SUCCEEDED")


async def test_a_host_hears_something_when_the_stream_is_silent() -> None:
    """Hosts give up on a call that says nothing."""
    emulator, job_id = running()
    heard = Heard()
    await waited(emulator, job_id, heard, seconds=0.6)
    assert len(heard.notes) > 3
    assert set(heard.messages) == {"RUNNING"}
    heard.check(500)


async def test_a_job_of_unknown_size_is_followed_without_a_total() -> None:
    """No job object, no total, no estimate."""
    emulator, job_id = running()
    emulator.faults.add(Fault.json(400, "no"), path="/jobs/*", times=None)
    heard = Heard()

    async def lines() -> AsyncGenerator[bytes]:
        yield rows(100) + rows(200)
        await heard.until("RUNNING: 200 rows")
        await anyio.sleep_forever()

    answer = await waited(emulator, job_id, heard, lines=lines, seconds=0.6)
    assert answer.progress == RowsDone(200)
    assert {total for _, total, _ in heard.notes} == {None}


async def test_a_host_that_stops_listening_does_not_lose_the_answer() -> None:
    """The status is known although nobody takes the notification."""
    emulator, job_id = running()

    class Deaf(Heard):
        async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
            end(emulator, job_id, "SUCCEEDED")
            await anyio.sleep_forever()

    answer = await waited(emulator, job_id, Deaf(), seconds=0.6)
    assert answer.stands.status is Status.SUCCEEDED


# When the time is up


async def test_the_seconds_left_come_from_what_was_seen() -> None:
    """A hundred rows in the 0.6 seconds that were waited, or a little more."""
    emulator, job_id = running()
    heard = Heard()

    async def lines() -> AsyncGenerator[bytes]:
        yield rows(0) + rows(100)
        await heard.until("RUNNING: 100 of 500 rows")
        yield rows(200)
        await anyio.sleep_forever()

    answer = await waited(emulator, job_id, heard, lines=lines, seconds=0.6)
    assert answer.progress is not None
    left = answer.progress.seconds_left
    assert answer.progress == RowsDone(200, 500, None, left)
    assert 1 <= (left or 0) <= 20
    assert answer.stalled_seconds is None


@pytest.mark.parametrize("before", [rows(100), b""], ids=["no-more-rows", "no-row"])
async def test_a_wait_that_sees_no_row_for_long_says_so(before: bytes) -> None:
    """Here, a tenth of a second is long."""
    emulator, job_id = running()

    async def lines() -> AsyncGenerator[bytes]:
        yield before
        await anyio.sleep_forever()

    timing = WaitTiming(PollSchedule(0.1, 1.0), stalled=0.1)
    answer = await waited(emulator, job_id, Heard(), lines=lines, seconds=0.4, timing=timing)
    assert answer.stalled_seconds == 0


def test_an_estimate_is_only_made_from_an_observation() -> None:
    """Never from a first number, a standstill, a moment, or a total that is not known."""
    progress = Progress(num_rows=1_000)
    estimate = partial(progress.seconds_left, observed=2.0)

    def see(done: int, now: float) -> None:
        progress.take(JobProgress(kind="progress", rows_done=done), now)

    assert estimate(0.0) is None
    see(0, 0.0)
    see(400, 10.0)
    assert estimate(20.0) is None  # a stream may open with 0 before it knows better
    see(450, 11.0)
    assert estimate(11.9) is None
    assert estimate(15.0) == 55
    see(1_000, 16.0)
    assert estimate(17.0) is None
    progress.num_rows = None
    assert estimate(17.0) is None


def test_an_empty_job_is_never_above_its_total() -> None:
    """Nothing to divide by, either."""
    progress = Progress(num_rows=0)
    progress.take(JobProgress(kind="progress", rows_done=3), 0.0)
    assert progress.has_all_rows
    assert progress.sentence(Status.RUNNING) == "RUNNING: 0 of 0 rows"
    assert progress.next_value(Status.RUNNING) == 0
    assert progress.seconds_left(9.0, 0.0) is None


# When the deployment is in trouble


async def test_a_failing_gateway_does_not_end_the_wait() -> None:
    """Four attempts fail, the next read succeeds, and nothing is left to say."""
    emulator, job_id = running()
    emulator.faults.add(Fault.html(502), path="/job-status/*", skip=1, times=4)

    async def lines() -> AsyncGenerator[bytes]:
        while sent(emulator, "job-status") < 6:
            await anyio.lowlevel.checkpoint()
        end(emulator, job_id, "SUCCEEDED")
        await anyio.sleep_forever()
        yield b""

    answer = await waited(emulator, job_id, Heard(), lines=lines)
    assert (answer.stands.status, answer.trouble) == (Status.SUCCEEDED, None)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.html(502), "failed (502)"),
        (Fault.raw(b"{", headers={"content-length": "50"}), "ended after 1 of 50 bytes"),
        (Fault.json(503, "not now\u202e"), '(503); it said "not now\\u{202E}"'),
    ],
    ids=["gateway", "cut", "hostile"],
)
async def test_trouble_that_persists_is_mentioned_at_the_timeout(fault: Fault, words: str) -> None:
    """With the status that was read before it."""
    emulator, job_id = running()
    emulator.faults.add(fault, path="/job-status/*", skip=1, times=None)
    # Two reads: after ten failures in a row nothing more is sent.
    timing = WaitTiming(PollSchedule(0.1, 1.0))
    answer = await waited(emulator, job_id, Heard(), seconds=0.4, timing=timing)
    assert answer.stands.status is Status.RUNNING
    assert words in (answer.trouble or "")


async def test_a_deployment_that_asks_for_patience_is_left_alone() -> None:
    """No read before Retry-After is over, not even a failing one."""
    emulator, job_id = running()
    emulator.faults.add(Fault.rate_limited(30), path="/job-status/*", skip=1, times=None)
    answer = await waited(emulator, job_id, Heard(), seconds=0.4)
    assert "too many requests (429)" in (answer.trouble or "")
    assert sent(emulator, "job-status") == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.json(401, "no"), AuthenticationError),
        (Fault.json(404, "Job not found"), JobNotFoundError),
        (Fault.raw(b"{"), UnexpectedReplyError),
    ],
    ids=["key", "job", "shape"],
)
async def test_what_no_waiting_mends_ends_the_wait(fault: Fault, error: type[SutroError]) -> None:
    """With its own error, whenever it comes."""
    emulator, job_id = running()
    emulator.faults.add(fault, path="/job-status/*", skip=2, times=None)
    transport = Steered(emulator, silent)
    with pytest.raises(error):
        await waited(emulator, job_id, Heard(), transport=transport)
    assert transport.opened == transport.closed
