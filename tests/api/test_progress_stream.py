"""The progress stream: lines as they come, nothing taken for granted."""

import gzip
import json
from contextlib import aclosing

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sutro_mcp.api import JobProgress
from sutro_mcp.api.progress_stream import LINE_CAP, events
from sutro_mcp.emulator import Emulator, Fault, Pace
from sutro_mcp.errors import AuthenticationError, JobNotFoundError

from .wire import JOB, answering, client, emulated, reply, socket_server

pytestmark = pytest.mark.anyio


def progress(rows: object) -> bytes:
    return json.dumps({"update_type": "progress", "result": rows}).encode()


async def read(*chunks: bytes, failure: Exception | None = None) -> list[JobProgress]:
    """The events in a stream of these chunks."""
    transport = answering(reply(200, list(chunks), failure=failure, length=False))
    async with client(transport) as api:
        return [event async for event in api.stream_job_progress(JOB)]


async def test_each_kind_of_update_is_read() -> None:
    """Progress, tokens, heartbeat."""
    tokens = {"input_tokens": 5, "output_tokens": 7, "total_tokens_processed_per_second": 1.5}
    lines = [
        progress(3),
        json.dumps({"update_type": "tokens", "result": tokens}).encode(),
        json.dumps({"update_type": "tokens", "result": {"input_tokens": -1}}).encode(),
        b'{"update_type": "heartbeat"}',
    ]
    assert await read(b"\n".join(lines)) == [
        JobProgress(kind="progress", rows_done=3),
        JobProgress(kind="tokens", input_tokens=5, output_tokens=7, tokens_per_second=1.5),
        JobProgress(kind="tokens"),
        JobProgress(kind="heartbeat"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"   ", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"<html>"),
        b'{"update_type": "later"}',
        b'{"update_type": ["progress"], "result": 1}',
        *(progress(rows) for rows in ("three", -1, 2.5, None)),
        b'{"update_type": "tokens", "result": 5}',
        b'{"update_type": "progress", "result": NaN}',
        b"x" * (LINE_CAP + 1),
    ],
    ids=lambda line: line[:40].decode("latin-1"),
)
async def test_a_line_that_cannot_be_read_is_skipped(line: bytes) -> None:
    """The next one still counts."""
    rows = [event.rows_done for event in await read(progress(1) + b"\n" + line + b"\r\n", progress(2))]
    assert rows == [1, 2]


@given(st.lists(st.integers(0, 10**6), max_size=8), st.integers(1, 70))
async def test_however_the_stream_is_cut_into_chunks_the_events_are_the_same(
    rows: list[int], size: int
) -> None:
    """Chunks end anywhere."""
    stream = b"".join(progress(row) + b"\n" for row in rows)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)] or [b""]
    found = [event async for event in events(reply(200, pieces, length=False), "test")]
    assert [event.rows_done for event in found] == rows


@pytest.mark.parametrize("size", [1000, LINE_CAP * 3])
async def test_an_endless_line_is_dropped_without_being_held(size: int) -> None:
    """And what is behind it is read."""
    chunks = [b"x" * size] * (LINE_CAP * 3 // size + 1)
    found = await read(*chunks, b"\n" + progress(7) + b"\n", b"y" * size * 99)
    assert found == [JobProgress(kind="progress", rows_done=7)]


@pytest.mark.parametrize(
    "failure", [None, httpx.ReadError(""), httpx.ReadTimeout(""), httpx.RemoteProtocolError("")], ids=repr
)
async def test_a_stream_that_breaks_or_falls_silent_is_over(failure: Exception | None) -> None:
    """Only the stored status says how the job stands, and `"result": 41` must not become 4."""
    found = await read(progress(1) + b"\n" + progress(41)[:-2], failure=failure)
    assert found == [JobProgress(kind="progress", rows_done=1)]


async def test_the_emulators_stream_rises_to_the_number_of_rows() -> None:
    """A gateway error before the first line is repeated like any read; nothing is followed twice."""
    emulator = Emulator(pace=Pace.polls(4))
    job_id = emulator.add_job(status="RUNNING", num_rows=100)
    emulator.faults.add(Fault.html(502), path="/stream-job-progress/*")
    async with emulated(emulator) as api:
        found = [event async for event in api.stream_job_progress(job_id)]
    assert [request.status for request in emulator.requests] == [502, 200]
    rows = [event.rows_done for event in found if event.rows_done is not None]
    assert rows == sorted(rows)
    assert rows[-1] == 100
    assert {event.kind for event in found} == {"progress", "tokens", "heartbeat"}


async def test_a_refused_stream_is_an_error() -> None:
    """Unlike one that ends."""
    async with client(answering(reply(401))) as api:
        with pytest.raises(AuthenticationError):
            _ = [event async for event in api.stream_job_progress(JOB)]
    async with emulated(Emulator()) as api:
        with pytest.raises(JobNotFoundError):
            _ = [event async for event in api.stream_job_progress("job-unknown")]


async def test_a_compressed_bomb_in_a_stream_is_bounded_by_its_lines() -> None:
    """A stream has no size, its lines have."""
    bomb = gzip.compress(b"z" * 10_000_000 + b"\n" + progress(3))
    transport = answering(reply(200, bomb, headers={"content-encoding": "gzip"}))
    async with client(transport) as api:
        assert [event.rows_done async for event in api.stream_job_progress(JOB)] == [3]


async def test_following_many_jobs_leaves_room_for_other_calls() -> None:
    """An open stream does not count among the eight requests in flight."""

    class Patient(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "stream" in request.url.path:
                return reply(200, [progress(1) + b"\n", progress(2)], length=False)
            return reply(200, {"jobs": []})

    async with client(Patient()) as api:
        streams = [api.stream_job_progress(JOB) for _ in range(20)]
        with anyio.fail_after(60):
            firsts = [await anext(stream) for stream in streams]
            assert await api.list_jobs() == []
        for stream in streams:
            _ = [event async for event in stream]
    assert [event.rows_done for event in firsts] == [1] * 20


async def test_leaving_a_stream_early_closes_its_connection() -> None:
    """On a real socket; an unclosed one would be a warning, which is an error here."""
    script: list[bytes | float] = [b"HTTP/1.1 200 OK\r\n\r\n" + progress(1) + b"\n", 5.0]
    async with (
        socket_server(script) as (origin, _),
        client(None, origin=origin) as api,
        aclosing(api.stream_job_progress(JOB)) as stream,
    ):
        async for event in stream:
            assert event.rows_done == 1
            break
