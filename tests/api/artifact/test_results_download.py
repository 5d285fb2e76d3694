"""Three routes to results, in order, and what it means when they say no."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from sutro_mcp.api.artifact.part_file import OnBytes
from sutro_mcp.api.artifact.results_download import DownloadedFile
from sutro_mcp.emulator import ApiVariant, Emulator, Fault
from sutro_mcp.errors import (
    AuthenticationError,
    DeadlineExceededError,
    IncompleteReplyError,
    JobNotFoundError,
    NoResultsError,
    RejectedError,
    ResultsGoneError,
    ResultsNotReadyError,
    SutroError,
    UnexpectedReplyError,
    WrongDeploymentError,
)
from sutro_mcp.results_spec import ResultsSpec
from tests.api.wire import JOB, OTHER_JOB, PARQUET, Script, client, emulated, error_of, job, names_in, reply

pytestmark = pytest.mark.anyio

Route = Callable[[], httpx.Response]

LINK = "https://bucket.s3.example.com/x.parquet?X-Amz-Signature=canary"


def offer(**fields: object) -> dict[str, object]:
    """A reply of results-url."""
    return {
        "job_id": JOB,
        "format": "parquet",
        "artifact": {"filename": "../../evil", "size_bytes": len(PARQUET)},
        "urls": {"get": LINK, "head": LINK},
        **fields,
    }


def deployment(
    *,
    results_url: Route = lambda: reply(200, offer()),
    get_results: Route = lambda: reply(200, PARQUET),
    post_results: Route = lambda: reply(200, {"results": {"outputs": ["a"]}}),
    get_job: Route = lambda: reply(200, {"job": job()}),
    store: Route = lambda: reply(200, PARQUET, headers={"etag": '"v1"'}),
) -> Script:
    """A deployment and its store, each route made to order."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host != "sutro.example.com":
            return store()
        routes = {
            f"/v1/jobs/{JOB}/results-url": results_url,
            f"/v1/jobs/{JOB}/results": get_results,
            "/v1/job-results": post_results,
            f"/v1/jobs/{JOB}": get_job,
            "/v1/list-jobs": lambda: reply(200, {"jobs": []}),
        }
        return routes[request.url.path]()

    return Script(handler)


def absent() -> httpx.Response:
    return reply(404, {"detail": "Not Found"})


def refusing(status: int, detail: str = "no") -> Route:
    return lambda: reply(status, {"detail": detail})


async def fetched(
    transport: Script, directory: Path, on_bytes: OnBytes | None = None, **options: bool
) -> DownloadedFile:
    async with client(transport) as api:
        return await api.fetch_results(ResultsSpec(JOB, **options), directory, on_bytes=on_bytes)


async def refused(transport: Script, directory: Path) -> SutroError:
    """Why nothing was fetched; then nothing is left, either."""
    error = await error_of(transport, lambda api: api.fetch_results(ResultsSpec(JOB), directory))
    assert names_in(directory) == []
    return error


async def test_the_signed_link_is_the_first_route(tmp_path: Path) -> None:
    """One request for the link, one to the store; no HEAD, and a private file with a name of our own."""
    transport = deployment()
    seen: list[tuple[int, int | None]] = []
    artifact = await fetched(
        transport,
        tmp_path / "cache" / "new",
        lambda done, total: seen.append((done, total)),
        include_inputs=True,
    )
    path, size = artifact.path, len(PARQUET)
    assert artifact == DownloadedFile(path, "parquet", size, '"v1"', "results-url")
    assert path.read_bytes() == PARQUET
    assert (names_in(path.parent), path.suffix) == ([path.name], ".parquet")
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent)] == [0o600, 0o700]
    assert seen == [(size, size)]
    assert [request.method for request in transport.seen] == ["GET", "GET"]
    assert dict(transport.seen[0].url.params) == {
        "format": "parquet",
        "include_inputs": "true",
        "include_cumulative_logprobs": "false",
        "expires_in_seconds": "600",
    }


async def test_the_second_route_is_asked_for_parquet_under_both_names(tmp_path: Path) -> None:
    """And only after the job is known to have succeeded."""
    transport = deployment(results_url=absent)
    artifact = await fetched(transport, tmp_path, include_cumulative_logprobs=True)
    assert artifact == DownloadedFile(artifact.path, "parquet", len(PARQUET), None, "get-results")
    assert transport.targets == [
        f"GET /v1/jobs/{JOB}/results-url",
        f"GET /v1/jobs/{JOB}",
        f"GET /v1/jobs/{JOB}/results",
    ]
    assert dict(transport.seen[2].url.params) == {
        "format": "parquet",
        "result_format": "parquet",
        "include_inputs": "false",
        "include_cumulative_logprobs": "true",
    }


async def test_the_third_route_is_a_post_that_only_reads(tmp_path: Path) -> None:
    """Its flags are JSON booleans, and it is repeated like any read."""
    answers = [reply(502), reply(200, {"results": {"outputs": ["a"]}})]
    transport = deployment(results_url=absent, get_results=absent, post_results=lambda: answers.pop(0))
    seen: list[tuple[int, int | None]] = []
    artifact = await fetched(transport, tmp_path, lambda done, total: seen.append((done, total)))
    assert (artifact.format, artifact.route) == ("json", "post-results")
    assert json.loads(artifact.path.read_bytes()) == {"results": {"outputs": ["a"]}}
    assert json.loads(transport.seen[-1].content) == {
        "job_id": JOB,
        "include_inputs": False,
        "include_cumulative_logprobs": False,
    }
    assert transport.seen[-1].headers["content-type"] == "application/json"
    assert seen == [(artifact.size, artifact.size)]


@pytest.mark.parametrize(
    ("body", "form", "ending"),
    [
        (b"PK\x03\x04" + b"x" * 100 + b"PK\x05\x06" + b"\0" * 18, "csv", ".csv.zip"),
        (b'\xef\xbb\xbf ["a"]\n', "json", ".json"),
    ],
    ids=["ZIP of a CSV", "JSON list after a byte-order mark"],
)
async def test_results_in_another_format_are_kept_as_they_came(
    tmp_path: Path, body: bytes, form: str, ending: str
) -> None:
    """An older deployment may ignore the format it was asked for."""
    artifact = await fetched(deployment(results_url=absent, get_results=lambda: reply(200, body)), tmp_path)
    assert (artifact.format, artifact.path.read_bytes()) == (form, body)
    assert artifact.path.name.endswith(ending)


@pytest.mark.parametrize("lacking", [absent, refusing(405), refusing(501), refusing(404, "no such endpoint")])
async def test_a_route_that_a_deployment_lacks_is_not_tried_again(tmp_path: Path, lacking: Route) -> None:
    """For as long as the client lives."""
    transport = deployment(results_url=lacking)
    async with client(transport) as api:
        await api.fetch_results(ResultsSpec(JOB), tmp_path)
        transport.seen.clear()
        await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert transport.targets == [f"GET /v1/jobs/{JOB}", f"GET /v1/jobs/{JOB}/results"]


async def test_an_expired_job_does_not_teach_that_its_routes_are_absent(tmp_path: Path) -> None:
    """404 from every route is about the results."""
    emulator = Emulator()
    expired = emulator.add_job(results_expired=True)
    kept = emulator.add_job()
    async with emulated(emulator) as api:
        with pytest.raises(ResultsGoneError, match="has no results of it"):
            await api.fetch_results(ResultsSpec(expired), tmp_path)
        assert (await api.fetch_results(ResultsSpec(kept), tmp_path)).route == "results-url"


@pytest.mark.parametrize(
    ("statuses", "kind", "happened"),
    [
        ((404, 404, 404), ResultsGoneError, "kept for 90 days by default"),
        ((410, 410, 410), ResultsGoneError, "kept for 90 days by default"),
        ((405, 501, 405), UnexpectedReplyError, "none of the known ways"),
    ],
)
async def test_without_any_route_the_job_is_past_retention_or_the_deployment_has_none(
    tmp_path: Path, statuses: tuple[int, int, int], kind: type[SutroError], happened: str
) -> None:
    """With the job asked for once."""
    link, get, post = (refusing(status) for status in statuses)
    transport = deployment(results_url=link, get_results=get, post_results=post)
    error = await refused(transport, tmp_path)
    assert type(error) is kind
    assert happened in str(error)
    assert transport.targets.count(f"GET /v1/jobs/{JOB}") == 1


@pytest.mark.parametrize("says", [absent, refusing(404, "Job not found"), refusing(409), refusing(405)])
async def test_an_unknown_job_is_an_unknown_job_whatever_the_route_says(tmp_path: Path, says: Route) -> None:
    """The job itself decides."""
    transport = deployment(results_url=says, get_job=refusing(404, "Job not found"))
    assert isinstance(await refused(transport, tmp_path), JobNotFoundError)


UNFINISHED: dict[str, tuple[dict[str, object], type[SutroError], str]] = {
    "QUEUED": ({"num_rows": None}, ResultsNotReadyError, "its status is QUEUED. Call wait_for_job"),
    "RUNNING": ({"num_rows": 5000}, ResultsNotReadyError, "its status is RUNNING (5,000 rows)"),
    "CANCELLING": ({}, ResultsNotReadyError, "its status is CANCELLING"),
    "UNKNOWN": ({}, ResultsNotReadyError, "its status is UNKNOWN"),
    "CANCELLED": ({}, NoResultsError, "the job was CANCELLED and has no results"),
    "FAILED": (
        {"failure_reason": {"message": "out of \u202ememory"}},
        NoResultsError,
        'the job FAILED; the reason given is "out of \\u{202E}memory"',
    ),
    "failed": ({}, NoResultsError, "the job FAILED; no reason is given"),
}


@pytest.mark.parametrize("status", UNFINISHED)
@pytest.mark.parametrize("first", [refusing(409), absent, refusing(404, "Job has no results")])
async def test_a_job_without_results_says_why(tmp_path: Path, status: str, first: Route) -> None:
    """409 or 404: the job is looked up, and no other route is used."""
    fields, kind, happened = UNFINISHED[status]
    transport = deployment(
        results_url=first, get_job=lambda: reply(200, {"job": job(status=status, **fields)})
    )
    error = await refused(transport, tmp_path)
    assert type(error) is kind
    assert happened in str(error)
    assert transport.targets == [f"GET /v1/jobs/{JOB}/results-url", f"GET /v1/jobs/{JOB}"]


@pytest.mark.parametrize("unready", [400, 404, 409])
async def test_routes_that_do_not_refuse_unfinished_jobs_are_not_used_for_them(
    tmp_path: Path, unready: int
) -> None:
    """Their code for it is not documented."""
    emulator = Emulator(variant=ApiVariant(results_url=False, unready_status=unready))  # pyright: ignore[reportArgumentType]
    job_id = emulator.add_job(status="RUNNING")
    async with emulated(emulator) as api:
        with pytest.raises(ResultsNotReadyError):
            await api.fetch_results(ResultsSpec(job_id), tmp_path)
    assert not any(request.path.endswith(("/results", "/job-results")) for request in emulator.requests)


@pytest.mark.parametrize("route", ["results-url", "get-results", "post-results"])
async def test_results_that_lag_behind_success_are_being_published(tmp_path: Path, route: str) -> None:
    """It is said, not waited for."""
    emulator = Emulator(
        variant=ApiVariant(
            results_lag=1, results_url=route == "results-url", get_results=route != "post-results"
        )
    )
    job_id = emulator.add_job()
    async with emulated(emulator) as api:
        published = r"are being published. Try again shortly; this takes up to about 100 seconds"
        with pytest.raises(ResultsNotReadyError, match=published):
            await api.fetch_results(ResultsSpec(job_id), tmp_path)
        assert (await api.fetch_results(ResultsSpec(job_id), tmp_path)).route == route


def offering(**fields: object) -> dict[str, Route]:
    return {"results_url": lambda: reply(200, offer(**fields))}


def sending(body: bytes) -> dict[str, Route]:
    """Without a length to compare with."""
    return {"results_url": absent, "get_results": lambda: reply(200, body, length=False)}


OTHER_STORE: dict[str, Route] = {**offering(artifact=None), "store": lambda: reply(200, b'{"a": 1}')}
MIGRATION = "no longer supported, set SUTRO_API_URL"

# The routes, and how many requests there are before it ends.
REFUSED: dict[str, tuple[dict[str, Route], int, type[SutroError], str]] = {
    "400": ({"results_url": refusing(400)}, 1, RejectedError, "found the request malformed"),
    "401": ({"results_url": refusing(401)}, 1, AuthenticationError, "refused the API key"),
    "410": ({"results_url": refusing(410, MIGRATION)}, 1, WrongDeploymentError, "no longer serves"),
    "302": ({"results_url": lambda: reply(302)}, 1, WrongDeploymentError, "redirects elsewhere"),
    "page": ({"results_url": lambda: reply(200, b"<html>")}, 1, WrongDeploymentError, "a web page"),
    "other job": (offering(job_id=OTHER_JOB), 1, UnexpectedReplyError, "answered for another job"),
    "null job": (offering(job_id=None), 1, UnexpectedReplyError, "answered for another job"),
    "other format": (offering(format="csv"), 1, UnexpectedReplyError, "another format than Parquet"),
    "no URLs": (offering(urls=None), 1, UnexpectedReplyError, "no download link"),
    "empty URL": (offering(urls={"get": ""}), 1, UnexpectedReplyError, "no download link"),
    "junk URL": (offering(urls={"get": 7}), 1, UnexpectedReplyError, "no download link"),
    "http": (offering(urls={"get": "http://a.example.com/?canary"}), 1, UnexpectedReplyError, "is not https"),
    "private": (offering(urls={"get": "https://10.0.0.1/?canary"}), 1, UnexpectedReplyError, "a private"),
    "link to JSON": (OTHER_STORE, 2, UnexpectedReplyError, "the artifact is not Parquet"),
    "page as results": (sending(b"  <html>canary"), 3, UnexpectedReplyError, "a web page or XML document"),
    "nothing": (sending(b""), 3, UnexpectedReplyError, "neither Parquet nor JSON"),
    "garbage": (sending(b"\x00\x01\x02"), 3, UnexpectedReplyError, "neither Parquet nor JSON"),
    "half Parquet": (sending(PARQUET[:-5]), 3, IncompleteReplyError, "the parquet file that came is not"),
    "magic only": (sending(b"PAR1"), 3, IncompleteReplyError, "the parquet file that came is not"),
    "half JSON": (sending(b'{"outputs": ["a'), 3, IncompleteReplyError, "the json file that came is not"),
    "half a list": (sending(b'["a"}'), 3, IncompleteReplyError, "the json file that came is not"),
    "half a ZIP": (sending(b"PK\x03\x04" + b"x" * 99), 3, IncompleteReplyError, "the csv file that came is"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_neither_results_nor_a_link_to_them_is_told_as_it_is(tmp_path: Path, case: str) -> None:
    """No other route is tried, nothing is kept, and neither content nor link is shown."""
    routes, requests, kind, happened = REFUSED[case]
    transport = deployment(**routes)
    error = await refused(transport, tmp_path)
    assert type(error) is kind
    assert happened in str(error)
    assert "canary" not in str(error)
    assert len(transport.seen) == requests


async def test_an_offer_may_lack_all_that_is_not_needed(tmp_path: Path) -> None:
    """The link is enough."""
    transport = deployment(results_url=lambda: reply(200, {"urls": {"get": LINK}}))
    assert (await fetched(transport, tmp_path)).size == len(PARQUET)


async def test_a_body_that_breaks_off_is_fetched_again_from_the_start(tmp_path: Path) -> None:
    """The older routes cannot be resumed."""
    answers = [
        lambda: reply(200, [PARQUET[:999]], failure=httpx.ReadError(""), length=False),
        lambda: reply(200, PARQUET),
    ]
    transport = deployment(results_url=absent, get_results=lambda: answers.pop(0)())
    assert (await fetched(transport, tmp_path)).path.read_bytes() == PARQUET


async def test_the_whole_fetch_has_one_deadline(tmp_path: Path) -> None:
    """A store that hangs does not hold the caller."""
    emulator = Emulator()
    emulator.faults.add(Fault.slow(delay=30), origin="store")
    job_id = emulator.add_job()
    async with emulated(emulator, results_timeout=0.1) as api:
        with pytest.raises(DeadlineExceededError, match=r"no complete answer within 0.1 seconds"):
            await api.fetch_results(ResultsSpec(job_id), tmp_path)
    assert names_in(tmp_path) == []
