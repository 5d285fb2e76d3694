"""Reads are repeated for passing reasons, a few times, and not beyond the deadline."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest
import stamina

from sutro_mcp.api import ApiClient
from sutro_mcp.api.retries import Backoff, RetryBudget, retry_after
from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteReplyError,
    RateLimitedError,
    ServiceUnavailableError,
    SutroError,
    UnexpectedReplyError,
)

from .wire import JOB, answering, client, emulated, job, reply

pytestmark = pytest.mark.anyio

Reply = Callable[[], httpx.Response]


def broken() -> httpx.Response:
    raise httpx.ReadError("reset")


def late() -> httpx.Response:
    raise httpx.ConnectTimeout("")


PASSING: dict[str, Reply] = {
    **{str(status): lambda status=status: reply(status) for status in (408, 429, 500, 502, 503, 504, 524)},
    "connection": broken,
    "connect time-out": late,
    "cut body": lambda: reply(200, b"{", headers={"content-length": "9"}),
}
LASTING: dict[str, Reply] = {
    **{
        str(status): lambda status=status: reply(status)
        for status in (302, 400, 401, 403, 405, 409, 410, 422, 501)
    },
    "broken JSON": lambda: reply(200, b"{"),
}


@pytest.mark.parametrize("case", PASSING)
async def test_a_read_is_repeated_until_it_succeeds(case: str) -> None:
    """Two failures, then the answer."""
    failing = PASSING[case]
    transport = answering(*([failing] * 2), reply(200, {"job": job()}))
    async with client(transport) as api:
        assert (await api.get_job(JOB)).job_id == JOB
    assert len(transport.seen) == 3


@pytest.mark.parametrize("case", PASSING)
async def test_a_read_is_sent_at_most_three_times(case: str) -> None:
    """Then the last reason is told."""
    transport = answering(PASSING[case])
    async with client(transport) as api:
        with pytest.raises(SutroError):
            await api.get_job(JOB)
    assert len(transport.seen) == 3


@pytest.mark.parametrize("case", LASTING)
async def test_what_would_fail_again_is_sent_once(case: str) -> None:
    """Waiting does not help a bad key."""
    transport = answering(LASTING[case])
    async with client(transport) as api:
        with pytest.raises(SutroError):
            await api.get_job(JOB)
    assert len(transport.seen) == 1


READS: dict[str, Callable[[ApiClient], object]] = {
    "list_jobs": lambda api: api.list_jobs(),
    "list_jobs_page": lambda api: api.list_jobs_page(),
    "get_job_status": lambda api: api.get_job_status(JOB),
    "check_auth": lambda api: api.check_auth(),
    "get_quotas": lambda api: api.get_quotas(),
}


@pytest.mark.parametrize("method", READS)
async def test_every_read_is_repeated(method: str) -> None:
    """One rule for all."""
    transport = answering(lambda: reply(503))
    async with client(transport) as api:
        with pytest.raises(ServiceUnavailableError):
            await READS[method](api)  # pyright: ignore[reportGeneralTypeIssues]
    assert len(transport.seen) == 3


async def test_the_emulator_recovers_from_a_gateway() -> None:
    """An HTML 524, as the edge sends it."""
    emulator = Emulator()
    emulator.faults.add(Fault.html(524), times=2)
    async with emulated(emulator) as api:
        assert await api.list_jobs()
    assert [request.status for request in emulator.requests] == [524, 524, 200]


async def test_after_too_many_requests_the_error_says_how_long_to_wait() -> None:
    """In the sentence and as a number."""
    emulator = Emulator()
    emulator.faults.add(Fault.rate_limited(retry_after=7), times=3)
    async with emulated(emulator) as api:
        with pytest.raises(RateLimitedError, match="Wait 7 seconds and call again") as caught:
            await api.list_jobs()
    assert caught.value.retry_after == 7


async def test_a_wait_that_passes_the_deadline_is_not_begun() -> None:
    """The caller learns the reason at once instead of a time-out later."""
    transport = answering(lambda: reply(429, headers={"retry-after": "20"}))
    async with client(transport, timeout=10) as api:
        with pytest.raises(RateLimitedError, match="Wait 20 seconds"):
            await api.list_jobs()
    assert len(transport.seen) == 1


async def test_a_busy_deployment_may_ask_for_a_pause_too() -> None:
    """503 with Retry-After."""
    async with client(answering(lambda: reply(503, headers={"retry-after": "3"}))) as api:
        with pytest.raises(ServiceUnavailableError, match="Wait 3 seconds and call again"):
            await api.list_jobs()


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "5"}, 5),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.5),
        ({"retry-after": "1e9"}, 30),
        ({"retry-after": "+3"}, 3),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "+inf"}, None),
        ({"retry-after": "+nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "5, 6"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:49 GMT"}, 10),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 -0000", "date": "Fri, 31 Dec 1999 23:59:49 GMT"}, None),
        ({"retry-after": "Fri, 99 Dec 1999 23:59:59 GMT"}, None),
    ],
    ids=repr,
)
def test_retry_after_is_clamped_and_junk_ignored(headers: dict[str, str], expected: float | None) -> None:
    """Half a second to thirty; the official SDK would take infinity."""
    assert retry_after(headers) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(3600, 30), (-3600, 0.5)])
def test_a_date_without_another_to_compare_is_held_against_this_clock(seconds: int, expected: float) -> None:
    """And clamped like any other."""
    assert retry_after({"retry-after": in_seconds(seconds)}) == expected


async def test_the_wait_grows_and_is_random_below_its_ceiling() -> None:
    """Full jitter: many callers must not come back together."""
    backoffs = [Backoff(RetryBudget()) for _ in range(200)]
    error = ConnectionFailedError("a", "b", "c")
    rounds = [[float(backoff(error)) for backoff in backoffs] for _ in range(6)]
    for waits, ceiling in zip(rounds, (0.5, 1, 2, 4, 8, 8), strict=True):
        assert ceiling / 2 < max(waits) <= ceiling
        assert min(waits) < ceiling / 4


async def test_what_the_server_asks_for_beats_the_dice() -> None:
    """429 always, 5xx if it says so."""
    backoff = Backoff(RetryBudget())
    assert backoff(ServiceUnavailableError("a", "b", "c", retry_after=12)) == 12
    assert backoff(RateLimitedError("a", "b", "c", retry_after=9)) == 9
    assert backoff(UnexpectedReplyError("a", "b", "c")) is False
    assert 0 <= float(backoff(IncompleteReplyError("a", "b", "c"))) <= 0.5


async def test_the_deadline_covers_all_attempts_and_waits() -> None:
    """Outside test mode, where waiting is real."""
    transport = answering(lambda: reply(503))
    with stamina.set_testing(False):
        async with client(transport, timeout=0.05) as api:
            with pytest.raises((ServiceUnavailableError, DeadlineExceededError)):
                with anyio.fail_after(2):
                    await api.list_jobs()
    assert len(transport.seen) <= 3


async def test_at_most_eight_requests_are_under_way() -> None:
    """The pool of httpx slows down beyond."""
    under_way: list[int] = [0]
    most: list[int] = [0]

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            under_way[0] -= 1
            return reply(200, {"jobs": []})

    async with client(Slow()) as api, anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(api.list_jobs)
    assert most == [8]
