"""Three routes to results, in order, and what it means when they say no."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

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
from tests.api.wire import (
    JOB,
    OTHER_JOB,
    PARQUET,
    Script,
    client,
    emulated,
    job,
    names_in,
    reply,
)

pytestmark = pytest.mark.anyio

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
    results_url: Callable[[], httpx.Response] = lambda: reply(200, offer()),
    get_results: Callable[[], httpx.Response] = lambda: reply(200, PARQUET),
    post_results: Callable[[], httpx.Response] = lambda: reply(200, {"results": {"outputs": ["a"]}}),
    get_job: Callable[[], httpx.Response] = lambda: reply(200, {"job": job()}),
    store: Callable[[], httpx.Response] = lambda: reply(200, PARQUET, headers={"etag": '"v1"'}),
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


def refusing(status: int, detail: str = "no") -> Callable[[], httpx.Response]:
    return lambda: reply(status, {"detail": detail})


async def test_the_signed_link_is_the_first_route(tmp_path: Path) -> None:
    """One request for the link, one without credentials to the store; no HEAD, and a name of our own."""
    transport = deployment()
    seen: list[tuple[int, int | None]] = []
    async with client(transport) as api:
        artifact = await api.fetch_results(
            ResultsSpec(JOB, include_inputs=True),
            tmp_path,
            on_bytes=lambda done, total: seen.append((done, total)),
        )
    assert artifact.path.read_bytes() == PARQUET
    assert (artifact.format, artifact.size, artifact.etag, artifact.route) == (
        "parquet",
        len(PARQUET),
        '"v1"',
        "results-url",
    )
    assert names_in(tmp_path) == [artifact.path.name]
    assert artifact.path.suffix == ".parquet"
    assert artifact.path.stat().st_mode & 0o777 == 0o600
    assert seen == [(len(PARQUET), len(PARQUET))]
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
    async with client(transport) as api:
        artifact = await api.fetch_results(ResultsSpec(JOB, include_cumulative_logprobs=True), tmp_path)
    assert (artifact.format, artifact.route, artifact.etag) == ("parquet", "get-results", None)
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
    async with client(transport) as api:
        artifact = await api.fetch_results(
            ResultsSpec(JOB), tmp_path, on_bytes=lambda done, total: seen.append((done, total))
        )
    assert (artifact.format, artifact.route) == ("json", "post-results")
    assert json.loads(artifact.path.read_bytes()) == {"results": {"outputs": ["a"]}}
    assert json.loads(transport.seen[-1].content) == {
        "job_id": JOB,
        "include_inputs": False,
        "include_cumulative_logprobs": False,
    }
    assert transport.seen[-1].headers["content-type"] == "application/json"
    assert seen == [(artifact.size, artifact.size)]


async def test_results_that_are_a_zip_of_csv_are_kept_as_they_came(tmp_path: Path) -> None:
    """An older deployment may ignore the format it was asked for."""
    archive = b"PK\x03\x04" + b"x" * 100 + b"PK\x05\x06" + b"\0" * 18
    async with client(deployment(results_url=absent, get_results=lambda: reply(200, archive))) as api:
        artifact = await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert (artifact.format, artifact.path.name[-8:]) == ("csv", ".csv.zip")


@pytest.mark.parametrize("lacking", [absent, refusing(405), refusing(501), refusing(404, "no such endpoint")])
async def test_a_route_that_a_deployment_lacks_is_not_tried_again(
    tmp_path: Path, lacking: Callable[[], httpx.Response]
) -> None:
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


@pytest.mark.parametrize("status", [404, 410])
async def test_a_succeeded_job_whose_routes_all_say_gone_is_past_retention(
    tmp_path: Path, status: int
) -> None:
    """With the job asked for once."""
    gone = refusing(status)
    transport = deployment(results_url=gone, get_results=gone, post_results=gone)
    async with client(transport) as api:
        with pytest.raises(ResultsGoneError, match="kept for 90 days by default"):
            await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert transport.targets.count(f"GET /v1/jobs/{JOB}") == 1
    assert names_in(tmp_path) == []


async def test_a_deployment_without_any_route_is_reported_as_such(tmp_path: Path) -> None:
    """Not as a job past retention."""
    transport = deployment(results_url=refusing(405), get_results=refusing(501), post_results=refusing(405))
    async with client(transport) as api:
        with pytest.raises(UnexpectedReplyError, match="none of the known ways"):
            await api.fetch_results(ResultsSpec(JOB), tmp_path)


@pytest.mark.parametrize("says", [absent, refusing(404, "Job not found"), refusing(409), refusing(405)])
async def test_an_unknown_job_is_an_unknown_job_whatever_the_route_says(
    tmp_path: Path, says: Callable[[], httpx.Response]
) -> None:
    """The job itself decides."""
    transport = deployment(results_url=says, get_job=refusing(404, "Job not found"))
    async with client(transport) as api:
        with pytest.raises(JobNotFoundError):
            await api.fetch_results(ResultsSpec(JOB), tmp_path)


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
async def test_a_job_without_results_says_why(
    tmp_path: Path, status: str, first: Callable[[], httpx.Response]
) -> None:
    """409 or 404: the job is looked up, and no other route is used."""
    fields, kind, happened = UNFINISHED[status]
    transport = deployment(
        results_url=first, get_job=lambda: reply(200, {"job": job(status=status, **fields)})
    )
    async with client(transport) as api:
        with pytest.raises(kind) as caught:
            await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert happened in str(caught.value)
    assert transport.targets == [f"GET /v1/jobs/{JOB}/results-url", f"GET /v1/jobs/{JOB}"]
    assert names_in(tmp_path) == []


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
        with pytest.raises(ResultsNotReadyError, match=r"are being published. Try again shortly") as caught:
            await api.fetch_results(ResultsSpec(job_id), tmp_path)
        assert "100 seconds" in str(caught.value)
        assert (await api.fetch_results(ResultsSpec(job_id), tmp_path)).route == route


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (refusing(400), RejectedError),
        (refusing(401), AuthenticationError),
        (refusing(422), RejectedError),
        (refusing(410, "no longer supported, set SUTRO_API_URL"), WrongDeploymentError),
        (lambda: reply(302), WrongDeploymentError),
        (lambda: reply(200, b"<html>"), WrongDeploymentError),
    ],
)
async def test_other_refusals_are_told_as_they_are(
    tmp_path: Path, make: Callable[[], httpx.Response], kind: type[SutroError]
) -> None:
    """No other route is tried."""
    transport = deployment(results_url=make)
    async with client(transport) as api:
        with pytest.raises(kind):
            await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert len(transport.seen) == 1


@pytest.mark.parametrize(
    ("fields", "happened"),
    [
        ({"job_id": OTHER_JOB}, "answered for another job"),
        ({"job_id": None}, "answered for another job"),
        ({"format": "csv"}, "another format than Parquet"),
        ({"urls": None}, "no download link"),
        ({"urls": {"get": ""}}, "no download link"),
        ({"urls": {"get": 7}}, "no download link"),
        ({"urls": {"get": "http://bucket.example.com/?sig=canary"}}, "is not https on the default port"),
        ({"urls": {"get": "https://127.0.0.1/?sig=canary"}}, "leads to a private address"),
    ],
    ids=repr,
)
async def test_an_offer_that_is_not_what_was_asked_for_is_refused(
    tmp_path: Path, fields: dict[str, object], happened: str
) -> None:
    """Nothing is fetched, and the link is not shown."""
    transport = deployment(results_url=lambda: reply(200, offer(**fields)))
    async with client(transport) as api:
        with pytest.raises(UnexpectedReplyError, match=happened) as caught:
            await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert "canary" not in str(caught.value)
    assert len(transport.seen) == 1
    assert names_in(tmp_path) == []


async def test_an_offer_may_lack_all_that_is_not_needed(tmp_path: Path) -> None:
    """The link is enough."""
    async with client(deployment(results_url=lambda: reply(200, {"urls": {"get": LINK}}))) as api:
        assert (await api.fetch_results(ResultsSpec(JOB), tmp_path)).size == len(PARQUET)


NOT_RESULTS: dict[str, tuple[bytes, type[SutroError], str]] = {
    "page": (b"  <html>secret</html>", UnexpectedReplyError, "a web page or XML document came"),
    "nothing": (b"", UnexpectedReplyError, "neither Parquet nor JSON"),
    "garbage": (b"\x00\x01\x02", UnexpectedReplyError, "neither Parquet nor JSON"),
    "half Parquet": (PARQUET[:-5], IncompleteReplyError, "the parquet file that came is not whole"),
    "magic only": (b"PAR1", IncompleteReplyError, "the parquet file that came is not whole"),
    "half JSON": (b'{"outputs": ["a', IncompleteReplyError, "the json file that came is not whole"),
    "half a list": (b'["a"}', IncompleteReplyError, "the json file that came is not whole"),
    "half a ZIP": (b"PK\x03\x04" + b"x" * 99, IncompleteReplyError, "the csv file that came is not whole"),
}


@pytest.mark.parametrize("case", NOT_RESULTS)
async def test_content_that_is_not_results_is_refused_and_removed(tmp_path: Path, case: str) -> None:
    """Even without a length to compare with."""
    body, kind, happened = NOT_RESULTS[case]
    transport = deployment(results_url=absent, get_results=lambda: reply(200, body, length=False))
    async with client(transport) as api:
        with pytest.raises(kind, match=happened):
            await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert names_in(tmp_path) == []


async def test_json_results_may_be_a_list_and_start_with_a_mark(tmp_path: Path) -> None:
    """Both seen in older deployments."""
    transport = deployment(results_url=absent, get_results=lambda: reply(200, b'\xef\xbb\xbf ["a"]\n'))
    async with client(transport) as api:
        assert (await api.fetch_results(ResultsSpec(JOB), tmp_path)).format == "json"


async def test_the_link_must_lead_to_parquet(tmp_path: Path) -> None:
    """It is the only format it can have."""
    transport = deployment(
        results_url=lambda: reply(200, offer(artifact=None)), store=lambda: reply(200, b'{"a": 1}')
    )
    async with client(transport) as api:
        with pytest.raises(UnexpectedReplyError, match="the artifact is not Parquet"):
            await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert names_in(tmp_path) == []


async def test_a_body_that_breaks_off_is_fetched_again_from_the_start(tmp_path: Path) -> None:
    """The older routes cannot be resumed."""
    answers = [
        lambda: reply(200, [PARQUET[:999]], failure=httpx.ReadError(""), length=False),
        lambda: reply(200, PARQUET),
    ]
    transport = deployment(results_url=absent, get_results=lambda: answers.pop(0)())
    async with client(transport) as api:
        assert (await api.fetch_results(ResultsSpec(JOB), tmp_path)).path.read_bytes() == PARQUET


async def test_the_whole_fetch_has_one_deadline(tmp_path: Path) -> None:
    """A store that hangs does not hold the caller."""
    emulator = Emulator()
    emulator.faults.add(Fault.slow(delay=30), origin="store")
    job_id = emulator.add_job()
    async with emulated(emulator, results_timeout=0.1) as api:
        with pytest.raises(DeadlineExceededError, match=r"no complete answer within 0.1 seconds"):
            await api.fetch_results(ResultsSpec(job_id), tmp_path)
    assert names_in(tmp_path) == []


async def test_a_folder_that_is_missing_is_made_private(tmp_path: Path) -> None:
    """Caches start empty."""
    async with client(deployment()) as api:
        artifact = await api.fetch_results(ResultsSpec(JOB), tmp_path / "cache" / "results")
    assert artifact.path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "variant", [ApiVariant(), ApiVariant(results_url=False), ApiVariant(results_url=False, get_results=False)]
)
async def test_the_emulator_delivers_by_every_route(tmp_path: Path, variant: ApiVariant) -> None:
    """The same job, three ways."""
    emulator = Emulator(variant=variant)
    job_id = emulator.add_job(outputs=["a", "b"])
    async with emulated(emulator) as api:
        artifact = await api.fetch_results(ResultsSpec(job_id, include_inputs=True), tmp_path)
    assert artifact.size == artifact.path.stat().st_size
    assert artifact.format == ("json" if artifact.route == "post-results" else "parquet")


async def test_a_link_is_asked_for_once_when_nothing_goes_wrong(tmp_path: Path) -> None:
    """Two requests in all."""
    emulator = Emulator()
    job_id = emulator.add_job()
    async with emulated(emulator) as api:
        await api.fetch_results(ResultsSpec(job_id), tmp_path)
    assert [(request.method, request.origin) for request in emulator.requests] == [
        ("GET", "api"),
        ("GET", "store"),
    ]
