"""Every switch of `ApiVariant`: the other side of each contradiction in §12 of the contract."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from sutro_mcp.emulator import LEGACY, ApiVariant, Emulator

from .support import Connect, frame, job_of, status_of

pytestmark = pytest.mark.anyio


async def _client(connect: Connect, variant: ApiVariant) -> tuple[Emulator, httpx.AsyncClient]:
    emulator = Emulator(seed_jobs=False, variant=variant)
    return emulator, await connect(emulator)


async def test_a_status_can_be_a_plain_string(connect: Connect) -> None:
    """C1, C2, C18."""
    emulator, client = await _client(
        connect, ApiVariant(status_shape="string", status_case="lower", fine_metadata="object")
    )
    job_id = emulator.add_job(status="SUCCEEDED")

    body = (await client.get(f"/job-status/{job_id}")).json()

    assert body == {"message": "Job completed successfully", "job_status": "succeeded", "metadata": {}}


@pytest.mark.parametrize("word", ["PENDING", "SUBMITTED"])
async def test_a_waiting_job_can_have_another_word(connect: Connect, word: Any) -> None:
    """C3, in the status and in the job."""
    emulator, client = await _client(connect, ApiVariant(queued_word=word))
    job_id = emulator.add_job(status="QUEUED")

    assert await status_of(client, job_id) == word
    assert (await job_of(client, job_id))["status"] == word


@pytest.mark.parametrize(
    ("methods", "get", "post"),
    [("both", 200, 200), ("get", 200, 405), ("post", 405, 200)],
)
async def test_cancel_answers_the_methods_it_is_told_to(
    connect: Connect, methods: Any, get: int, post: int
) -> None:
    """C6."""
    emulator, client = await _client(connect, ApiVariant(cancel_methods=methods))
    job_id = emulator.add_job(status="RUNNING")

    assert (await client.get(f"/job-cancel/{job_id}")).status_code == get
    assert (await client.post(f"/job-cancel/{job_id}")).status_code == post


@pytest.mark.parametrize(
    ("rule", "cancelled", "status"),
    [("accept", True, "SUCCEEDED"), ("refuse", False, "SUCCEEDED"), ("flip", True, "CANCELLING")],
)
async def test_cancelling_a_finished_job_has_three_outcomes(
    connect: Connect, rule: Any, cancelled: bool, status: str
) -> None:
    """C7."""
    emulator, client = await _client(connect, ApiVariant(cancel_terminal=rule))
    job_id = emulator.add_job(status="SUCCEEDED")

    assert (await client.get(f"/job-cancel/{job_id}")).json()["cancelled"] is cancelled
    assert await status_of(client, job_id) == status


async def test_cancelling_a_missing_job_can_be_a_200(connect: Connect) -> None:
    """C8."""
    _, client = await _client(connect, ApiVariant(cancel_missing="body"))

    response = await client.get("/job-cancel/nope")

    assert (response.status_code, response.json()["cancelled"]) == (200, False)


async def test_errors_can_be_told_in_a_message(connect: Connect) -> None:
    """C9; validation errors keep their list."""
    _, client = await _client(connect, ApiVariant(error_key="message"))

    assert (await client.get("/jobs/x")).json() == {"message": "Job with job_id x not found."}
    assert isinstance((await client.get("/list-jobs?limit=0")).json()["detail"], list)


@pytest.mark.parametrize(
    ("accepted", "sent", "status"),
    [
        ("either", "format", 200),
        ("either", "result_format", 200),
        ("format", "format", 200),
        ("format", "result_format", 422),
        ("result_format", "result_format", 200),
        ("result_format", "format", 422),
    ],
)
async def test_the_format_has_the_name_the_reading_says(
    connect: Connect, accepted: Any, sent: str, status: int
) -> None:
    """C10."""
    emulator, client = await _client(connect, ApiVariant(format_query=accepted))
    job_id = emulator.add_job()

    assert (await client.get(f"/jobs/{job_id}/results", params={sent: "json"})).status_code == status


async def test_results_can_be_a_list(connect: Connect) -> None:
    """C11."""
    emulator, client = await _client(connect, ApiVariant(results_payload="list"))
    job_id = emulator.add_job(outputs=["a", "b"])

    assert (await client.post("/job-results", json={"job_id": job_id})).json()["results"] == ["a", "b"]


async def test_parquet_can_be_compressed_with_zstd(connect: Connect) -> None:
    """C13: the codec stands in the footer."""
    bodies: list[bytes] = []
    for codec in ("snappy", "zstd"):
        emulator, client = await _client(connect, replace(ApiVariant(), parquet_codec=codec))
        job_id = emulator.add_job(outputs=["a" * 1000] * 9)
        bodies.append((await client.get(f"/jobs/{job_id}/results?format=parquet")).content)

    assert frame(bodies[0]).equals(frame(bodies[1]))
    assert b"\x28\xb5\x2f\xfd" not in bodies[0]
    assert b"\x28\xb5\x2f\xfd" in bodies[1]


async def test_the_structured_content_of_a_reasoning_envelope_can_be_text(connect: Connect) -> None:
    """C15; what is no envelope stays as it is."""
    emulator, client = await _client(connect, ApiVariant(reasoning_content="string"))
    outputs = ['{"content": {"a": 1}, "reasoning_content": "hm"}', '{"content": "plain"}', "not JSON", None]
    job_id = emulator.add_job(outputs=outputs, model="qwen-3-14b-thinking")

    first, *rest = (await client.post("/job-results", json={"job_id": job_id})).json()["results"]["outputs"]

    assert json.loads(first) == {"content": '{"a": 1}', "reasoning_content": "hm"}
    assert rest == outputs[1:]


async def test_the_creation_date_can_be_null(connect: Connect) -> None:
    """C16."""
    emulator, client = await _client(connect, ApiVariant(created_null=True))

    assert (await job_of(client, emulator.add_job()))["datetime_created"] is None


@pytest.mark.parametrize(
    ("reason", "metadata"),
    [
        pytest.param({"message": "no"}, {"failure_reason": "no"}, id="message only"),
        pytest.param(
            {"message": "no", "additional_context": "c"},
            {"failure_reason": "no", "additional_context": "c"},
            id="with context",
        ),
        pytest.param("no", {"failure_reason": "no"}, id="a string"),
        pytest.param(None, None, id="no reason"),
    ],
)
async def test_the_failure_can_stand_beside_its_context(connect: Connect, reason: Any, metadata: Any) -> None:
    """C17."""
    emulator, client = await _client(connect, ApiVariant(failure_place="siblings"))
    job_id = emulator.add_job(status="FAILED", failure_reason=reason)

    assert (await client.get(f"/job-status/{job_id}")).json()["metadata"] == metadata


async def test_a_submission_can_answer_with_the_id_alone(connect: Connect) -> None:
    """C19, C27."""
    emulator, client = await _client(
        connect, ApiVariant(submit_response="job_id", default_model="gemma-3-12b-it")
    )

    body = (await client.post("/batch-inference", json={"inputs": ["a"]})).json()

    assert list(body) == ["job_id"]
    assert emulator.job(body["job_id"]).model == "gemma-3-12b-it"


@pytest.mark.parametrize(
    ("routes", "new", "old"),
    [("both", 200, 200), ("auth/check", 200, 404), ("try-authentication", 404, 200)],
)
async def test_either_auth_check_can_be_missing(connect: Connect, routes: Any, new: int, old: int) -> None:
    """C21."""
    _, client = await _client(connect, ApiVariant(auth_routes=routes))

    assert (await client.get("/auth/check")).status_code == new
    assert (await client.get("/try-authentication")).status_code == old


async def test_job_keys_can_be_the_old_ones(connect: Connect) -> None:
    """C22, C29."""
    emulator, client = await _client(connect, ApiVariant(job_keys="old", run_type=False))

    job = await job_of(client, emulator.add_job())

    assert {"created_at", "completed_at", "input_count", "priority"} <= job.keys()
    assert not {"datetime_created", "datetime_completed", "num_rows", "job_priority", "run_type"} & job.keys()


async def test_the_central_host_can_explain_the_move(connect: Connect) -> None:
    """C25: the text the SDK recognises."""
    _, client = await _client(connect, ApiVariant(central_gone=True))

    response = await client.get("/list-jobs")

    assert response.status_code == 410
    assert response.json()["detail"].startswith("Direct Sutro Batch API access is no longer supported")


async def test_results_can_lag_behind_the_status(connect: Connect) -> None:
    """C28."""
    emulator, client = await _client(connect, ApiVariant(results_lag=2))
    job_id = emulator.add_job()

    answers = [(await client.get(f"/jobs/{job_id}/results-url")).status_code for _ in range(4)]

    assert answers == [409, 409, 200, 200]


@pytest.mark.parametrize(
    ("variant", "missing"),
    [
        (ApiVariant(post_results=False), "post_results"),
        (ApiVariant(get_results=False), "get_results"),
        (ApiVariant(results_url=False), "results_url"),
    ],
)
async def test_a_results_route_can_be_missing(connect: Connect, variant: ApiVariant, missing: str) -> None:
    """The other two still answer."""
    emulator, client = await _client(connect, variant)
    job_id = emulator.add_job()

    answers = {
        "post_results": (await client.post("/job-results", json={"job_id": job_id})).status_code,
        "get_results": (await client.get(f"/jobs/{job_id}/results?format=json")).status_code,
        "results_url": (await client.get(f"/jobs/{job_id}/results-url")).status_code,
    }

    assert answers == dict.fromkeys(answers, 200) | {missing: 404}


@pytest.mark.parametrize(("prefix", "v1", "root"), [("v1", 200, 404), ("root", 404, 200)])
async def test_one_of_the_prefixes_can_be_missing(connect: Connect, prefix: Any, v1: int, root: int) -> None:
    """§2.1: the two generations differ in this alone."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(prefix=prefix))

    assert (await (await connect(emulator)).get("/list-jobs")).status_code == v1
    assert (await (await connect(emulator, base="")).get("/list-jobs")).status_code == root


async def test_a_server_can_ignore_the_limit(connect: Connect) -> None:
    """Everything is returned, as if no limit had been sent."""
    emulator, client = await _client(connect, ApiVariant(paginated=False))
    for _ in range(3):
        emulator.add_job()

    body = (await client.get("/list-jobs?limit=1")).json()

    assert len(body["jobs"]) == 3
    assert "next_cursor" not in body


async def test_the_legacy_documentation_is_one_profile(connect: Connect) -> None:
    """§13: words, shapes and refusals of the older pages together."""
    emulator, client = await _client(connect, LEGACY)
    job_id = emulator.add_job(status="QUEUED")

    assert (await client.get(f"/job-status/{job_id}")).json()["job_status"] == "pending"
    assert (await client.get(f"/job-cancel/{job_id}")).status_code == 405
    assert (await client.post(f"/job-cancel/{job_id}")).json()["cancelled"] is True
    assert (await client.get("/jobs/x")).json() == {"message": "Job with job_id x not found."}
