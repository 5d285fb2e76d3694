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

from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault

from .http_process import SESSION, HttpProcess, http_process, legacy, modern, result_of
from .test_cli import run

pytestmark = [pytest.mark.smoke, pytest.mark.anyio]

LIST_JOBS = {"name": "list_jobs", "arguments": {"limit": 2}}


async def _until_asked(sutro: Emulator) -> None:
    with anyio.fail_after(10):
        while not sutro.requests:  # noqa: ASYNC110 - the emulator runs in another thread
            await anyio.sleep(0.02)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_real_client_lists_tools_and_calls_them(sutro_env: dict[str, str], mode: str) -> None:
    """Both protocol eras. What writes files on the server's computer is not among them."""
    async with http_process(env=sutro_env) as server, Client(server.url, mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert len(names) == 8
        assert "export_job_results" not in names
        result = await client.call_tool("list_jobs", {"limit": 3})
        assert result.structured_content is not None
        assert len(result.structured_content["jobs"]) == 3


@pytest.mark.wire
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_progress_reaches_the_client(mode: str) -> None:
    """Over the stream that ends with the answer."""
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with http_process("--demo") as server, Client(server.url, mode=mode) as client:
        jobs = await client.call_tool("list_jobs", {"status": ["RUNNING"]})
        assert jobs.structured_content is not None
        job_id = jobs.structured_content["jobs"][0]["job_id"]
        done = await client.call_tool("wait_for_job", {"job_id": job_id}, progress_callback=hear)
        assert done.structured_content is not None
        assert done.structured_content["status"] == "SUCCEEDED"
        assert heard


async def test_it_starts_without_key_or_network() -> None:
    """What is missing is said by the first call that needs it; the server is well."""
    async with http_process() as server:
        assert (await server.client.get(server.origin + "/healthz")).json() == {"status": "ok"}
        refusal = result_of(await server.client.post(server.url, **modern("tools/call", LIST_JOBS)))
        assert refusal["isError"] is True
        assert "SUTRO_API_KEY" in refusal["content"][0]["text"]


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


NO_IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.2", "localhost", pytest.param("::1", marks=NO_IPV6)]
)
async def test_host_and_origin_are_checked_on_every_address(address: str) -> None:
    """A web page whose name was made to point here gets nothing, not even whether the server is well."""
    refused: dict[str, tuple[dict[str, str], int]] = {
        "another host": ({"host": "evil.example"}, 421),
        "another host with a port": ({"host": "evil.example:8000"}, 421),
        "a host that begins like ours": ({"host": "localhost.evil.example:8000"}, 421),
        "no host": ({"host": ""}, 421),
        "another origin": ({"origin": "http://evil.example"}, 403),
        "an origin equal to its host": ({"host": "evil.example", "origin": "http://evil.example"}, 421),
        "no origin to name": ({"origin": "null"}, 403),
        "https, which is not served": ({"origin": "https://localhost"}, 403),
        "an origin that begins like ours": ({"origin": "http://localhost.evil.example"}, 403),
    }
    async with http_process("--host", address) as server:

        async def statuses(headers: dict[str, str]) -> list[int]:
            asked = [modern("tools/list", {}), legacy("initialize", {})]
            for request in asked:
                request["headers"] |= headers
            replies = [await server.client.post(server.url, **request) for request in asked]
            replies.append(await server.client.get(server.origin + "/healthz", headers=headers))
            return [reply.status_code for reply in replies]

        got = {what: await statuses(headers) for what, (headers, _) in refused.items()}
        assert got == {what: [status] * 3 for what, (_, status) in refused.items()}
        port = server.origin.rpartition(":")[2]
        for name in ("127.0.0.1", "localhost", "[::1]"):
            own = {"host": f"{name}:{port}", "origin": f"http://{name}:{port}"}
            assert (await server.client.get(server.origin + "/healthz", headers=own)).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - what must not be bound
        "::",
        "192.0.2.1",
        "::ffff:127.0.0.1",
        "mcp.example.com",
        "localhost.example.com",
    ],
)
def test_only_this_computer_is_served(address: str) -> None:
    """Without authentication no other address may be: one line says why, and what to do."""
    done = run("serve", "--transport", "http", SUTRO_MCP_HOST=address)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    for words in ("SUTRO_MCP_HOST", "only this computer can be served", "127.0.0.1", "ssh -L"):
        assert words in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("TRANSPORT", "sse"), ("PORT", "65536"), ("PORT", "-1"), ("PORT", "http")]
)
def test_a_wrong_setting_stops_it_with_a_sentence(name: str, value: str) -> None:
    """Before anything is served."""
    done = run("serve", **{"SUTRO_MCP_TRANSPORT": "http", f"SUTRO_MCP_{name}": value})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"SUTRO_MCP_{name}" in done.stderr


def test_a_port_that_is_taken_is_said() -> None:
    """One line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--transport", "http", "--port", port)
    assert done.returncode == 1
    assert done.stderr == (
        f"Cannot serve HTTP on 127.0.0.1 port {port}: address already in use. "
        "Choose another with --port or SUTRO_MCP_PORT, or --host or SUTRO_MCP_HOST.\n"
    )


async def test_garbage_is_refused_and_survived() -> None:
    """Not JSON, a batch, no such method, no such path, far too much; then an honest question."""
    async with http_process() as server:
        session = await server.open_session()

        async def status(verb: str = "POST", path: str = "/mcp", **request: Any) -> int:
            return (await server.client.request(verb, server.origin + path, **request)).status_code

        for base in (modern("tools/list", {}), legacy("tools/list", {}, session)):
            headers = {**base["headers"], "content-type": "application/json"}
            assert await status(headers=headers, content=b"{garbage") == 400
            assert await status(headers=headers, content=b"[]") == 400
            assert await status(headers=headers, content=b'"' + b"x" * 1_100_000 + b'"') == 413
            assert await status(headers=headers | {"content-type": "text/plain"}, content=b"{}") == 400
            assert await status(headers=headers | {"accept": "text/html"}, json=base["json"]) == 406
            assert await status("PUT", headers=headers) == 405
        assert await status(path="/") == 404
        assert await status("POST", "/healthz") == 405
        assert await status(**legacy("tools/list", {}, "no-such-session")) == 404
        for request in (modern("tools/list", {}), legacy("tools/list", {}, session)):
            assert len(result_of(await server.client.post(server.url, **request))["tools"]) == 8


async def test_a_session_that_was_closed_is_gone() -> None:
    """404 tells a client of 2025 to open another."""
    async with http_process() as server:
        session = await server.open_session()
        closed = await server.client.delete(server.url, headers={SESSION: session})
        assert closed.status_code == 200
        assert (await server.client.post(server.url, **legacy("tools/list", {}, session))).status_code == 404


async def _end(sends: Any) -> bytes:
    """The whole stream; raises when it breaks instead of ending."""
    with anyio.fail_after(10):
        return b"".join([chunk async for chunk in sends.aiter_raw()])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_it_although_streams_and_calls_are_open(
    sutro: Emulator, sutro_env: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Soon. Clients see an end, artifacts and the worker go, and nobody reads a traceback."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    refusals: list[str] = []
    async with http_process(env={**sutro_env, "TMPDIR": str(temporary)}) as server:
        session = await server.open_session()
        results = {"name": "get_job_results", "arguments": {"job_id": sutro.find("haiku-smoke-test")}}
        await server.client.post(server.url, **modern("tools/call", results))
        assert list(temporary.iterdir())
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
            await _until_asked(sutro)
            server.process.send_signal(number)
            assert await server.exit_code() == code
            assert b"data: {" not in await _end(announcements)
            assert b"Request cancelled: the server is stopping." in await _end(answer)
        assert refusals == ["Request cancelled: the server is stopping."]
        assert list(temporary.iterdir()) == []
        assert await server.output() == (b"", b"")


@pytest.mark.parametrize("era", ["2026", "2025"])
async def test_a_call_that_is_nearly_done_is_answered_before_it_ends(
    sutro: Emulator, sutro_env: dict[str, str], era: str
) -> None:
    """A restart costs no answer that was a moment away."""
    async with http_process(env=sutro_env) as server:
        request = modern("tools/call", LIST_JOBS)
        if era == "2025":
            request = legacy("tools/call", LIST_JOBS, await server.open_session())
        sutro.faults.add(Fault.slow(0.5))
        async with anyio.create_task_group() as tasks:

            async def call() -> None:
                reply = result_of(await server.client.post(server.url, **request))
                assert len(reply["structuredContent"]["jobs"]) == 2

            tasks.start_soon(call)
            await _until_asked(sutro)
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
run_http(server, settings, lambda url: print(f"Serving MCP at {url}. ", file=sys.stderr, flush=True))
"""


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


async def test_nothing_reaches_stdout_and_the_log_keeps_secrets(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """At the noisiest log level, through successes and failures: no key, no signature, no query string."""
    async with http_process("--log-level", "DEBUG", env=sutro_env) as server:
        session = await server.open_session()
        for name in ("haiku-smoke-test", "contract-summaries"):
            params = {"name": "get_job_results", "arguments": {"job_id": sutro.find(name)}}
            await server.client.post(server.url, **modern("tools/call", params))
            await server.client.post(server.url, **legacy("tools/call", params, session))
        await server.client.get(server.url + "?key=sk_in_an_address")
        server.process.terminate()
        assert await server.exit_code() == 143
        stdout, log = await server.output()
        assert stdout == b""
        for secret in (b"X-Amz-Signature", DEMO_KEY.encode(), b"sk_in_an_address", b"Uvicorn running"):
            assert secret not in log


async def test_demo_mode_needs_nothing_and_ends_with_its_emulator() -> None:
    """No key, no network beyond loopback."""
    async with http_process("--demo", env={**os.environ, "SUTRO_MCP_READ_ONLY": "1"}) as server:
        assert await _tools(server) == {
            "list_jobs",
            "summarize_jobs",
            "get_job",
            "get_job_status",
            "wait_for_job",
            "get_job_results",
            "query_job_results",
        }
        reply = await server.client.post(server.url, **modern("tools/call", LIST_JOBS))
        assert len(result_of(reply)["structuredContent"]["jobs"]) == 2
        server.process.send_signal(signal.SIGINT)
        assert await server.exit_code() == 130
        assert await server.output() == (b"", b"")


async def _tools(server: HttpProcess) -> set[str]:
    reply: httpx.Response = await server.client.post(server.url, **modern("tools/list", {}))
    return {tool["name"] for tool in result_of(reply)["tools"]}
