"""Where the sources of the contract disagree (`sutro-api.md` §12), the client accepts both.

One row per contradiction, both sides of it. C19, C20, C26 and C27 are about submitting jobs, which this
client never does; C14 and C15 are about the content of results, which it does not read; C24 is about the
SDK's Python.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sutro_mcp.api import ApiClient, Failure, Status
from sutro_mcp.emulator import LEGACY, ApiVariant, Emulator, Fault
from sutro_mcp.errors import (
    JobNotFoundError,
    ResultsNotReadyError,
    UnexpectedReplyError,
    WrongDeploymentError,
)
from sutro_mcp.results_spec import ResultsSpec

from .wire import JOB, answering, client, emulated, job, reply

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Case:
    """One side of a contradiction: how the emulator reads it, and what must be true of the client."""

    variant: ApiVariant
    check: Callable[[ApiClient, Emulator, Path], Awaitable[None]]


def status_is(status: Status, **fields: object) -> Callable[[ApiClient, Emulator, Path], Awaitable[None]]:
    """A job of that status shows it, in the job and in its status."""

    async def check(api: ApiClient, emulator: Emulator, _: Path) -> None:
        job_id = emulator.add_job(status=status.value, **fields)
        assert (await api.get_job_status(job_id)).status is status
        assert (await api.get_job(job_id)).status is status

    return check


def cancel_answers(
    status: str, accepted: bool, after: Status
) -> Callable[[ApiClient, Emulator, Path], Awaitable[None]]:
    """Cancelling a job of that status is answered so."""

    async def check(api: ApiClient, emulator: Emulator, _: Path) -> None:
        job_id = emulator.add_job(status=status)
        assert (await api.cancel_job(job_id)).accepted is accepted
        assert (await api.get_job_status(job_id)).status is after

    return check


async def missing_is_refused(api: ApiClient, _: Emulator, __: Path) -> None:
    assert not (await api.cancel_job(JOB)).accepted


async def missing_is_unknown(api: ApiClient, _: Emulator, __: Path) -> None:
    for call in (api.cancel_job, api.get_job, api.get_job_status):
        with pytest.raises(JobNotFoundError):
            await call(JOB)


def delivers(route: str, form: str) -> Callable[[ApiClient, Emulator, Path], Awaitable[None]]:
    """Results come by that route in that form."""

    async def check(api: ApiClient, emulator: Emulator, directory: Path) -> None:
        artifact = await api.fetch_results(ResultsSpec(emulator.add_job(outputs=["a", "b"])), directory)
        assert (artifact.route, artifact.format) == (route, form)

    return check


async def created_is_none(api: ApiClient, emulator: Emulator, _: Path) -> None:
    assert (await api.get_job(emulator.add_job())).datetime_created is None
    assert {job.datetime_created for job in await api.list_jobs()} == {None}


async def created_is_known(api: ApiClient, emulator: Emulator, _: Path) -> None:
    assert (await api.get_job(emulator.add_job())).datetime_created is not None


async def failure_is_read(api: ApiClient, emulator: Emulator, _: Path) -> None:
    reason = {"message": "out of memory", "additional_context": "gpu 3"}
    job_id = emulator.add_job(status="FAILED", failure_reason=reason)
    expected = Failure(message="out of memory", additional_context="gpu 3")
    assert (await api.get_job_status(job_id)).failure == expected


async def no_failure(api: ApiClient, emulator: Emulator, _: Path) -> None:
    assert (await api.get_job_status(emulator.add_job())).failure is None


def authenticates_by(endpoint: str) -> Callable[[ApiClient, Emulator, Path], Awaitable[None]]:
    async def check(api: ApiClient, _: Emulator, __: Path) -> None:
        answer = await api.check_auth()
        assert (answer.authenticated, answer.endpoint) == (True, endpoint)

    return check


async def keys_are_read(api: ApiClient, emulator: Emulator, _: Path) -> None:
    job_id = emulator.add_job(num_rows=7, job_priority=1)
    found = next(job for job in await api.list_jobs() if job.job_id == job_id)
    assert (found.num_rows, found.job_priority) == (7, 1)
    assert found.datetime_created is not None
    assert found.datetime_completed is not None


async def message_with_all_and_without_pages(api: ApiClient, _: Emulator, __: Path) -> None:
    assert await api.list_jobs()
    assert (await api.list_jobs_page(5)).message is None


async def host_has_moved(api: ApiClient, _: Emulator, __: Path) -> None:
    with pytest.raises(WrongDeploymentError, match="SUTRO_API_URL"):
        await api.list_jobs()


async def results_lag(api: ApiClient, emulator: Emulator, directory: Path) -> None:
    job_id = emulator.add_job()
    with pytest.raises(ResultsNotReadyError, match="about 100 seconds"):
        await api.fetch_results(ResultsSpec(job_id), directory)
    assert (await api.fetch_results(ResultsSpec(job_id), directory)).size


def run_type_is(value: str | None) -> Callable[[ApiClient, Emulator, Path], Awaitable[None]]:
    async def check(api: ApiClient, emulator: Emulator, _: Path) -> None:
        assert (await api.get_job(emulator.add_job())).run_type == value

    return check


POST_ONLY = ApiVariant(results_url=False, get_results=False)

CASES = {
    "C1-status-as-map": Case(ApiVariant(), status_is(Status.RUNNING)),
    "C1-status-as-string": Case(ApiVariant(status_shape="string"), status_is(Status.RUNNING)),
    "C2-upper-case": Case(ApiVariant(), status_is(Status.SUCCEEDED)),
    "C2-lower-case": Case(ApiVariant(status_case="lower"), status_is(Status.SUCCEEDED)),
    "C3-queued": Case(ApiVariant(), status_is(Status.QUEUED)),
    "C3-pending": Case(ApiVariant(queued_word="PENDING", status_case="lower"), status_is(Status.QUEUED)),
    "C3-submitted": Case(ApiVariant(queued_word="SUBMITTED"), status_is(Status.QUEUED)),
    "C4-cancelling-is-shown": Case(ApiVariant(), status_is(Status.CANCELLING)),
    "C5-cancelling-is-not-final": Case(
        ApiVariant(cancelling_reads=None), cancel_answers("RUNNING", accepted=True, after=Status.CANCELLING)
    ),
    "C6-cancel-by-get": Case(
        ApiVariant(cancel_methods="get"), cancel_answers("RUNNING", accepted=True, after=Status.CANCELLING)
    ),
    "C6-cancel-by-post": Case(
        ApiVariant(cancel_methods="post"), cancel_answers("RUNNING", accepted=True, after=Status.CANCELLING)
    ),
    "C7-terminal-accepted": Case(
        ApiVariant(), cancel_answers("SUCCEEDED", accepted=True, after=Status.SUCCEEDED)
    ),
    "C7-terminal-refused": Case(
        ApiVariant(cancel_terminal="refuse"),
        cancel_answers("SUCCEEDED", accepted=False, after=Status.SUCCEEDED),
    ),
    "C7-terminal-flipped": Case(
        ApiVariant(cancel_terminal="flip"),
        cancel_answers("SUCCEEDED", accepted=True, after=Status.CANCELLING),
    ),
    "C8-missing-404": Case(ApiVariant(), missing_is_unknown),
    "C8-missing-in-body": Case(ApiVariant(cancel_missing="body"), missing_is_refused),
    "C9-error-in-detail": Case(ApiVariant(), missing_is_unknown),
    "C9-error-in-message": Case(ApiVariant(error_key="message"), missing_is_unknown),
    "C10-format": Case(
        ApiVariant(format_query="format", results_url=False), delivers("get-results", "parquet")
    ),
    "C10-result_format": Case(
        ApiVariant(format_query="result_format", results_url=False), delivers("get-results", "parquet")
    ),
    "C11-object": Case(POST_ONLY, delivers("post-results", "json")),
    "C11-list": Case(
        ApiVariant(results_payload="list", results_url=False, get_results=False),
        delivers("post-results", "json"),
    ),
    "C12-wrapped-on-post": Case(POST_ONLY, delivers("post-results", "json")),
    "C12-bare-on-get": Case(ApiVariant(results_url=False), delivers("get-results", "parquet")),
    "C13-snappy": Case(ApiVariant(), delivers("results-url", "parquet")),
    "C13-zstd": Case(ApiVariant(parquet_codec="zstd"), delivers("results-url", "parquet")),
    "C16-created-set": Case(ApiVariant(), created_is_known),
    "C16-created-null": Case(ApiVariant(created_null=True), created_is_none),
    "C17-nested": Case(ApiVariant(), failure_is_read),
    "C17-siblings": Case(ApiVariant(failure_place="siblings"), failure_is_read),
    "C18-null": Case(ApiVariant(), no_failure),
    "C18-object": Case(ApiVariant(fine_metadata="object"), no_failure),
    "C21-auth-check": Case(ApiVariant(auth_routes="auth/check"), authenticates_by("auth/check")),
    "C21-try-authentication": Case(
        ApiVariant(auth_routes="try-authentication"), authenticates_by("try-authentication")
    ),
    "C22-new-keys": Case(ApiVariant(), keys_are_read),
    "C22-old-keys": Case(ApiVariant(job_keys="old"), keys_are_read),
    "C23-message": Case(ApiVariant(), message_with_all_and_without_pages),
    "C25-central-host-moved": Case(ApiVariant(central_gone=True), host_has_moved),
    "C28-at-once": Case(ApiVariant(), delivers("results-url", "parquet")),
    "C28-lag": Case(ApiVariant(results_lag=1), results_lag),
    "C29-run-type": Case(ApiVariant(), run_type_is("FULL")),
    "C29-no-run-type": Case(ApiVariant(run_type=False), run_type_is(None)),
    "legacy-status": Case(LEGACY, status_is(Status.QUEUED)),
    "legacy-failure": Case(LEGACY, failure_is_read),
    "legacy-cancel": Case(LEGACY, cancel_answers("RUNNING", accepted=True, after=Status.CANCELLING)),
    "legacy-missing": Case(LEGACY, missing_is_refused),
    "legacy-results": Case(LEGACY, delivers("results-url", "parquet")),
    "legacy-auth": Case(LEGACY, authenticates_by("try-authentication")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_both_sides_of_a_contradiction_are_accepted(tmp_path: Path, case: Case) -> None:
    """The emulator takes one side; the client must not care which."""
    emulator = Emulator(variant=case.variant)
    async with emulated(emulator) as api:
        await case.check(api, emulator, tmp_path)


async def test_c7_cancel_is_the_callers_to_guard() -> None:
    """The client sends what it is told; it does not read the status first on its own."""
    emulator = Emulator()
    job_id = emulator.add_job(status="SUCCEEDED")
    async with emulated(emulator) as api:
        await api.cancel_job(job_id)
    assert len(emulator.requests) == 1


async def test_c17_a_failure_may_be_plain_text() -> None:
    """The third shape that the contract asks for."""
    body = {"job_status": "failed", "metadata": {"failure_reason": "boom", "additional_context": {"a": 1}}}
    async with client(answering(reply(200, body))) as api:
        assert (await api.get_job_status(JOB)).failure == Failure(
            message="boom", additional_context='{"a":1}'
        )


async def test_c17_metadata_may_be_junk() -> None:
    """Then there is no failure to show."""
    async with client(answering(reply(200, {"job_status": "failed", "metadata": ["x"]}))) as api:
        assert (await api.get_job_status(JOB)).failure is None


async def test_c23_the_message_of_the_whole_list_is_kept() -> None:
    """Where there is one."""
    async with client(answering(reply(200, {"jobs": [job()], "message": "Jobs retrieved."}))) as api:
        assert (await api.list_jobs_page()).message == "Jobs retrieved."


async def test_c16_all_completion_fields_may_be_null() -> None:
    """While a job is in progress they are."""
    names = [
        "datetime_started",
        "datetime_completed",
        "input_tokens",
        "output_tokens",
        "job_cost",
        "num_rows",
    ]
    fields: dict[str, object] = {name: None for name in names}  # noqa: C420 - fromkeys has another type
    async with client(answering(reply(200, {"job": job(**fields)}))) as api:
        found = await api.get_job(JOB)
    assert {getattr(found, name) for name in fields} == {None}


async def test_a_reading_that_is_neither_side_is_not_guessed() -> None:
    """Tolerance has an end."""
    emulator = Emulator()
    emulator.faults.add(Fault.raw(b'{"state": "RUNNING"}'))
    async with emulated(emulator) as api:
        with pytest.raises(UnexpectedReplyError):
            await api.get_job_status(emulator.add_job())
