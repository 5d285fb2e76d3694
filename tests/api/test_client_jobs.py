"""Listing and reading jobs and their status."""

import json
from collections.abc import Awaitable, Callable
from itertools import count

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sutro_mcp import errors
from sutro_mcp.api import ApiClient, Job, JobStatus, Status
from sutro_mcp.api.models import JobPage, Quota
from sutro_mcp.emulator import ApiVariant, Emulator

from .wire import JOB, OTHER_JOB, Script, answering, client, emulated, error_of, job, reply

pytestmark = pytest.mark.anyio


async def test_listing_everything_is_one_request_in_the_order_of_the_server() -> None:
    """As the official SDK does."""
    emulator = Emulator()
    async with emulated(emulator) as api:
        jobs = await api.list_jobs()
    assert [request.query for request in emulator.requests] == [{}]
    created = [job.datetime_created for job in jobs if job.datetime_created]
    assert len(jobs) == len(created) > 40
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize("paginated", [True, False])
async def test_pages_joined_equal_the_whole_list(paginated: bool) -> None:
    """No request asks for more than was said; a deployment without pages ignores `limit`, sends no cursor."""
    emulator = Emulator(variant=ApiVariant(paginated=paginated))
    async with emulated(emulator) as api:
        assert [job async for job in api.iter_jobs(7)] == await api.list_jobs()
    limits = [request.query.get("limit") for request in emulator.requests]
    assert set(limits) == {"7", None}
    assert paginated or len(limits) == 2


async def test_a_cursor_goes_back_unchanged() -> None:
    """Opaque means that nothing about it may be assumed."""
    cursor = "b3Bh/cXVl+=&limit=1 ü"
    transport = answering(
        reply(200, {"jobs": [job()], "next_cursor": cursor}), reply(200, {"jobs": [], "next_cursor": None})
    )
    async with client(transport) as api:
        page = await api.list_jobs_page(1)
        assert page == JobPage(jobs=(Job.model_validate(job()),), next_cursor=cursor)
        await api.list_jobs_page(1, page.next_cursor)
    assert dict(transport.seen[1].url.params) == {"limit": "1", "cursor": cursor}


@pytest.mark.parametrize("limit", [0, 101, -1])
async def test_a_page_size_out_of_range_is_refused_before_anything_is_sent(limit: int) -> None:
    """No document says what a deployment would do with it."""
    transport = answering(reply)
    async with client(transport) as api:
        with pytest.raises(errors.InvalidArgumentError, match="1 to 100"):
            await api.list_jobs_page(limit)
    assert transport.seen == []


@pytest.mark.parametrize(
    "last",
    [*({"next_cursor": last} for last in (None, "", 7, "first")), {}],
    ids=["null", "empty", "junk", "repeated", "missing"],
)
async def test_paging_ends_when_there_is_no_new_cursor(last: dict[str, object]) -> None:
    """A loop would never end."""
    transport = answering(
        reply(200, {"jobs": [job("job-1"), job("job-2")], "next_cursor": "first"}),
        reply(200, {"jobs": [job("job-2"), job("job-3")], **last}),
    )
    async with client(transport) as api:
        assert [found.job_id async for found in api.iter_jobs()] == ["job-1", "job-2", "job-3"]


async def test_a_list_that_never_ends_is_an_error_and_not_a_short_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cutting it silently would be a wrong answer."""
    monkeypatch.setattr("sutro_mcp.api.client._MOST_PAGES", 25)
    numbers = count()

    def page(_: httpx.Request) -> httpx.Response:
        number = next(numbers)
        return reply(200, {"jobs": [job(f"job-{number}")], "next_cursor": str(number)})

    async with client(Script(page)) as api:
        with pytest.raises(errors.UnexpectedReplyError, match="there were 25 pages"):
            [found async for found in api.iter_jobs()]


@given(st.lists(st.lists(st.integers(0, 20), max_size=5), min_size=1, max_size=8))
async def test_whatever_the_pages_hold_each_job_comes_once_in_order(pages: list[list[int]]) -> None:
    """Pages overlap when jobs are added meanwhile."""

    def page(request: httpx.Request) -> httpx.Response:
        at = int(request.url.params.get("cursor", 0))
        jobs = [job(f"job-{number}") for number in pages[at]]
        return reply(200, {"jobs": jobs, "next_cursor": str(at + 1) if at + 1 < len(pages) else None})

    async with client(Script(page)) as api:
        found = [entry.job_id async for entry in api.iter_jobs()]
    assert found == list(dict.fromkeys(f"job-{number}" for page in pages for number in page))


CALLS: dict[str, Callable[[ApiClient], Awaitable[object]]] = {
    "list": lambda api: api.list_jobs(),
    "job": lambda api: api.get_job(JOB),
    "status": lambda api: api.get_job_status(JOB),
    "quotas": lambda api: api.get_quotas(),
}


NO_LISTS = (
    *("{}", '{"jobs": null}', '{"jobs": {}}', '{"jobs": [null]}', '{"jobs": [{}]}'),
    *('{"jobs": [{"job_id": 7}]}', '{"jobs": [{"job_id": ""}]}'),
)
NO_JOBS = ("{}", '{"job": null}', '{"job": []}', '{"job": {"status": "FAILED"}}')


@pytest.mark.parametrize(
    ("call", "sent", "happened"),
    [
        *(("list", json.loads(sent), "the reply") for sent in NO_LISTS),
        *(("job", json.loads(sent), "a job without an id") for sent in NO_JOBS),
        ("job", {"job": job(OTHER_JOB)}, "answered for another job"),
        ("status", {"message": "ok"}, "the reply"),
        ("status", {"job_status": {OTHER_JOB: "RUNNING"}}, "another job"),
        ("quotas", {"quotas": {}}, "no list of quotas"),
    ],
    ids=repr,
)
async def test_a_reply_of_the_wrong_shape_or_about_another_job_is_an_error(
    call: str, sent: dict[str, object], happened: str
) -> None:
    """Failure is never a successful empty answer, and nothing is guessed."""
    error = await error_of(answering(reply(200, sent)), CALLS[call])
    assert type(error) is errors.UnexpectedReplyError
    assert happened in str(error)


@pytest.mark.parametrize(
    ("job_status", "status", "raw"),
    [
        ({JOB: "RUNNING"}, Status.RUNNING, "RUNNING"),
        ({JOB: "RUNNING", OTHER_JOB: "FAILED"}, Status.RUNNING, "RUNNING"),
        ({"status": "running"}, Status.RUNNING, "running"),
        ({"a": "RUNNING", "b": "FAILED"}, Status.UNKNOWN, None),
        ({}, Status.UNKNOWN, None),
        ({JOB: {"x": 1}}, Status.UNKNOWN, None),
        ("pending", Status.QUEUED, "pending"),
        ("warming-up", Status.UNKNOWN, "warming-up"),
        (None, Status.UNKNOWN, None),
        (3, Status.UNKNOWN, None),
    ],
    ids=repr,
)
async def test_a_status_reply_is_read_in_every_shape(
    job_status: object, status: Status, raw: str | None
) -> None:
    """The entry for the id, else the only entry, else UNKNOWN."""
    async with client(answering(reply(200, {"job_status": job_status, "message": "ok"}))) as api:
        expected = JobStatus(job_id=JOB, status=status, raw_status=raw, message="ok")
        assert await api.get_job_status(JOB) == expected


@pytest.mark.parametrize("method", ["get_job", "get_job_status", "cancel_job"])
@pytest.mark.parametrize(
    "body",
    [
        {"detail": f"Job {JOB} not found"},
        {"message": "No such job."},
        {"error": "unknown job_id", "details": "gone or never there"},
    ],
    ids=repr,
)
async def test_a_404_that_speaks_of_the_job_is_an_unknown_job(method: str, body: dict[str, object]) -> None:
    """One request; the next step is a tool."""
    transport = answering(reply(404, body))
    error = await error_of(transport, lambda api: getattr(api, method)(JOB))
    assert type(error) is errors.JobNotFoundError
    assert "Call list_jobs to see the jobs of this key" in str(error)
    assert len(transport.seen) == 1


AMBIGUOUS: dict[str, Callable[[], httpx.Response]] = {
    "framework": lambda: reply(404, {"detail": "Not Found"}),
    "route": lambda: reply(404, {"detail": "no endpoint /v1/jobs/job-1"}),
    "page": lambda: reply(404, b"<html><h1>404</h1></html>", headers={"content-type": "text/html"}),
    "empty": lambda: reply(404),
    "text": lambda: reply(404, b"404 page not found"),
}


LISTINGS: dict[str, tuple[Callable[[], httpx.Response], type[errors.SutroError], str]] = {
    "a list": (lambda: reply(200, {"jobs": []}), errors.JobNotFoundError, "knows no such job"),
    "404 too": (AMBIGUOUS["framework"], errors.WrongDeploymentError, "Check SUTRO_API_URL"),
    "no list": (lambda: reply(200, {"hello": "world"}), errors.WrongDeploymentError, "Check SUTRO_API_URL"),
    "503": (lambda: reply(503), errors.ServiceUnavailableError, "failed (503)"),
}


@pytest.mark.parametrize("body", AMBIGUOUS)
@pytest.mark.parametrize("listing", LISTINGS)
async def test_a_404_that_says_nothing_is_settled_by_listing_jobs(body: str, listing: str) -> None:
    """The job is unknown where the URL is right; else it is some other server, or neither is known yet."""
    answer, kind, happened = LISTINGS[listing]
    transport = Script(lambda request: answer() if "list-jobs" in request.url.path else AMBIGUOUS[body]())
    error = await error_of(transport)
    assert isinstance(error, kind)
    assert happened in str(error)
    assert transport.targets[:2] == [f"GET /v1/jobs/{JOB}", "GET /v1/list-jobs"]


async def test_a_deployment_under_another_prefix_is_a_wrong_url() -> None:
    """Its own router says 404 in JSON."""
    emulator = Emulator(variant=ApiVariant(prefix="root"))
    async with emulated(emulator) as api:
        with pytest.raises(errors.WrongDeploymentError):
            await api.list_jobs()
        with pytest.raises(errors.WrongDeploymentError):
            await api.get_job(JOB)


async def test_quotas_are_read_with_their_priorities() -> None:
    """Older deployments name none: then it is the position."""
    sent = [{"row_quota": 1000, "token_quota": 1_000_000}, {"priority": 5, "row_quota": -1}, None]
    async with client(answering(reply(200, {"quotas": sent}))) as api:
        assert await api.get_quotas() == (
            Quota(priority=0, row_quota=1000, token_quota=1_000_000),
            Quota(priority=5),
            Quota(priority=2),
        )
