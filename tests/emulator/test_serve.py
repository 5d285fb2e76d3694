"""Real sockets: both origins, connections that are really cut, a quick end, nothing on stdout."""

import contextlib
import logging

import anyio
import httpx
import pytest

from sutro_mcp.emulator import Emulator, Fault, Pace, serve, serve_in_thread

from .support import urls_of

pytestmark = pytest.mark.anyio


def _client(emulator: Emulator) -> httpx.AsyncClient:
    headers = {"Authorization": f"Key {emulator.api_key}"}
    return httpx.AsyncClient(base_url=f"{emulator.api_origin}/v1", headers=headers, trust_env=False)


async def test_both_origins_are_served_and_quiet(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """From the list to the bytes of an artifact, over two ports."""
    async with (
        serve() as emulator,
        _client(emulator) as api,
        httpx.AsyncClient(trust_env=False) as store,
    ):
        urls = await urls_of(api, emulator.find("haiku-smoke-test"))
        head, get = await store.head(urls["head"]), await store.get(urls["get"])

    assert urls["get"].startswith(emulator.store_origin)
    assert emulator.api_origin != emulator.store_origin
    assert head.headers["content-length"] == str(len(get.content))
    assert get.content.startswith(b"PAR1")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


async def test_a_cut_connection_is_really_cut_and_not_an_error_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client sees the socket closed in the middle; the log stays empty."""
    async with serve(seed_jobs=False) as emulator, _client(emulator) as api:
        emulator.faults.add(Fault.dropped(after=5))
        emulator.faults.add(Fault.truncated(after=5))
        with pytest.raises(httpx.RemoteProtocolError):
            await api.get("/list-jobs")
        truncated = await api.get("/list-jobs")
    assert truncated.content == b'{"mes'
    assert not caplog.records


async def test_an_open_stream_does_not_delay_the_end() -> None:
    """Neither a progress stream nor a body that trickles to somebody who does not read."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(anyio.fail_after(60))
        emulator = await stack.enter_async_context(serve(pace=Pace.clock(3600)))
        emulator.store.bytes_per_second = 10
        api = await stack.enter_async_context(_client(emulator))
        store = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        job_id = emulator.find("catalogue-copy-refresh")
        urls = await urls_of(api, emulator.find("haiku-smoke-test"))
        stream = await stack.enter_async_context(api.stream("GET", f"/stream-job-progress/{job_id}"))
        await stack.enter_async_context(store.stream("GET", urls["get"]))
        assert stream.status_code == 200


def test_a_synchronous_caller_gets_a_thread() -> None:
    """The same servers, and gone after the block."""
    with serve_in_thread(seed_jobs=False, api_key="sk_mine") as emulator:
        headers = {"Authorization": "Key sk_mine"}
        url = f"{emulator.api_origin}/v1/list-jobs"
        with httpx.Client(trust_env=False, headers=headers) as client:
            assert client.get(url).json()["jobs"] == []
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(url)


def test_a_start_that_fails_is_told_to_the_caller() -> None:
    """A taken port, for instance."""
    with serve_in_thread(seed_jobs=False) as emulator:
        port = int(emulator.api_origin.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), serve_in_thread(port=port):
            pass


async def test_a_real_error_is_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A bug of the emulator must be seen, on stderr only."""
    async with serve(seed_jobs=False) as emulator, _client(emulator) as api:
        job_id = emulator.add_job(parquet=b"", outputs=[object()])
        response = await api.get(f"/jobs/{job_id}/results?format=json")
    assert response.status_code == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert capfd.readouterr().out == ""
