"""Every switch of `ApiVariant`: the other side of each contradiction in §12 of the contract."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from sutro_mcp.emulator import LEGACY, ApiVariant, Emulator

from .support import Connect, frame, job_of, status_of

pytestmark = pytest.mark.anyio

STATUS, JSON, BY_RESULT_FORMAT = (
    "GET /job-status/job-1",
    "GET /jobs/job-1/results?format=json",
    "GET /jobs/job-1/results?result_format=json",
)
URL, POST, CANCEL, POST_CANCEL = (
    "GET /jobs/job-1/results-url",
    "POST /job-results",
    "GET /job-cancel/job-1",
    "POST /job-cancel/job-1",
)
UNKNOWN = {"message": "Job with job_id x not found."}
WHY = {"failure_reason": "no"}


def _status(word: str, metadata: Any = None) -> dict[str, Any]:
    message = "Job status with job_id job-1 retrieved."
    return {"message": message, "job_status": {"job-1": word}, "metadata": metadata}


def _plain(word: str, message: str) -> dict[str, Any]:
    return {"message": message, "job_status": word, "metadata": {}}


def _failed(reason: Any) -> dict[str, Any]:
    return {"status": "FAILED", "failure_reason": reason}


LOWER = {"status_shape": "string", "status_case": "lower", "fine_metadata": "object"}
BESIDE = {"failure_place": "siblings"}
# The switches, the job, and what requests get: a status, or a whole body.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "C1 C2 C18": (LOWER, {}, {STATUS: _plain("succeeded", "Job completed successfully")}),
    "C3 pending": ({"queued_word": "PENDING"}, {"status": "QUEUED"}, {STATUS: _status("PENDING")}),
    "C3 submitted": ({"queued_word": "SUBMITTED"}, {"status": "QUEUED"}, {STATUS: _status("SUBMITTED")}),
    "C6 both": ({"cancel_methods": "both"}, {"status": "RUNNING"}, {CANCEL: 200, POST_CANCEL: 200}),
    "C6 get": ({"cancel_methods": "get"}, {"status": "RUNNING"}, {CANCEL: 200, POST_CANCEL: 405}),
    "C6 post": ({"cancel_methods": "post"}, {"status": "RUNNING"}, {CANCEL: 405, POST_CANCEL: 200}),
    "C8": (
        {"cancel_missing": "body"},
        {},
        {"GET /job-cancel/x": {"cancelled": False, "message": "Job with job_id: x not found."}},
    ),
    "C9": ({"error_key": "message"}, {}, {"GET /jobs/x": UNKNOWN, "GET /list-jobs?limit=0": 422}),
    "C10 either": ({"format_query": "either"}, {}, {JSON: 200, BY_RESULT_FORMAT: 200}),
    "C10 format": ({"format_query": "format"}, {}, {JSON: 200, BY_RESULT_FORMAT: 422}),
    "C10 result_format": ({"format_query": "result_format"}, {}, {JSON: 422, BY_RESULT_FORMAT: 200}),
    "C11": (
        {"results_payload": "list"},
        {"outputs": ["a", "b"]},
        {POST: {"results": ["a", "b"], "message": "Results of job job-1 retrieved."}},
    ),
    "C17 message only": (BESIDE, _failed({"message": "no"}), {STATUS: _status("FAILED", WHY)}),
    "C17 with context": (
        BESIDE,
        _failed({"message": "no", "additional_context": "c"}),
        {STATUS: _status("FAILED", WHY | {"additional_context": "c"})},
    ),
    "C17 a string": (BESIDE, _failed("no"), {STATUS: _status("FAILED", WHY)}),
    "C17 no reason": (BESIDE, _failed(None), {STATUS: _status("FAILED")}),
    "C21 new": ({"auth_routes": "auth/check"}, {}, {"GET /auth/check": 200, "GET /try-authentication": 404}),
    "C21 old": (
        {"auth_routes": "try-authentication"},
        {},
        {"GET /auth/check": 404, "GET /try-authentication": 200},
    ),
    "C25": ({"central_gone": True}, {}, {"GET /list-jobs": 410, "POST /batch-inference": 410}),
    "no post_results": ({"post_results": False}, {}, {POST: 404, JSON: 200, URL: 200}),
    "no get_results": ({"get_results": False}, {}, {POST: 200, JSON: 404, URL: 200}),
    "no results_url": ({"results_url": False}, {}, {POST: 200, JSON: 200, URL: 404}),
    "§13 legacy": (
        asdict(LEGACY),
        {"status": "QUEUED"},
        {
            STATUS: _plain("pending", "Job is waiting to start"),
            CANCEL: 405,
            POST_CANCEL: 200,
            "GET /jobs/x": UNKNOWN,
        },
    ),
}


@pytest.mark.parametrize(("switches", "job", "answers"), CASES.values(), ids=CASES)
async def test_a_variant_answers_as_its_source_says(
    connect: Connect, switches: dict[str, Any], job: dict[str, Any], answers: dict[str, Any]
) -> None:
    """The other side of what the default takes."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(**switches))
    emulator.add_job(job_id="job-1", **job)
    client = await connect(emulator)
    for request, expected in answers.items():
        method, path = request.split()
        response = await client.request(method, path, json={"job_id": "job-1"} if method == "POST" else None)
        assert (response.status_code if isinstance(expected, int) else response.json()) == expected, request


@pytest.mark.parametrize(
    ("rule", "cancelled", "status"),
    [("accept", True, "SUCCEEDED"), ("refuse", False, "SUCCEEDED"), ("flip", True, "CANCELLING")],
)
async def test_cancelling_a_finished_job_has_three_outcomes(
    connect: Connect, rule: Any, cancelled: bool, status: str
) -> None:
    """C7."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(cancel_terminal=rule))
    client = await connect(emulator)
    job_id = emulator.add_job(status="SUCCEEDED")
    assert (await client.get(f"/job-cancel/{job_id}")).json()["cancelled"] is cancelled
    assert await status_of(client, job_id) == status


async def test_parquet_can_be_compressed_with_zstd(connect: Connect) -> None:
    """C13: the codec stands in the footer."""
    bodies: list[bytes] = []
    for variant in (ApiVariant(parquet_codec="snappy"), ApiVariant(parquet_codec="zstd")):
        emulator = Emulator(seed_jobs=False, variant=variant)
        job_id = emulator.add_job(outputs=["a" * 1000] * 9)
        client = await connect(emulator)
        bodies.append((await client.get(f"/jobs/{job_id}/results?format=parquet")).content)
    assert frame(bodies[0]).equals(frame(bodies[1]))
    assert [b"\x28\xb5\x2f\xfd" in body for body in bodies] == [False, True]


async def test_the_structured_content_of_a_reasoning_envelope_can_be_text(connect: Connect) -> None:
    """C15; what is no envelope stays as it is."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(reasoning_content="string"))
    outputs = ['{"content": {"a": 1}, "reasoning_content": "hm"}', '{"content": "plain"}', "not JSON", None]
    job_id = emulator.add_job(outputs=outputs, model="qwen-3-14b-thinking")
    client = await connect(emulator)
    first, *rest = (await client.post("/job-results", json={"job_id": job_id})).json()["results"]["outputs"]
    assert json.loads(first) == {"content": '{"a": 1}', "reasoning_content": "hm"}
    assert rest == outputs[1:]


async def test_a_job_can_have_the_old_keys_and_no_date_of_creation(connect: Connect) -> None:
    """C16, C22, C29."""
    emulator = Emulator(
        seed_jobs=False, variant=ApiVariant(job_keys="old", run_type=False, created_null=True)
    )
    job = await job_of(await connect(emulator), emulator.add_job())
    assert {"created_at", "completed_at", "input_count", "priority"} <= job.keys()
    assert not {"datetime_created", "datetime_completed", "num_rows", "job_priority", "run_type"} & job.keys()
    assert job["created_at"] is None


async def test_a_submission_can_answer_with_the_id_alone(connect: Connect) -> None:
    """C19, C27."""
    variant = ApiVariant(submit_response="job_id", default_model="gemma-3-12b-it")
    emulator = Emulator(seed_jobs=False, variant=variant)
    client = await connect(emulator)
    body = (await client.post("/batch-inference", json={"inputs": ["a"]})).json()
    assert list(body) == ["job_id"]
    assert emulator.job(body["job_id"]).model == "gemma-3-12b-it"


async def test_results_can_lag_behind_the_status(connect: Connect) -> None:
    """C28."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(results_lag=2))
    job_id = emulator.add_job()
    client = await connect(emulator)
    answers = [(await client.get(f"/jobs/{job_id}/results-url")).status_code for _ in range(4)]
    assert answers == [409, 409, 200, 200]


@pytest.mark.parametrize(("prefix", "v1", "root"), [("v1", 200, 404), ("root", 404, 200)])
async def test_one_of_the_prefixes_can_be_missing(connect: Connect, prefix: Any, v1: int, root: int) -> None:
    """§2.1: the two generations differ in this alone."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(prefix=prefix))
    assert (await (await connect(emulator)).get("/list-jobs")).status_code == v1
    assert (await (await connect(emulator, base="")).get("/list-jobs")).status_code == root


async def test_a_server_can_ignore_the_limit(connect: Connect) -> None:
    """Everything is returned, as if no limit had been sent."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(paginated=False))
    for _ in range(3):
        emulator.add_job()
    body = (await (await connect(emulator)).get("/list-jobs?limit=1")).json()
    assert len(body["jobs"]) == 3
    assert "next_cursor" not in body
