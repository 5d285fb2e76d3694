"""No id can turn one request into another, seen at the URL that leaves."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sutro_mcp.api import ApiClient, ApiKey, Connection
from sutro_mcp.api.http_client import ApiRequest, build_request
from sutro_mcp.api.job_ids import job_segment
from sutro_mcp.api.routes import GET_JOB, MAY_CANCEL, POST_RESULTS, TABLE, Route
from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results_spec import ResultsSpec

from .wire import JOB, answering, client, job, reply

pytestmark = pytest.mark.anyio

CONNECTION = Connection("https://sutro.example.com/v1", ApiKey("k"), "argument", "argument")

HOSTILE = (
    *(
        "..",
        "../job-cancel/job-1",
        "a/../../job-cancel/x",
        "%2e%2e",
        "%2fjob-cancel%2fx",
        "..\\job-cancel\\x",
    ),
    *("job-1?x=1", "job-1#x", "//evil.example.com", "https://evil.example.com/", "job-1\r\nX-Evil: 1"),
    *("job-1\n", "job-1\0", "job 1", " job-1 ", "", ".", "-job", "*", "job-1,job-2"),
    *("\uff4aob-1", "job-\uff11", "job-\u202e1", "job-\ud83d", "j" * 129, "j" * 9216),
    *("job-cancel", "JOB-CANCEL-1"),
)


async def _stream(api: ApiClient, job_id: str) -> None:
    async for _ in api.stream_job_progress(job_id):
        pass


METHODS: dict[str, Callable[[ApiClient, str], Awaitable[object]]] = {
    "get_job": lambda api, job_id: api.get_job(job_id),
    "get_job_status": lambda api, job_id: api.get_job_status(job_id),
    "cancel_job": lambda api, job_id: api.cancel_job(job_id),
    "fetch_results": lambda api, job_id: api.fetch_results(ResultsSpec(job_id), Path("never")),
    "open_results": lambda api, job_id: api.open_results(ResultsSpec(job_id)),
    "download_job_results": lambda api, job_id: api.download_job_results(job_id, Path("never")),
    "stream_job_progress": _stream,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("job_id", HOSTILE, ids=lambda job_id: ascii(job_id[:24]))
async def test_a_hostile_id_is_refused_before_anything_is_sent(method: str, job_id: str) -> None:
    """No request, and no echo of the id."""
    transport = answering(reply)
    async with client(transport) as api:
        with pytest.raises(InvalidArgumentError) as caught:
            await METHODS[method](api, job_id)
    assert transport.seen == []
    assert len(job_id) < 3 or job_id not in str(caught.value)


@pytest.mark.parametrize("job_id", [JOB, "job-12345", "batch_job_12345", "J", "0", "j" * 128])
async def test_a_plain_id_is_one_segment_of_the_path(job_id: str) -> None:
    """The request that leaves is the one that was meant."""
    transport = answering(reply(200, {"job": job(job_id)}))
    async with client(transport) as api:
        await api.get_job(job_id)
    assert transport.seen[0].url.raw_path == f"/v1/jobs/{job_id}".encode()


@given(st.text(max_size=40))
def test_whatever_the_id_no_route_leaves_its_template(job_id: str) -> None:
    """Refused, or exactly one segment; and only two routes can spell the cancel path."""
    try:
        segment = job_segment(job_id)
    except InvalidArgumentError:
        return
    for route in TABLE - {POST_RESULTS}:
        path = build_request(CONNECTION, ApiRequest(route, "do", job_id)).url.raw_path.decode()
        assert path == "/v1" + route.path.format(job_id=segment)
        assert ("job-cancel" in path) == (route in MAY_CANCEL)


def test_only_requests_of_the_table_can_be_built() -> None:
    """A path that somebody adds in passing is a bug, and shows at once."""
    for route in (Route("new", "GET", "/new"), Route("get-job", "GET", "/jobs/../job-cancel/{job_id}")):
        with pytest.raises(AssertionError, match="not a request of the table"):
            build_request(CONNECTION, ApiRequest(route, "do", "job-1"))


def test_only_cancelling_may_send_the_cancel_path() -> None:
    """Even if the base URL, which nothing allows, would spell it."""
    trap = Connection("https://sutro.example.com/job-cancel", ApiKey("k"), "argument", "argument")
    with pytest.raises(AssertionError, match="only cancel_job"):
        build_request(trap, ApiRequest(GET_JOB, "do", "job-1"))
