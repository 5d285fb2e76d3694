"""Where the sources of the contract disagree (`sutro-api.md` §12), the client accepts both.

One row per contradiction: the side that is not the default of the emulator, and what a client then learns
otherwise. C19, C20, C26 and C27 are about submitting jobs, which this client never does; C14 and C15 are
about the content of results, which it does not read; C24 is about the SDK's Python; C25 and C28 are in
`test_status_errors.py` and `test_results_download.py`.
"""

from collections.abc import Awaitable
from pathlib import Path

import pytest

from sutro_mcp.api import Failure, Status
from sutro_mcp.api.models import AuthReply
from sutro_mcp.emulator import LEGACY, ApiVariant, Emulator, Fault
from sutro_mcp.errors import SutroError, UnexpectedReplyError
from sutro_mcp.results_spec import ResultsSpec

from .wire import JOB, answering, client, emulated, job, reply

pytestmark = pytest.mark.anyio

SAID = {"message": "out of memory", "additional_context": "gpu 3"}
FAILURE = Failure(**SAID)


async def told(answer: Awaitable[object]) -> object:
    """The answer, or the class of the error."""
    try:
        return await answer
    except SutroError as error:
        return type(error).__name__


async def account(variant: ApiVariant, directory: Path) -> dict[str, object]:
    """Facts that a client learns from a deployment of that variant."""
    emulator = Emulator(variant=variant, seed_jobs=False)
    found: dict[str, object] = {}
    async with emulated(emulator) as api:
        for status in set(Status) - {Status.UNKNOWN}:
            job_id = emulator.add_job(status=status.value)
            assert (await api.get_job_status(job_id)).status is (await api.get_job(job_id)).status is status
        for status in ("RUNNING", "SUCCEEDED"):
            job_id = emulator.add_job(status=status)
            accepted = (await api.cancel_job(job_id)).accepted
            found[f"cancel {status}"] = (accepted, (await api.get_job_status(job_id)).status.value)
        missing = await told(api.cancel_job(JOB))
        found["cancel missing"] = missing if isinstance(missing, str) else "not accepted"
        found["missing"] = [await told(api.get_job(JOB)), await told(api.get_job_status(JOB))]
        failed = emulator.add_job(status="FAILED", failure_reason=SAID)
        found["failure"] = (await api.get_job_status(failed)).failure
        job_id = emulator.add_job(num_rows=2, job_priority=1, outputs=["a", "b"])
        found["no failure"] = (await api.get_job_status(job_id)).failure
        listed = next(each for each in await api.list_jobs() if each.job_id == job_id)
        assert listed == await api.get_job(job_id)
        found["job"] = (listed.num_rows, listed.job_priority, listed.run_type)
        found["dates"] = (listed.datetime_created is not None, listed.datetime_completed is not None)
        artifact = await api.fetch_results(ResultsSpec(job_id), directory)
        found["results"] = (artifact.route, artifact.format)
        found["auth"] = await api.check_auth()
    return found


DEFAULT: dict[str, object] = {
    "cancel RUNNING": (True, "CANCELLING"),
    "cancel SUCCEEDED": (True, "SUCCEEDED"),
    "cancel missing": "JobNotFoundError",
    "missing": ["JobNotFoundError", "JobNotFoundError"],
    "failure": FAILURE,
    "no failure": None,
    "job": (2, 1, "FULL"),
    "dates": (True, True),
    "results": ("results-url", "parquet"),
    "auth": AuthReply(authenticated=True, endpoint="auth/check"),
}
GET: dict[str, object] = {"results": ("get-results", "parquet")}
POST: dict[str, object] = {"results": ("post-results", "json")}
OLD_AUTH: dict[str, object] = {"auth": AuthReply(authenticated=True, endpoint="try-authentication")}

SIDES: dict[str, tuple[ApiVariant, dict[str, object]]] = {
    "default": (ApiVariant(), {}),
    "C1-status-as-string": (ApiVariant(status_shape="string"), {}),
    "C2-lower-case": (ApiVariant(status_case="lower"), {}),
    "C3-pending": (ApiVariant(queued_word="PENDING", status_case="lower"), {}),
    "C3-submitted": (ApiVariant(queued_word="SUBMITTED"), {}),
    "C5-cancelling-is-not-final": (ApiVariant(cancelling_reads=None), {}),
    "C6-cancel-by-get": (ApiVariant(cancel_methods="get"), {}),
    "C6-cancel-by-post": (ApiVariant(cancel_methods="post"), {}),
    "C7-terminal-refused": (ApiVariant(cancel_terminal="refuse"), {"cancel SUCCEEDED": (False, "SUCCEEDED")}),
    "C7-terminal-flipped": (ApiVariant(cancel_terminal="flip"), {"cancel SUCCEEDED": (True, "CANCELLING")}),
    "C8-missing-in-body": (ApiVariant(cancel_missing="body"), {"cancel missing": "not accepted"}),
    "C9-error-in-message": (ApiVariant(error_key="message"), {}),
    "C10-format": (ApiVariant(format_query="format", results_url=False), GET),
    "C10-result_format": (ApiVariant(format_query="result_format", results_url=False), GET),
    "C11-object": (ApiVariant(results_url=False, get_results=False), POST),
    "C11-list": (ApiVariant(results_payload="list", results_url=False, get_results=False), POST),
    "C13-zstd": (ApiVariant(parquet_codec="zstd"), {}),
    "C16-created-null": (ApiVariant(created_null=True), {"dates": (False, True)}),
    "C17-siblings": (ApiVariant(failure_place="siblings"), {}),
    "C18-object": (ApiVariant(fine_metadata="object"), {}),
    "C21-auth-check": (ApiVariant(auth_routes="auth/check"), {}),
    "C21-try-authentication": (ApiVariant(auth_routes="try-authentication"), OLD_AUTH),
    "C22-old-keys": (ApiVariant(job_keys="old"), {}),
    "C29-no-run-type": (ApiVariant(run_type=False), {"job": (2, 1, None)}),
    "legacy": (
        LEGACY,
        OLD_AUTH | {"cancel SUCCEEDED": (False, "SUCCEEDED"), "cancel missing": "not accepted"},
    ),
}


@pytest.mark.parametrize(("variant", "otherwise"), SIDES.values(), ids=SIDES.keys())
async def test_both_sides_of_a_contradiction_are_accepted(
    tmp_path: Path, variant: ApiVariant, otherwise: dict[str, object]
) -> None:
    """The emulator takes one side; the client must not care which."""
    assert await account(variant, tmp_path) == DEFAULT | otherwise


@pytest.mark.parametrize(
    ("metadata", "failure"),
    [
        (
            {"failure_reason": "boom", "additional_context": {"a": 1}},
            Failure(message="boom", additional_context='{"a":1}'),
        ),
        (["x"], None),
    ],
    ids=["text", "junk"],
)
async def test_c17_a_failure_may_be_plain_text_or_junk(metadata: object, failure: Failure | None) -> None:
    """The third shape that the contract asks for, and none at all."""
    async with client(answering(reply(200, {"job_status": "failed", "metadata": metadata}))) as api:
        assert (await api.get_job_status(JOB)).failure == failure


async def test_c23_the_message_of_the_whole_list_is_kept() -> None:
    """Where there is one."""
    pages = [{"jobs": [job()], "message": "Jobs retrieved."}, {"jobs": [job()]}]
    async with client(answering(*(reply(200, page) for page in pages))) as api:
        assert [(await api.list_jobs_page()).message for _ in pages] == ["Jobs retrieved.", None]


async def test_a_reading_that_is_neither_side_is_not_guessed() -> None:
    """Tolerance has an end."""
    emulator = Emulator()
    emulator.faults.add(Fault.raw(b'{"state": "RUNNING"}'))
    async with emulated(emulator) as api:
        with pytest.raises(UnexpectedReplyError):
            await api.get_job_status(emulator.add_job())
