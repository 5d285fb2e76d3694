"""Broken requests over HTTP are refused in a line, ids are not mixed up, and idle sessions make room."""

import json
import logging
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from sutro_mcp.server.transports import health, http_admission, streamable_http
from tests.e2e.http_process import SESSION, legacy, modern
from tests.e2e.process import INITIALIZE

from .test_streamable_http import LIST_JOBS, Upstream, serving

pytestmark = pytest.mark.anyio

HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost:1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("sent", "seconds", "answer", "level"),
    [
        (b"Content-Length: 50\r\n\r\n{", 20.0, b"", "INFO"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", 20.0, b"HTTP/1.1 400 ", "WARNING"),
        (b"Content-Length: 50\r\n\r\n{", 0.01, b"HTTP/1.1 408 ", "WARNING"),
    ],
    ids=["cut-short", "mis-chunked", "stays-short"],
)
async def test_a_broken_body_costs_a_line_of_the_log_and_no_connection(
    sent: bytes,
    seconds: float,
    answer: bytes,
    level: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No traceback. The next client is served."""
    monkeypatch.setattr(http_admission, "_BODY_SECONDS", seconds)
    async with serving(Upstream().server()) as (url, client):
        caplog.set_level(logging.INFO)
        caplog.set_level(logging.INFO, "uvicorn.error")  # which an emulator in this process makes quiet
        for header in (b"", b"MCP-Protocol-Version: 2026-07-28\r\n"):
            caplog.clear()
            address = urlsplit(url)
            async with await anyio.connect_tcp(address.hostname or "", address.port or 0) as connection:
                await connection.send(HEAD + header + sent)
                if not answer:
                    await connection.send_eof()
                with anyio.fail_after(60):
                    reply = b"".join([part async for part in connection])
            assert reply.startswith(answer)
            assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == (
                [level] if level == "WARNING" else []
            )
            assert (await client.post(url, **modern("tools/list", {}))).status_code == 200
        assert not any(record.exc_info for record in caplog.records)


async def test_an_id_that_is_running_is_refused_and_can_be_used_afterwards() -> None:
    """The SDK would answer only the later request of the two."""
    upstream = Upstream()
    async with serving(upstream.server()) as (url, client):
        session = (await client.post(url, **legacy("initialize", INITIALIZE))).headers[SESSION]
        other = (await client.post(url, **legacy("initialize", INITIALIZE))).headers[SESSION]
        same_id = legacy("tools/list", {}, session)
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as calling:

                async def ask_again() -> None:
                    await upstream.asked.wait()
                    refused = await client.post(url, **same_id)
                    words = "Invalid request: a request with this id is still running in this session"
                    said = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": words}}
                    assert (refused.status_code, refused.json()) == (400, said)
                    elsewhere = await client.post(url, **legacy("tools/list", {}, other))
                    assert elsewhere.status_code == 200
                    calling.cancel()

                tasks.start_soon(ask_again)
                await client.post(url, **legacy("tools/call", LIST_JOBS, session))
        with anyio.fail_after(60):
            await upstream.given_up.wait()
            while (await client.post(url, **same_id)).status_code == 400:
                await anyio.lowlevel.checkpoint()


async def test_the_session_that_is_idle_for_longest_makes_room_and_one_with_a_call_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream that is only open is no call. Where all call, a new client is told that the server is full."""
    for module in (http_admission, streamable_http):
        monkeypatch.setattr(module, "SESSIONS", 3)
    # Each check looks.
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
    upstream = Upstream()
    async with (
        serving(upstream.server()) as (url, client),
        AsyncExitStack() as open_streams,
        anyio.create_task_group() as calls,
    ):

        async def initialize() -> str:
            reply = await client.post(url, **legacy("initialize", INITIALIZE))
            return reply.headers[SESSION] if reply.status_code == 200 else ""

        async def listen(session: str) -> None:
            headers = {"accept": "text/event-stream", SESSION: session}
            await open_streams.enter_async_context(client.stream("GET", url, headers=headers))

        async def is_open(session: str) -> bool:
            return (await client.post(url, **legacy("tools/list", {}, session))).status_code == 200

        async def is_well() -> bool:
            return (await client.get(url.removesuffix("/mcp") + "/healthz")).status_code == 200

        listening, used, idle = [await initialize() for _ in range(3)]
        await listen(listening)
        assert await is_open(used)
        new = await initialize()
        sessions = (listening, used, idle, new)
        assert [await is_open(session) for session in sessions] == [True, True, False, True]
        for _ in range(3):
            assert await is_well()
        # The check took the place of the one idle for longest, and gave it back.
        assert [await is_open(session) for session in (listening, used, new)] == [True, False, True]
        await listen(new)
        third = await initialize()
        await listen(third)
        newest = await initialize()
        assert [await is_open(session) for session in (listening, new, third)] == [False, True, True]
        for session in (new, third, newest):
            calls.start_soon(partial(client.post, url, **legacy("tools/call", LIST_JOBS, session)))
        with anyio.fail_after(60):
            while upstream.calls < 3:
                await anyio.lowlevel.checkpoint()
        assert await initialize() == ""
        assert not await is_well()
        calls.cancel_scope.cancel()


def of_version(version: str) -> dict[str, Any]:
    """A request of 2026 that names this version in its header and its body."""
    request = modern("tools/list", {})
    request["headers"]["mcp-protocol-version"] = version
    request["json"]["params"]["_meta"] = {"io.modelcontextprotocol/protocolVersion": version}
    return request


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (of_version("9" * 8_000), 400),
        ({**legacy("m", {}), "json": {"L" * 5_000: 1, "id": {"a": "L" * 5_000}}}, 400),
        ({**legacy("m", {}), "json": {"a": "L" * 1_048_576}}, 413),
    ],
    ids=["version", "no-message", "too-long"],
)
async def test_a_refusal_before_the_protocol_is_short(request_: dict[str, Any], status: int) -> None:
    """The SDK repeats what it does not understand."""
    async with serving(Upstream().server()) as (url, client):
        reply = await client.post(url, **request_)
    assert reply.status_code == status
    assert 80 < len(reply.text) < 2_000
    assert reply.json()["error"]["code"] == -32600


async def test_a_batch_of_the_version_that_has_them_is_answered_in_one_stream() -> None:
    """Each request by a reply, what is none by an error, and a batch without a request by nothing."""
    async with serving(Upstream().server()) as (url, client):
        opening = legacy("initialize", {**INITIALIZE, "protocolVersion": "2025-03-26"})
        session = (await client.post(url, **opening)).headers[SESSION]
        headers = legacy("ping", {}, session)["headers"]
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        batch = [
            note,
            {"jsonrpc": "2.0", "id": "a", "method": "tools/list"},
            {"jsonrpc": "2.0", "id": 2, "method": "ping"},
            {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": INITIALIZE},
            7,
        ]
        said = await client.post(url, json=batch, headers=headers)
        data = [line.removeprefix("data: ") for line in said.text.splitlines() if line.startswith("data: {")]
        replies = {reply["id"]: reply for reply in map(json.loads, data)}
        assert list(map(str, sorted(replies, key=str))) == ["2", "3", "None", "a"]
        assert replies["a"]["result"]["tools"]
        assert replies[2]["result"] == {}
        assert (replies[3]["error"]["code"], replies[None]["error"]["code"]) == (-32600, -32600)
        nothing = await client.post(url, json=[note, note], headers=headers)
        assert (nothing.status_code, nothing.content) == (202, b"")
        for refused, named in (([], {}), (batch * 21, {}), (batch, {"mcp-protocol-version": "2025-06-18"})):
            reply = await client.post(url, json=refused, headers={**headers, **named})
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, -32600)


async def test_a_client_of_the_transport_before_is_told_which_to_use() -> None:
    """In words, wherever it begins."""
    async with serving(Upstream().server()) as (url, client):
        for path in ("/sse", "/mcp"):
            accept = {"accept": "text/event-stream"}
            reply = await client.get(url.removesuffix("/mcp") + path, headers=accept)
            assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
            assert "Use Streamable HTTP: POST to /mcp" in reply.json()["error"]["message"]
