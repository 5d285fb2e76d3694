"""Reads are repeated for passing reasons, a few times, and not beyond the deadline."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest
import stamina

from sutro_mcp import errors
from sutro_mcp.api import ApiClient
from sutro_mcp.api.retries import Backoff, RetryBudget, retry_after

from .wire import JOB, answering, client, error_of, job, reply

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


@pytest.mark.parametrize(
    ("case", "sent"), [*((each, 3) for each in PASSING), *((each, 1) for each in LASTING)]
)
async def test_a_read_is_sent_at_most_three_times_and_once_if_it_would_fail_again(
    case: str, sent: int
) -> None:
    """Then the last reason is told; waiting does not help a bad key."""
    transport = answering((PASSING | LASTING)[case])
    await error_of(transport)
    assert len(transport.seen) == sent


def test_ten_repeats_are_free_and_every_ten_calls_earn_one_more() -> None:
    """Never more than ten are saved up."""
    budget = RetryBudget()
    budget.deposit()
    assert [budget.withdraw() for _ in range(12)] == [True] * 10 + [False] * 2
    allowed: list[bool] = []
    for _ in range(30):
        budget.deposit()
        allowed.append(budget.withdraw())
    assert allowed == ([False] * 9 + [True]) * 3


READS: dict[str, Callable[[ApiClient], Awaitable[object]]] = {
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
    assert isinstance(await error_of(transport, READS[method]), errors.ServiceUnavailableError)
    assert len(transport.seen) == 3


@pytest.mark.parametrize(
    ("status", "after", "sent"), [(429, 7, 3), (503, 3, 3), (429, 20, 1)], ids=["429", "503", "too long"]
)
async def test_an_error_says_how_long_the_deployment_wants_to_be_left_alone(
    status: int, after: int, sent: int
) -> None:
    """In the sentence and as a number, and at once where the wait would pass the deadline."""
    transport = answering(lambda: reply(status, headers={"retry-after": str(after)}))
    async with client(transport, timeout=10) as api:
        with pytest.raises(
            errors.ServiceUnavailableError if status == 503 else errors.RateLimitedError
        ) as caught:
            await api.list_jobs()
    assert f"Wait {after} seconds and call again" in str(caught.value)
    assert caught.value.retry_after == after
    assert len(transport.seen) == sent


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "5"}, 5),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.5),
        ({"retry-after": "1e9"}, 30),
        ({"retry-after": "+3"}, 3),
        *(({"retry-after": junk}, None) for junk in ("-1", "inf", "nan", "+inf", "+nan", "soon", "5, 6", "")),
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
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    assert retry_after({"retry-after": date}) == expected


async def test_the_wait_grows_and_is_random_below_its_ceiling() -> None:
    """Full jitter: many callers must not come back together."""
    backoffs = [Backoff(RetryBudget()) for _ in range(200)]
    error = errors.ConnectionFailedError("a", "b", "c")
    rounds = [[float(backoff(error)) for backoff in backoffs] for _ in range(6)]
    for waits, ceiling in zip(rounds, (0.5, 1, 2, 4, 8, 8), strict=True):
        assert ceiling / 2 < max(waits) <= ceiling
        assert min(waits) < ceiling / 4


async def test_what_the_server_asks_for_beats_the_dice() -> None:
    """429 always, 5xx if it says so."""
    backoff = Backoff(RetryBudget())
    assert backoff(errors.ServiceUnavailableError("a", "b", "c", retry_after=12)) == 12
    assert backoff(errors.RateLimitedError("a", "b", "c", retry_after=9)) == 9
    assert backoff(errors.UnexpectedReplyError("a", "b", "c")) is False
    assert 0 <= float(backoff(errors.IncompleteReplyError("a", "b", "c"))) <= 0.5


async def test_the_deadline_covers_all_attempts_and_waits() -> None:
    """Outside test mode, where waiting is real."""
    transport = answering(lambda: reply(503))
    with stamina.set_testing(False):
        async with client(transport, timeout=0.05) as api:
            with pytest.raises((errors.ServiceUnavailableError, errors.DeadlineExceededError)):
                with anyio.fail_after(60):
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
