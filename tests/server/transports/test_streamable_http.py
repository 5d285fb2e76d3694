"""HTTP in this process: who is refused, what a client that hangs up stops, and how a broken server shows it.

Upstream is a transport handler that never answers: the emulator cannot say when a request to it was given up.
"""

import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx
import pytest
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import DEMO_KEY
from sutro_mcp.server.build import build_server
from sutro_mcp.server.protocol import middleware
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.protocol.middleware import drop_with_the_client
from sutro_mcp.server.tools import CATALOGUE
from sutro_mcp.server.transports import health
from sutro_mcp.server.transports.open_requests import HttpRequests
from sutro_mcp.server.transports.streamable_http import HttpServer, http_app
from sutro_mcp.settings import Settings
from tests.e2e.http_process import SESSION, legacy, modern, result_of
from tests.e2e.process import INITIALIZE

pytestmark = pytest.mark.anyio

SETTINGS = Settings(transport="http", port=0)
LIST_JOBS: dict[str, Any] = {"name": "list_jobs", "arguments": {}}


@dataclass
class Upstream:
    """A deployment that takes requests and never answers."""

    asked: anyio.Event = field(default_factory=anyio.Event)
    given_up: anyio.Event = field(default_factory=anyio.Event)
    calls: int = 0

    async def answer(self, _: httpx.Request) -> httpx.Response:
        self.calls += 1
        self.asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.given_up.set()
        raise AssertionError("a sleep without end has ended")

    def server(self) -> SutroServer:
        """The product, with this behind it."""
        connection = resolve_connection("http://127.0.0.1:9", DEMO_KEY, env={})
        transport = httpx.MockTransport(self.answer)
        return build_server(SETTINGS, lambda: ApiClient(connection, transport=transport))


@asynccontextmanager
async def serving(
    server: SutroServer, host: str = "127.0.0.1"
) -> AsyncGenerator[tuple[str, httpx.AsyncClient]]:
    """The URL of a server that stops when the block ends, and a client."""
    up = anyio.Event()
    http = HttpServer(server, SETTINGS.model_copy(update={"host": host}), lambda _: up.set())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(http.serve)
        with anyio.fail_after(60):
            await up.wait()
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            yield http.url, client
        http.stop()


@pytest.mark.parametrize("era", ["2026-era", "2025-era"])
async def test_what_is_done_for_a_client_that_hangs_up_is_given_up(era: str) -> None:
    """At once; the session of a 2025 client stays usable."""
    upstream = Upstream()
    async with serving(upstream.server()) as (url, client):
        request = modern("tools/call", LIST_JOBS)
        session = ""
        if era == "2025-era":
            session = (await client.post(url, **legacy("initialize", INITIALIZE))).headers[SESSION]
            request = legacy("tools/call", LIST_JOBS, session)
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as calling:

                async def hang_up() -> None:
                    await upstream.asked.wait()
                    calling.cancel()

                tasks.start_soon(hang_up)
                await client.post(url, **request)
        with anyio.fail_after(60):
            await upstream.given_up.wait()
        again = legacy("tools/list", {}, session) if session else modern("tools/list", {})
        assert (await client.post(url, **again)).status_code == 200


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
    async with serving(Upstream().server(), address) as (url, client):
        health = url.removesuffix("/mcp") + "/healthz"

        async def statuses(headers: dict[str, str]) -> list[int]:
            asked = [modern("tools/list", {}), legacy("initialize", {})]
            for request in asked:
                request["headers"] |= headers
            replies = [await client.post(url, **request) for request in asked]
            return [reply.status_code for reply in [*replies, await client.get(health, headers=headers)]]

        got = {what: await statuses(headers) for what, (headers, _) in refused.items()}
        assert got == {what: [status] * 3 for what, (_, status) in refused.items()}
        port = urlsplit(url).port
        for name in ("127.0.0.1", "localhost", "[::1]"):
            own = {"host": f"{name}:{port}", "origin": f"http://{name}:{port}"}
            assert (await client.get(health, headers=own)).status_code == 200


async def test_garbage_is_refused_and_survived() -> None:
    """Not JSON, a batch, no such method, no such path, a session that is over; then an honest question."""
    async with serving(Upstream().server()) as (url, client):
        opening = await client.post(url, **legacy("initialize", INITIALIZE))
        session = opening.headers[SESSION]

        async def status(verb: str = "POST", path: str = "/mcp", **request: Any) -> int:
            return (await client.request(verb, url.removesuffix("/mcp") + path, **request)).status_code

        for base in (modern("tools/list", {}), legacy("tools/list", {}, session)):
            headers = {**base["headers"], "content-type": "application/json"}
            assert await status(headers=headers, content=b"{garbage") == 400
            assert await status(headers=headers, content=b"[]") == 400
            assert await status(headers=headers | {"content-type": "text/plain"}, content=b"{}") == 400
            assert await status(headers=headers | {"accept": "text/html"}, json=base["json"]) == 406
            assert await status("PUT", headers=headers) == 405
            assert len(result_of(await client.post(url, **base))["tools"]) == len(CATALOGUE) - 1
        assert await status(path="/") == 404
        assert await status("POST", "/healthz") == 405
        assert await status("DELETE", headers={SESSION: session}) == 200
        # 404 tells a client of 2025 to open another session.
        for gone in (session, "no-such-session"):
            assert await status(**legacy("tools/list", {}, gone)) == 404


async def test_a_server_whose_sessions_are_gone_is_not_well() -> None:
    """Its health route still answers, and says so: every MCP request would fail."""
    app = http_app(Upstream().server(), SETTINGS, "127.0.0.1:1")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:
        reply = await client.get("/healthz")
    assert (reply.status_code, reply.json()) == (503, {"status": "unavailable"})


async def test_asking_often_whether_a_server_is_well_costs_one_look(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may ask, and each look is two MCP requests."""
    monkeypatch.setattr(health, "KEPT_SECONDS", 3600.0)
    async with serving(Upstream().server()) as (url, client):
        with caplog.at_level(logging.INFO, middleware.logger.name):
            replies = [await client.get(url.removesuffix("/mcp") + "/healthz") for _ in range(3)]
    assert [reply.json() for reply in replies] == [{"status": "ok"}] * 3
    assert sum(line.startswith("tools/list ") for line in caplog.messages) == 1


async def test_work_does_not_begin_for_a_client_that_has_left_already() -> None:
    """It may hang up while its request waits in a queue."""
    begun: list[str] = []
    refusals: list[str] = []

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"

        async def call_next(ctx: ServerRequestContext[Any, Any]) -> None:
            await anyio.lowlevel.checkpoint()
            begun.append(ctx.method)

        ctx = ServerRequestContext[Any, Any](
            session=cast("ServerSession", None),
            lifespan_context=None,
            protocol_version="2025-11-25",
            method="tools/call",
            request=Request(scope),
        )
        try:
            await drop_with_the_client(ctx, call_next)
        except MCPError as error:
            refusals.append(str(error))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        """Nobody listens."""

    async def is_well() -> bool:
        return True

    await HttpRequests(app, is_well)({"type": "http"}, receive, send)
    assert begun == []
    assert refusals == ["Request cancelled: the client hung up."]
