"""Listing, reading and refusing: the API's answers about jobs in today's dialect."""

import pytest
from httpx import AsyncClient

from sutro_mcp.emulator import DEMO_KEY, Emulator

from .conftest import Clock
from .support import Connect, job_of

pytestmark = pytest.mark.anyio


async def test_without_a_limit_everything_is_listed_newest_first(
    emulator: Emulator, client: AsyncClient
) -> None:
    """§6.1: one answer, with a message and no cursor."""
    ids = [emulator.add_job(name=f"job {number}") for number in range(3)]
    body = (await client.get("/list-jobs")).json()
    assert [job["job_id"] for job in body.pop("jobs")] == ids[::-1]
    assert body == {"message": "Jobs retrieved successfully."}


async def test_pages_joined_are_the_whole_list(connect: Connect) -> None:
    """§6.1: every page is full but the last, whose cursor is null."""
    emulator = Emulator()
    client = await connect(emulator)
    whole = [job["job_id"] for job in (await client.get("/list-jobs")).json()["jobs"]]

    pages: list[list[str]] = []
    cursor = None
    while cursor is not None or not pages:
        params = {"limit": "20"} | ({"cursor": cursor} if cursor else {})
        body = (await client.get("/list-jobs", params=params)).json()
        assert sorted(body) == ["jobs", "next_cursor"]
        pages.append([job["job_id"] for job in body["jobs"]])
        cursor = body["next_cursor"]

    assert [len(page) for page in pages] == [20, 20, len(whole) - 40]
    assert [job_id for page in pages for job_id in page] == whole


async def test_a_job_added_between_two_pages_does_not_shift_them(
    emulator: Emulator, client: AsyncClient
) -> None:
    """A cursor is a position after a job, not an offset."""
    ids = [emulator.add_job() for _ in range(4)][::-1]
    first = (await client.get("/list-jobs?limit=2")).json()
    emulator.add_job()
    second = (await client.get("/list-jobs", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [job["job_id"] for job in first["jobs"] + second["jobs"]] == ids
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        pytest.param("0", "greater than or equal to 1", id="below the minimum"),
        pytest.param("101", "less than or equal to 100", id="above the maximum"),
        pytest.param("ten", "valid integer", id="not a number"),
    ],
)
async def test_a_bad_limit_is_a_422_with_a_list_of_details(
    client: AsyncClient, limit: str, message: str
) -> None:
    """§6.1 and §8: the framework's form."""
    response = await client.get("/list-jobs", params={"limit": limit})
    assert response.status_code == 422
    (detail,) = response.json()["detail"]
    assert detail["loc"] == ["query", "limit"]
    assert message in detail["msg"]


@pytest.mark.parametrize("cursor", ["!", "b3BhcXVl", "é", "MS4x"])
async def test_a_cursor_that_was_never_given_is_a_400(connect: Connect, cursor: str) -> None:
    """Opaque means that nobody else can make one."""
    client = await connect(Emulator())
    response = await client.get("/list-jobs", params={"limit": 5, "cursor": cursor})
    assert (response.status_code, response.json()) == (400, {"detail": "Invalid cursor."})


async def test_a_cursor_without_a_limit_is_ignored(emulator: Emulator, client: AsyncClient) -> None:
    """§6.1: it is meaningful only with `limit`."""
    emulator.add_job()
    assert len((await client.get("/list-jobs?cursor=nonsense")).json()["jobs"]) == 1


async def test_a_job_shows_all_documented_fields_in_order(connect: Connect, clock: Clock) -> None:
    """§5: names, order and types of the job object."""
    emulator = Emulator(seed_jobs=False, now=clock)
    job_id = emulator.add_job(
        outputs=["four", "ten!"],
        inputs=["2+2", "5+5"],
        name="sums",
        system_prompt="Add.",
        datetime_added="2026-03-02T09:30:00Z",
    )
    client = await connect(emulator)

    assert await job_of(client, job_id) == {
        "model": "gpt-oss-20b",
        "system_prompt": "Add.",
        "job_priority": 0,
        "status": "SUCCEEDED",
        "datetime_created": "2026-03-02T09:30:00.000000Z",
        "datetime_started": "2026-03-02T09:30:10.000000Z",
        "datetime_completed": "2026-03-02T09:31:10.000000Z",
        "json_schema": None,
        "sampling_params": None,
        "name": "sums",
        "description": None,
        "dataset_id": None,
        "input_tokens": 6,
        "output_tokens": 4,
        "job_cost": 0.000001,
        "num_rows": 2,
        "failure_reason": None,
        "cost_estimate": None,
        "run_type": "FULL",
        "job_id": job_id,
        "datetime_added": "2026-03-02T09:30:00Z",
    }


async def test_a_running_job_shows_rising_tokens_and_no_completion(
    emulator: Emulator, client: AsyncClient
) -> None:
    """§5: completion-related fields are null while in progress."""
    job_id = emulator.add_job(
        status="RUNNING", num_rows=1000, progress=0.25, input_tokens=4000, output_tokens=400
    )
    job = await job_of(client, job_id)
    assert (job["input_tokens"], job["output_tokens"], job["num_rows"]) == (1000, 100, 1000)
    assert (job["datetime_completed"], job["job_cost"]) == (None, None)
    assert job["datetime_started"] is not None


async def test_a_waiting_job_has_neither_a_start_nor_tokens(emulator: Emulator, client: AsyncClient) -> None:
    """Nothing has been read or written yet."""
    job = await job_of(client, emulator.add_job(status="QUEUED"))
    assert (job["datetime_started"], job["input_tokens"], job["output_tokens"]) == (None, None, None)


async def test_a_raw_field_is_sent_as_it_is(emulator: Emulator, client: AsyncClient) -> None:
    """For shapes the emulator would never make itself."""
    job_id = emulator.add_job(job_cost="free", overrides={"num_rows": None}, surprise=[1])
    job = await job_of(client, job_id)
    assert (job["job_cost"], job["num_rows"], job["surprise"]) == ("free", None, [1])


async def test_a_status_is_a_map_from_the_id(emulator: Emulator, client: AsyncClient) -> None:
    """§6.3, as every SDK needs it."""
    job_id = emulator.add_job(status="UNKNOWN")
    assert (await client.get(f"/job-status/{job_id}")).json() == {
        "message": f"Job status with job_id {job_id} retrieved.",
        "job_status": {job_id: "UNKNOWN"},
        "metadata": None,
    }


async def test_a_failed_job_says_why_in_its_status_and_in_itself(
    emulator: Emulator, client: AsyncClient
) -> None:
    """§5.1 and §6.3."""
    reason = {"message": "Out of memory.", "additional_context": "worker 3"}
    job_id = emulator.add_job(status="FAILED", failure_reason=reason)
    assert (await client.get(f"/job-status/{job_id}")).json()["metadata"] == {"failure_reason": reason}
    assert (await job_of(client, job_id))["failure_reason"] == reason


@pytest.mark.parametrize(
    "path", ["/jobs/nope", "/job-status/nope", "/job-cancel/nope", "/jobs/nope/results-url"]
)
async def test_an_unknown_job_is_a_404_with_detail(client: AsyncClient, path: str) -> None:
    """§8, in today's dialect."""
    response = await client.get(path)
    assert (response.status_code, response.json()) == (404, {"detail": "Job with job_id nope not found."})


async def test_an_unknown_path_fails_loudly_and_says_which(connect: Connect) -> None:
    """A client that calls what the emulator does not have must not go on quietly."""
    client = await connect(Emulator(seed_jobs=False), key="")
    response = await client.get("/no-such/thing%20here")
    assert response.status_code == 404
    assert response.json() == {"detail": "The emulator has no such endpoint: GET /v1/no-such/thing here"}


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
async def test_a_method_that_does_not_belong_is_a_405(client: AsyncClient, method: str) -> None:
    """§8; HEAD too, or a HEAD of job-cancel would cancel."""
    response = await client.request(method, "/list-jobs")
    assert response.status_code == 405
    assert method == "HEAD" or response.json() == {"detail": f"Method not allowed: {method} /v1/list-jobs"}


@pytest.mark.parametrize("path", ["/list-jobs", "/get-quotas", "/auth/check", "/jobs/x", "/job-cancel/x"])
@pytest.mark.parametrize("key", ["", "wrong"], ids=["no key", "a wrong key"])
async def test_a_bad_key_is_a_401_everywhere(connect: Connect, path: str, key: str) -> None:
    """§2.2 and §8."""
    client = await connect(Emulator(seed_jobs=False), key=key)
    response = await client.get(path)
    assert response.status_code == 401
    assert "Authorization: Key" in response.json()["detail"]


async def test_a_bearer_token_is_not_a_key(client: AsyncClient) -> None:
    """Rule 1 of the contract."""
    response = await client.get("/list-jobs", headers={"Authorization": f"Bearer {DEMO_KEY}"})
    assert response.status_code == 401


@pytest.mark.parametrize("base", ["", "/v1"], ids=["at the root", "under v1"])
@pytest.mark.parametrize("slash", ["", "/"], ids=["plain", "trailing slash"])
async def test_both_prefixes_and_a_trailing_slash_are_served(connect: Connect, base: str, slash: str) -> None:
    """§13."""
    client = await connect(Emulator(seed_jobs=False), base=base)
    assert (await client.get(f"/list-jobs{slash}")).status_code == 200


@pytest.mark.parametrize("path", ["/auth/check", "/try-authentication"])
async def test_a_good_key_authenticates(connect: Connect, path: str) -> None:
    """§6.12."""
    client = await connect(Emulator(seed_jobs=False, api_key="sk_mine"))
    assert (await client.get(path)).json() == {"authenticated": True}


async def test_quotas_are_ordered_by_priority(client: AsyncClient) -> None:
    """§6.13: clients label them by position."""
    quotas = (await client.get("/get-quotas")).json()["quotas"]
    assert [(quota["priority"], quota["row_quota"]) for quota in quotas] == [(0, 1_000), (1, 1_000_000)]
