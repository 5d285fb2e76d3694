"""The three ways to results: what they hold, what they add on request, and when there are none."""

import io
import json
import zipfile
from typing import Any

import pytest
from httpx import AsyncClient

from sutro_mcp.emulator import ApiVariant, Emulator

from .support import Connect, frame, urls_of

pytestmark = pytest.mark.anyio


def _add(emulator: Emulator) -> str:
    return emulator.add_job(
        job_id="job-1",
        outputs=['{"a": 1}', None, 'say "hi",\nthere'],
        inputs=["x", "y", None],
        cumulative_logprobs=[-0.5, None, -1.25],
        confidence_score=[0.9, 0.8, 0.7],
        id_column=("ticket_id", [7, 8, 9]),
    )


_ALWAYS = {
    "outputs": ['{"a": 1}', None, 'say "hi",\nthere'],
    "confidence_score": [0.9, 0.8, 0.7],
    "ticket_id": [7, 8, 9],
}
_ASKED = {"inputs": ["x", "y", None], "cumulative_logprobs": [-0.5, None, -1.25]}


async def test_post_wraps_the_columns(emulator: Emulator, client: AsyncClient) -> None:
    """§6.5: the flags are optional, a carried id comes always."""
    job_id = _add(emulator)
    asked = {"job_id": job_id, "include_inputs": True, "include_cumulative_logprobs": True}
    bare = (await client.post("/job-results", json={"job_id": job_id})).json()
    full = (await client.post("/job-results", json=asked)).json()
    assert bare == {"results": _ALWAYS, "message": "Results of job job-1 retrieved."}
    assert full["results"] == _ALWAYS | _ASKED


@pytest.mark.parametrize("yes", ["true", "True", "1"])
async def test_get_sends_the_same_columns_bare(emulator: Emulator, client: AsyncClient, yes: str) -> None:
    """§6.6, and the three spellings of a true flag (§3)."""
    job_id = _add(emulator)
    params = {"format": "json", "include_inputs": yes, "include_cumulative_logprobs": "False"}
    response = await client.get(f"/jobs/{job_id}/results", params=params)
    assert response.json() == _ALWAYS | {"inputs": _ASKED["inputs"]}
    assert response.headers["content-type"] == "application/json"


async def test_csv_is_zipped_and_named_after_the_job(emulator: Emulator, client: AsyncClient) -> None:
    """§6.6, C14."""
    job_id = _add(emulator)
    response = await client.get(f"/jobs/{job_id}/results?format=csv&include_inputs=1")
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.namelist() == ["job-1.csv"]
    assert archive.read("job-1.csv").decode() == (
        "job-1,inputs,confidence_score,ticket_id\n"
        '"{""a"": 1}",x,0.9,7\n'
        ",y,0.8,8\n"
        '"say ""hi"",\nthere",,0.7,9\n'
    )
    assert response.headers["content-type"] == "application/zip"


async def test_the_csv_column_can_be_named_outputs(connect: Connect) -> None:
    """C14, the other side."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(csv_column="outputs"))
    job_id = emulator.add_job(outputs=["a"])
    client = await connect(emulator)
    response = await client.get(f"/jobs/{job_id}/results?format=csv")
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.read(f"{job_id}.csv") == b"outputs\na\n"


async def test_parquet_keeps_names_types_and_rows(emulator: Emulator, client: AsyncClient) -> None:
    """§6.6: both Parquet routes serve the same artifact."""
    job_id = _add(emulator)
    params = {"include_inputs": "true", "include_cumulative_logprobs": "true"}
    direct = await client.get(f"/jobs/{job_id}/results", params={**params, "format": "parquet"})
    stored = await client.get((await urls_of(client, job_id, **params))["get"], headers={})
    table = frame(direct.content)
    assert table.to_dict(as_series=False) == _ALWAYS | _ASKED
    assert [str(dtype) for dtype in table.schema.dtypes()] == [
        "String", "String", "Float64", "Float64", "Int64",
    ]  # fmt: skip
    assert stored.status_code == 400  # this client sends its key, which a store refuses
    assert direct.headers["content-disposition"] == 'attachment; filename="job-1.parquet"'


async def test_the_address_says_what_it_leads_to(emulator: Emulator, client: AsyncClient) -> None:
    """§6.7: the body of results-url, field by field."""
    job_id = _add(emulator)

    body = (await client.get(f"/jobs/{job_id}/results-url?include_inputs=True&expires_in_seconds=60")).json()

    urls, size = body.pop("urls"), body["artifact"].pop("size_bytes")
    direct = await client.get(f"/jobs/{job_id}/results?format=parquet&include_inputs=1")
    assert size == len(direct.content)
    assert sorted(urls) == ["get", "head"]
    assert all(
        url.startswith("http://127.0.0.1:8788/") and "X-Amz-Signature=" in url for url in urls.values()
    )
    filename = "sutro-results~job-1~inputs=1~logprobs=0.parquet"
    assert body == {
        "job_id": "job-1",
        "format": "parquet",
        "include_inputs": True,
        "include_cumulative_logprobs": False,
        "expires_in_seconds": 60,
        "artifact": {
            "bucket": "sutro-emulator-results",
            "key": f"results/job-1/{filename}",
            "filename": filename,
        },
    }


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("results-url?format=csv", 400, "Unsupported format."),
        ("results?format=xml", 400, "Unsupported format."),
        ("results", 422, "Field required"),
        ("results-url?expires_in_seconds=0", 422, "greater than or equal to 1"),
        ("results-url?expires_in_seconds=604801", 422, "less than or equal to 604800"),
        ("results?format=json&include_inputs=maybe", 422, "valid boolean"),
    ],
)
async def test_a_bad_query_is_refused(
    emulator: Emulator, client: AsyncClient, path: str, status: int, detail: str
) -> None:
    """§6.6 and §6.7."""
    response = await client.get(f"/jobs/{_add(emulator)}/{path}")
    assert response.status_code == status
    assert detail in json.dumps(response.json()["detail"])


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "JSON decode error"),
        (b"[]", "should be an object"),
        (b"{}", "valid string"),
        (b'{"job_id": 5}', "valid string"),
        (b'{"job_id": "x", "include_inputs": "yes"}', "valid boolean"),
    ],
)
async def test_a_bad_body_is_a_422(client: AsyncClient, body: bytes, detail: str) -> None:
    """§8."""
    response = await client.post("/job-results", content=body)
    assert response.status_code == 422
    assert detail in json.dumps(response.json()["detail"])


async def _answers(connect: Connect, emulator: Emulator, job_id: str) -> list[tuple[int, Any]]:
    client = await connect(emulator)
    responses = [
        await client.post("/job-results", json={"job_id": job_id}),
        await client.get(f"/jobs/{job_id}/results?format=json"),
        await client.get(f"/jobs/{job_id}/results-url"),
    ]
    return [(response.status_code, response.json()["detail"]) for response in responses]


@pytest.mark.parametrize(
    "status", ["QUEUED", "STARTING", "RUNNING", "CANCELLING", "CANCELLED", "FAILED", "UNKNOWN"]
)
async def test_there_are_no_results_before_success(connect: Connect, emulator: Emulator, status: str) -> None:
    """Rule 10 of the contract: 409 with a detail, on every route."""
    job_id = emulator.add_job(status=status)
    detail = f"Results of job {job_id} are not available: the job is {status}."
    assert await _answers(connect, emulator, job_id) == [(409, detail)] * 3


@pytest.mark.parametrize("code", [400, 404])
async def test_the_older_routes_can_answer_otherwise(connect: Connect, code: Any) -> None:
    """§14: their code is undocumented; that of results-url is not."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(unready_status=code))
    answers = await _answers(connect, emulator, emulator.add_job(status="RUNNING"))
    assert [status for status, _ in answers] == [code, code, 409]


@pytest.mark.parametrize("code", [404, 410])
async def test_results_end_with_their_retention(connect: Connect, code: Any) -> None:
    """§7.5: the job still lists."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(expired_status=code))
    job_id = emulator.add_job(results_expired=True)
    detail = f"Results of job {job_id} are no longer available: their retention period is over."
    assert await _answers(connect, emulator, job_id) == [(code, detail)] * 3


async def test_a_cost_estimate_has_no_results(connect: Connect, emulator: Emulator) -> None:
    """A dry run ends SUCCEEDED all the same."""
    job_id = emulator.add_job(dry_run=True)
    assert [status for status, _ in await _answers(connect, emulator, job_id)] == [404] * 3
