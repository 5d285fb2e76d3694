"""How often a caller may call: so many at once, so many in the long run, and nobody at the cost of another."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import DEMO_KEY, Emulator
from sutro_mcp.server.build import build_server
from sutro_mcp.server.context import LOCAL, Principal, acting_for
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.protocol.rate_limit import LocalRates, Rate, RateLimits
from sutro_mcp.settings import Settings
from tests.e2e.http_process import modern, result_of
from tests.e2e.process import ENVELOPE

pytestmark = pytest.mark.anyio


# Of a host that knows tasks.
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_META: dict[str, Any] = ENVELOPE | {_CAPABILITIES: {"extensions": {"io.modelcontextprotocol/tasks": {}}}}


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_the_burst_comes_back_at_the_rate() -> None:
    """Three at once, then one every 10 seconds; a refused call costs nothing, and nobody waits for another."""
    clock, rate = Clock(), Rate(per_minute=6, burst=3)
    rates = LocalRates(clock)
    assert [await rates.take("a", rate) for _ in range(4)] == [0, 0, 0, 10]
    assert await rates.take("b", rate) == 0
    for seconds, expected in ((4, 6), (6, 0), (0, 10), (1_000, 0), (0, 0), (0, 0), (0, 10)):
        clock.now += seconds
        assert await rates.take("a", rate) == pytest.approx(expected)


def test_only_callers_who_may_call_at_once_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are many; the others wait as long as before."""
    monkeypatch.setattr("sutro_mcp.server.protocol.rate_limit._MOST_CALLERS", 3)
    clock, rate = Clock(), Rate(per_minute=60, burst=1)
    rates = LocalRates(clock)
    for caller, seconds in (("a", 0), ("b", 0), ("c", 0.5), ("d", 1)):
        clock.now = 1_000 + seconds
        assert rates.take_now(caller, rate) == 0
    assert rates.take_now("c", rate) == pytest.approx(0.5)
    remembered: dict[str, float] = vars(rates)["_paid_until"]
    assert remembered == {"c": 1_001.5, "d": 1_002.0}


def principal_of(name: str) -> Principal:
    return Principal(name, name, "bearer", LOCAL.scopes)


@asynccontextmanager
async def callers(emulator: Emulator, clock: Clock) -> AsyncGenerator[tuple[SutroServer, Any]]:
    """A server with its callers told apart by a header, and how to call it."""
    connection = resolve_connection(emulator.api_origin, DEMO_KEY, env={})
    transport = httpx.ASGITransport(app=emulator.app)
    server = build_server(Settings(transport="http"), lambda: ApiClient(connection, transport=transport))
    server.rates = RateLimits({"call": Rate(60, 4), "heavy": Rate(6, 2)}, LocalRates(clock))
    app = server.streamable_http_app(stateless_http=True, host="127.0.0.1")

    class User:
        def __init__(self, name: str) -> None:
            self.principal = principal_of(name)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope["headers"])[b"x-name"].decode()
        await app({**scope, "user": User(name)}, receive, send)

    async def call(caller: str, method: str, **params: Any) -> str:
        request = modern(method, params)
        request["json"]["params"]["_meta"] = _META
        request["headers"] |= {"x-name": caller}
        if named := params.get("uri") or params.get("taskId"):
            request["headers"]["mcp-name"] = named
        reply = await client.post("http://127.0.0.1:8000/mcp", **request)
        if "error" in reply.json():
            return str(reply.json()["error"]["message"])
        result = result_of(reply)
        if "resources" in result:
            return str(result["resources"][0]["description"])
        return str(result["content"][0]["text"]) if result.get("isError") else "answered"

    async with (
        server.session_manager.run(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=guarded)) as client,
    ):
        yield server, call


async def test_a_caller_who_calls_too_often_hears_the_seconds_and_others_go_on(emulator: Emulator) -> None:
    """Tools and resources count alike; SQL and summaries have a rate of their own besides."""
    job_id = emulator.find("haiku-smoke-test")
    clock = Clock()
    status = {"name": "get_job_status", "arguments": {"job_id": job_id}}
    summary = {"name": "get_job_results", "arguments": {"job_id": job_id, "view": "summary"}}
    page = {"name": "get_job_results", "arguments": {"job_id": job_id, "limit": 1}}
    async with callers(emulator, clock) as (server, call):
        assert [await call("a", "tools/call", **status) for _ in range(3)] == ["answered"] * 3
        assert await call("a", "resources/read", uri=f"sutro://jobs/{job_id}") == "answered"
        assert await call("a", "tools/call", **status) == (
            "Cannot call get_job_status: you may make 60 calls a minute, and 4 of them at once. "
            "Call again in 1 second."
        )
        assert await call("a", "resources/read", uri=f"sutro://jobs/{job_id}") == (
            "Cannot read this resource: you may make 60 calls a minute, and 4 of them at once. "
            "Call again in 1 second."
        )
        assert await call("a", "tools/list") == "answered"
        assert [await call("b", "tools/call", **each) for each in (summary, page)] == ["answered"] * 2
        assert await call("b", "resources/read", uri=f"sutro://jobs/{job_id}/results/summary") == "answered"
        assert await call("b", "tools/call", **summary) == (
            "Cannot call get_job_results: you may make 6 calls of this kind a minute, and 2 of them at once. "
            "Call again in 10 seconds."
        )
        assert await call("b", "tools/call", **page) == "answered"
        clock.now += 10
        assert await call("b", "tools/call", **summary) == "answered"
        assert server.rates is not None
        assert server.rates.refused == {"call": 2, "heavy": 1}


ASKING: dict[str, dict[str, Any]] = {
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "review_job_results"},
        "argument": {"name": "job_id", "value": ""},
    },
    "resources/list": {},
    "tools/call": {"name": "wait_for_job", "arguments": {"job_id": "JOB"}},
    "tasks/get": {"taskId": "wait-1700000000000-JOB"},
    "subscriptions/listen": {"notifications": {"resourceSubscriptions": ["sutro://jobs/JOB"]}},
}


@pytest.mark.parametrize(("method", "params"), ASKING.items(), ids=ASKING)
async def test_whatever_asks_sutro_counts_as_a_call(
    emulator: Emulator, method: str, params: dict[str, Any]
) -> None:
    """Once the rate is used up, nothing is asked of Sutro, by whichever method."""
    job_id = emulator.find("catalogue-copy-refresh")
    asking = json.loads(json.dumps(params).replace("JOB", job_id))
    status = {"name": "get_job_status", "arguments": {"job_id": job_id}}
    async with callers(emulator, Clock()) as (_, call):
        assert [await call("a", "tools/call", **status) for _ in range(4)] == ["answered"] * 4
        before = len(emulator.requests)
        assert "you may make 60 calls a minute, and 4 of them at once. Call again in 1 second." in (
            await call("a", method, **asking)
        )
        assert len(emulator.requests) == before


@pytest.mark.parametrize("method", ["completion/complete", "resources/list", "tasks/get"])
async def test_whatever_asks_sutro_takes_a_slot(emulator: Emulator, method: str) -> None:
    """As calls of tools do; with none left, nothing is asked of Sutro."""
    async with callers(emulator, Clock()) as (server, call):
        server.calls = ConcurrencyLimit(running=1, queued=0)
        async with server.calls.slot("hold the only one"):
            assert "too many calls are running and waiting" in await call("a", method, **ASKING[method])
        assert emulator.requests == []


async def test_a_stream_too_many_reads_no_job(emulator: Emulator) -> None:
    """Its slot comes before the first look at what it names."""
    async with callers(emulator, Clock()) as (server, call), AsyncExitStack() as streams:
        limit = server.limits["subscriptions/listen"]
        with acting_for(principal_of("a")):
            for _ in range(16):
                await streams.enter_async_context(limit.slot("listen"))
        asked = await call("a", "subscriptions/listen", **ASKING["subscriptions/listen"])
        assert "too many calls are running and waiting" in asked
        assert emulator.requests == []
