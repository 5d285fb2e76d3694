"""The life of an HTTP server: whom it serves and refuses, what it survives, and how it ends."""

import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client

from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault, Pace, serve_in_thread

from .http_process import SESSION, HttpProcess, http_process, legacy, modern, result_of
from .test_cli import run

pytestmark = pytest.mark.anyio

LIST_JOBS = {"name": "list_jobs", "arguments": {"limit": 2}}


async def _until_asked(sutro: Emulator, times: int = 1) -> None:
    with anyio.fail_after(60):
        while len(sutro.requests) < times:  # noqa: ASYNC110 - the emulator runs in another thread
            await anyio.sleep(0.02)


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["auto", "legacy"], ids=["2026-era", "2025-era"])
async def test_a_real_client_lists_calls_and_hears_progress(mode: str) -> None:
    """Without the tool that writes files on the server's computer."""
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    with serve_in_thread(pace=Pace.clock(1)) as sutro:
        environment = {**os.environ, "SUTRO_API_URL": sutro.api_origin, "SUTRO_API_KEY": DEMO_KEY}
        async with http_process(env=environment) as server, Client(server.url, mode=mode) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert len(names) == 9
            assert "export_job_results" not in names
            job_id = sutro.add_job(status="QUEUED", num_rows=50)
            done = await client.call_tool("wait_for_job", {"job_id": job_id}, progress_callback=hear)
            assert done.structured_content is not None
            assert done.structured_content["status"] == "SUCCEEDED"
            assert heard[-1] == "SUCCEEDED"


@pytest.mark.smoke
async def test_it_starts_without_key_or_network() -> None:
    """The first call that needs a key says so; the server is well."""
    async with http_process() as server:
        assert (await server.client.get(server.origin + "/healthz")).json() == {"status": "ok"}
        refusal = result_of(await server.client.post(server.url, **modern("tools/call", LIST_JOBS)))
        assert refusal["isError"] is True
        assert "SUTRO_API_KEY" in refusal["content"][0]["text"]


@pytest.mark.wire
@pytest.mark.parametrize(
    ("name", "value", "words"), [("HOST", "10.0.0.1", "ssh -L"), ("TRANSPORT", "sse", "SUTRO_MCP_TRANSPORT")]
)
def test_a_wrong_setting_stops_it_with_a_sentence(name: str, value: str, words: str) -> None:
    """Before anything is served."""
    done = run("serve", **{"SUTRO_MCP_TRANSPORT": "http", f"SUTRO_MCP_{name}": value})
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


@pytest.mark.smoke
def test_a_port_that_is_taken_is_said() -> None:
    """One line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--transport", "http", "--port", port)
    assert done.returncode == 1
    assert done.stderr == (
        f"Cannot serve HTTP on 127.0.0.1 port {port}: address already in use. "
        "Choose another with SUTRO_MCP_PORT or SUTRO_MCP_HOST.\n"
    )


async def _end(sends: Any) -> bytes:
    """The whole stream; raises when it breaks instead of ending."""
    with anyio.fail_after(60):
        return b"".join([chunk async for chunk in sends.aiter_raw()])


@pytest.mark.smoke
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_it_although_streams_and_calls_are_open(
    sutro: Emulator, sutro_env: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Soon. Clients see an end, artifacts and the worker go, and the noisiest log keeps secrets."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    refusals: list[str] = []
    environment = {**sutro_env, "TMPDIR": str(temporary)}
    async with http_process("--log-level", "DEBUG", env=environment) as server:
        session = await server.open_session()
        results = {"name": "get_job_results", "arguments": {"job_id": sutro.find("haiku-smoke-test")}}
        await server.client.post(server.url, **modern("tools/call", results))
        assert list(temporary.iterdir())
        await server.client.get(server.url + "?key=sk_in_an_address")
        sutro.requests.clear()
        sutro.faults.add(Fault.slow(30), times=None)
        listening = {"accept": "text/event-stream", SESSION: session}
        call = legacy("tools/call", LIST_JOBS, session)
        async with (
            server.client.stream("GET", server.url, headers=listening) as announcements,
            server.client.stream("POST", server.url, **call) as answer,
            anyio.create_task_group() as tasks,
        ):

            async def call_of_2026() -> None:
                reply = await server.client.post(server.url, **modern("tools/call", LIST_JOBS))
                refusals.append(reply.json()["error"]["message"])

            tasks.start_soon(call_of_2026)
            await _until_asked(sutro, 2)
            server.process.send_signal(number)
            assert await server.exit_code() == code
            assert b"data: {" not in await _end(announcements)
            assert b"Request cancelled: the server is stopping." in await _end(answer)
        assert refusals == ["Request cancelled: the server is stopping."]
        assert list(temporary.iterdir()) == []
        stdout, log = await server.output()
    assert stdout == b""
    for secret in (
        b"X-Amz-Signature",
        DEMO_KEY.encode(),
        b"sk_in_an_address",
        b"Traceback",
        b"Uvicorn running",
    ):
        assert secret not in log


@pytest.mark.wire
async def test_calls_that_are_nearly_done_are_answered_before_it_ends(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """A restart costs no answer that was a moment away."""
    async with http_process(env=sutro_env) as server:
        session = await server.open_session()
        requests = modern("tools/call", LIST_JOBS), legacy("tools/call", LIST_JOBS, session)
        sutro.faults.add(Fault.slow(0.5), times=2)
        async with anyio.create_task_group() as tasks:

            async def call(request: dict[str, Any]) -> None:
                reply = result_of(await server.client.post(server.url, **request))
                assert len(reply["structuredContent"]["jobs"]["rows"]) == 2

            for request in requests:
                tasks.start_soon(call, request)
            await _until_asked(sutro, 2)
            server.process.terminate()
        assert await server.exit_code() == 143


STUBBORN = """
import sys, anyio
from sutro_mcp.server.build import build_server
from sutro_mcp.server.transports.streamable_http import run_http
from sutro_mcp.settings import Settings

async def stay() -> str:
    "Does not let itself be cancelled."
    print("staying", file=sys.stderr, flush=True)
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()

settings = Settings(transport="http", port=0)
server = build_server(settings, lambda: None)
server.add_tool(stay)
run_http(server, settings, lambda said: print(said, file=sys.stderr, flush=True))
"""


@pytest.mark.wire
async def test_work_that_refuses_to_end_is_left_behind() -> None:
    """Nothing holds a server that was told to stop."""
    async with http_process(command=(sys.executable, "-c", STUBBORN)) as server:
        call = modern("tools/call", {"name": "stay", "arguments": {}})
        async with anyio.create_task_group() as tasks:

            async def call_it() -> None:
                with suppress(httpx.RemoteProtocolError):
                    await server.client.post(server.url, **call)

            tasks.start_soon(call_it)
            assert await server.next_line() == "staying"
            server.process.terminate()
            assert await server.exit_code() == 143


@pytest.mark.wire
async def test_idle_connections_do_not_keep_it() -> None:
    """A client that reads nothing, one that sent half a request, and one that said nothing at all."""
    async with http_process() as server:
        host, _, port = server.origin.removeprefix("http://").rpartition(":")
        silent = await anyio.connect_tcp(host, int(port))
        halfway = await anyio.connect_tcp(host, int(port))
        await halfway.send(b"POST /mcp HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 10\r\n\r\n{")
        await server.client.get(server.origin + "/healthz")
        server.process.terminate()
        assert await server.exit_code() == 143
        await silent.aclose()
        await halfway.aclose()
        assert await server.output() == (b"", b"")


@pytest.mark.wire
async def test_demo_mode_needs_nothing_and_ends_with_its_emulator() -> None:
    """No key, no network beyond loopback."""
    async with http_process("--demo", env={**os.environ, "SUTRO_MCP_READ_ONLY": "1"}) as server:
        assert await _tools(server) == {
            "list_jobs",
            "summarize_jobs",
            "get_job",
            "get_job_status",
            "wait_for_job",
            "compare_job_results",
            "get_job_results",
            "query_job_results",
        }
        reply = await server.client.post(server.url, **modern("tools/call", LIST_JOBS))
        assert len(result_of(reply)["structuredContent"]["jobs"]["rows"]) == 2
        server.process.send_signal(signal.SIGINT)
        assert await server.exit_code() == 130
        assert await server.output() == (b"", b"")


async def _tools(server: HttpProcess) -> set[str]:
    reply: httpx.Response = await server.client.post(server.url, **modern("tools/list", {}))
    return {tool["name"] for tool in result_of(reply)["tools"]}
