"""Scripted misbehaviour: which request it hits, what the client gets, and that it costs nothing otherwise."""

import json

import pytest
from httpx import AsyncClient

from sutro_mcp.emulator import ConnectionDroppedError, Emulator, Fault

from .support import Connect, urls_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("fault", "status", "kind", "text"),
    [
        (Fault.json(500, "Boom.", code="x"), 500, "application/json", '{"detail":"Boom.","code":"x"}'),
        (Fault.html(524), 524, "text/html; charset=UTF-8", "A timeout occurred"),
        (Fault.html(502), 502, "text/html; charset=UTF-8", "Bad gateway"),
        (Fault.gone(), 410, "application/json", "no longer supported"),
        (Fault.not_ready(), 409, "application/json", "not available yet"),
        (Fault.expired(), 403, "application/xml", "Request has expired"),
        (Fault.raw(b"{oops"), 200, "application/json", "{oops"),
    ],
    ids=["service error", "524", "502", "410", "409", "403", "raw body"],
)  # fmt: skip
async def test_a_fault_replaces_one_answer(
    emulator: Emulator, client: AsyncClient, fault: Fault, status: int, kind: str, text: str
) -> None:
    """And the next request is served as ever."""
    emulator.faults.add(fault)
    hit, after = await client.get("/list-jobs"), await client.get("/list-jobs")
    assert (hit.status_code, hit.headers["content-type"]) == (status, kind)
    assert text in hit.text
    assert after.status_code == 200
    assert [seen.status for seen in emulator.requests] == [status, 200]


@pytest.mark.parametrize("retry_after", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_a_rate_limit_says_when_to_come_back(
    emulator: Emulator, client: AsyncClient, retry_after: int | str
) -> None:
    """§8: Retry-After, code and request_id."""
    emulator.faults.add(Fault.rate_limited(retry_after))
    response = await client.get("/get-quotas")
    assert (response.status_code, response.headers["retry-after"]) == (429, str(retry_after))
    assert sorted(response.json()) == ["code", "detail", "request_id"]


async def test_a_fault_hits_only_what_it_names(emulator: Emulator, client: AsyncClient) -> None:
    """Method, path glob without /v1, origin, how many to spare and how many to hit."""
    job_id = emulator.add_job(job_id="job-1")
    fault = Fault.json(503, "Later.")
    emulator.faults.add(fault, method="GET", path="/job-status/*", origin="api", skip=1, times=2)
    others = [await client.get(f"/jobs/{job_id}"), await client.post(f"/job-status/{job_id}")]
    statuses = [(await client.get(f"/job-status/{job_id}")).status_code for _ in range(4)]
    assert [response.status_code for response in others] == [200, 405]
    assert statuses == [200, 503, 503, 200]


async def test_a_fault_can_last(connect: Connect, emulator: Emulator) -> None:
    """Until the script is cleared."""
    emulator.faults.add(Fault.html(502), times=None)
    client = await connect(emulator, base="")
    before = [(await client.get("/list-jobs")).status_code for _ in range(3)]
    emulator.faults.clear()
    assert before == [502] * 3
    assert (await client.get("/list-jobs")).status_code == 200


async def test_a_dropped_connection_is_seen_as_an_error(emulator: Emulator, client: AsyncClient) -> None:
    """In process the cut is raised; the head and some bytes were sent before."""
    emulator.faults.add(Fault.dropped(after=5))
    with pytest.raises(ConnectionDroppedError):
        await client.get("/list-jobs")
    assert (emulator.requests[0].status, emulator.requests[0].body_bytes) == (200, 5)


async def test_a_dropped_body_is_shorter_than_promised(connect: Connect, emulator: Emulator) -> None:
    """For a transport that swallows errors of the app."""
    emulator.faults.add(Fault.dropped(after=5))
    client = await connect(emulator, drops=True)
    response = await client.get("/list-jobs")
    assert len(response.content) == 5 < int(response.headers["content-length"])


async def test_a_truncated_body_ends_as_if_it_were_whole(connect: Connect, emulator: Emulator) -> None:
    """No Content-Length gives it away; a stream of many pieces is cut once."""
    job_id = emulator.add_job(outputs=[f"{number * 7919 % 10007:x}" * 9 for number in range(40_000)])
    urls = await urls_of(await connect(emulator), job_id)
    emulator.faults.add(Fault.truncated(after=100), origin="store")
    emulator.store.bytes_per_second = 1e9
    client = await connect(emulator, key="")
    response = await client.get(urls["get"])
    assert (response.status_code, len(response.content)) == (200, 100)
    assert "content-length" not in response.headers


async def test_a_slow_answer_is_complete(emulator: Emulator, client: AsyncClient) -> None:
    """Late, then piece by piece."""
    emulator.faults.add(Fault.slow(delay=0.001, bytes_per_second=1000))
    assert (await client.get("/list-jobs")).json()["jobs"] == []


async def test_an_artifact_can_change_under_a_reader(connect: Connect, emulator: Emulator) -> None:
    """Same rows, another tag: If-Range then gets the whole new body."""
    job_id = emulator.add_job()
    urls = await urls_of(await connect(emulator), job_id)
    client = await connect(emulator, key="")
    old = await client.get(urls["get"])
    emulator.faults.add(Fault.changed_artifact(), origin="store")
    resumed = await client.get(urls["get"], headers={"Range": "bytes=4-", "If-Range": old.headers["etag"]})
    assert (resumed.status_code, resumed.content == old.content) == (200, False)
    assert resumed.headers["etag"] != old.headers["etag"]
    assert (await client.get(urls["get"])).content == resumed.content


async def test_changing_what_is_no_artifact_changes_nothing(emulator: Emulator, client: AsyncClient) -> None:
    """A fault added too broadly does no harm."""
    emulator.faults.add(Fault.changed_artifact())
    assert (await client.get("/list-jobs")).status_code == 200


async def test_a_stream_can_hold_a_bad_line(emulator: Emulator, client: AsyncClient) -> None:
    """§13: any body a test needs."""
    lines = b'{"update_type": "progress", "result": 1}\n{bad\n\n{"result": 2}\n'
    emulator.faults.add(Fault.raw(lines, media_type="application/x-ndjson"), path="/stream-job-progress/*")
    response = await client.get("/stream-job-progress/any")
    assert response.content == lines
    assert json.loads(response.text.splitlines()[0])["result"] == 1
