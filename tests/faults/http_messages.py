"""Generated MCP messages as bodies of HTTP requests, with headers that fit them and some that do not.

Every one must be answered in time, never with an error of the server's own (5xx), and a request that is in
order with exactly one JSON-RPC message that names it.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import httpx

from tests.e2e.http_process import SESSION, HttpProcess, http_process
from tests.e2e.process import PROTOCOL_2026
from tests.support import Era

from .messages import Generator, rss

_SECONDS = 300
_AT_ONCE = 16
_BATCH = 500
# GET and DELETE without a session, or with one that is none: with its own, one is a stream without end and
# the other the end of the run.
_OTHER_VERBS = ("GET", "DELETE", "PUT", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW")
_ODD_HEADERS: tuple[tuple[str, str], ...] = (
    *((name, "x" * 3_000) for name in ("mcp-protocol-version", "mcp-method", "mcp-name", "last-event-id")),
    *(("content-type", value) for value in ("", "text/plain", "application/json; charset=latin-1", "a/b/c")),
    *(("accept", value) for value in ("", "text/html", "application/json", "*/*;q=0", ",,,;;;")),
    *((SESSION, value) for value in ("", "0" * 32, "../x", "é", "x" * 2_000)),
    *(("mcp-protocol-version", value) for value in ("", "1999-01-01", "2024-11-05", "2025-11-25", "💥")),
    *(("mcp-method", value) for value in ("", "tools/call", "initialize", "=?utf-8?q?=00?=")),
    *(("mcp-name", value) for value in ("", "cancel_job", "=?base64?////?=", "%00")),
    *(("origin", value) for value in ("null", "http://evil.example", "http://127.0.0.1.evil.example")),
    *(("host", value) for value in ("evil.example", "127.0.0.1.evil.example", "")),
    *(("content-encoding", value) for value in ("gzip", "br", "x")),
)


@dataclass
class HttpTally:
    """The outcome of the requests."""

    sent: int = 0
    repeated: int = 0
    """Requests sent again, as their connection was closed before an answer."""
    answered: int = 0
    """Requests in order that got their one message."""
    statuses: dict[int, int] = field(default_factory=dict[int, int])
    wrong: list[str] = field(default_factory=list[str])
    rss_growth: int = 0
    """Bytes that the process holds more at the end than after the first batch."""


async def run_http_messages(seed: int, count: int, era: Era) -> HttpTally:
    """So many requests to a new process; TimeoutError if one stays without its answer."""
    # Of two requests in flight with one id, the SDK (mcp 2.3.0) answers the later one in a 2025 session.
    generator = Generator(seed, era, ids_clash=False)
    tally, dice = HttpTally(), random.Random(f"http {seed} {era}")
    async with http_process() as server:
        start = 0
        for done in range(0, count, _BATCH):
            session = await server.open_session() if era == "legacy" else ""
            made = (_request(generator, dice, session) for _ in range(min(_BATCH, count - done)))
            with anyio.fail_after(_SECONDS):
                await _send_all(server, list(made), tally)
            start = start or rss(server.process.pid)
        tally.rss_growth = rss(server.process.pid) - start
        health = await server.client.get(server.origin + "/healthz")
        if health.status_code != 200:
            tally.wrong.append(f"health {health.status_code}")
        server.process.terminate()
        await server.exit_code()
        stdout, stderr = await server.output()
        if stdout or b"Traceback" in stderr:
            tally.wrong.append(f"printed {(stdout or stderr)[-2_000:]!r}")
    return tally


@dataclass
class _Request:
    verb: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    wanted_id: int | None
    """The id of a request that must be answered."""

    async def to(self, server: HttpProcess) -> httpx.Response:
        """The server's answer."""
        return await server.client.request(self.verb, server.url, headers=self.headers, content=self.body)


def _request(generator: Generator, dice: random.Random, session: str) -> _Request:
    body = generator.line()
    (wanted,) = generator.expected or (None,)
    generator.expected.clear()
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    if session:
        headers[SESSION] = session
    else:
        headers |= _said_twice(body)
    verb = "POST"
    if dice.random() < 0.05:
        verb, wanted = dice.choice(_OTHER_VERBS), None
        headers.pop(SESSION, None)
    elif dice.random() < 0.2:
        wanted = None
        for name, value in dice.sample(_ODD_HEADERS, dice.randint(1, 3)):
            headers[name] = value
        if dice.random() < 0.2:
            del headers[dice.choice([*headers])]
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return _Request(verb, raw, body, wanted)


def _said_twice(body: bytes) -> dict[str, str]:
    """The headers of a 2026 request, which repeat what its body says."""
    headers = {"mcp-protocol-version": PROTOCOL_2026}
    try:
        message: Any = json.loads(body)
        headers["mcp-method"] = message["method"].encode("ascii").decode()
        headers["mcp-name"] = (
            (message["params"].get("name") or message["params"]["uri"]).encode("ascii").decode()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {name: value for name, value in headers.items() if value.isprintable() and value == value.strip()}


async def _send_all(server: HttpProcess, requests: list[_Request], tally: HttpTally) -> None:
    waiting = iter(requests)

    async def send() -> None:
        for request in waiting:
            try:
                reply = await request.to(server)
            except httpx.TransportError:
                # The server closes a connection that was idle; where both act at once, a client asks again.
                tally.repeated += 1
                reply = await request.to(server)
            tally.sent += 1
            tally.statuses[reply.status_code] = tally.statuses.get(reply.status_code, 0) + 1
            if problem := _problem(request, reply, tally):
                tally.wrong.append(f"{problem}: {request!r:.600} -> {reply.status_code} {reply.text[:600]!r}")

    async with anyio.create_task_group() as tasks:
        for _ in range(_AT_ONCE):
            tasks.start_soon(send)


def _problem(request: _Request, reply: httpx.Response, tally: HttpTally) -> str | None:
    if reply.status_code >= 500:
        return "an error of the server's own"
    if request.wanted_id is None:
        return None
    messages = [m for m in _messages(reply) if "result" in m or "error" in m]
    if len(messages) != 1:
        return f"{len(messages)} answers"
    if messages[0].get("id") not in (request.wanted_id, None):
        return "an answer to something else"
    tally.answered += 1
    return None


def _messages(reply: httpx.Response) -> list[dict[str, Any]]:
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        lines = (line.removeprefix("data: ") for line in reply.text.split("\n") if line.startswith("data: {"))
        return [json.loads(line) for line in lines]
    try:
        found: Any = reply.json()
    except ValueError:
        return []
    return [cast("dict[str, Any]", found)] if isinstance(found, dict) else []
