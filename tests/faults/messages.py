"""Generated MCP messages, well formed and not, and a server process that has to survive them.

Seeded. Every request made here has an id of its own, so that each can be seen to be answered exactly once.
"""

import json
import random
from dataclasses import dataclass, field
from itertools import count as counter
from pathlib import Path
from typing import Any, cast

import anyio

from tests.e2e.process import ENVELOPE, Server, server_process
from tests.support import Era

# subscriptions/listen is answered when its stream ends, and notifications/cancelled keeps answers away.
METHODS = (
    *("tools/list", "tools/call", "resources/list", "resources/read", "resources/templates/list"),
    *("prompts/list", "prompts/get", "completion/complete", "ping", "server/discover", "initialize"),
    *("logging/setLevel", "resources/subscribe", "tasks/get", "notifications/initialized", "rpc.discover"),
    *("", "x" * 300, "../tools/list", "tools/call\0", "TOOLS/LIST", "💥"),
)
TOOLS = (
    *("list_jobs", "summarize_jobs", "get_job", "get_job_status", "wait_for_job", "get_job_results"),
    *("query_job_results", "export_job_results", "cancel_job", "no_such_tool", "", "list_jobs\0", "🧨"),
)
ARGUMENTS = (
    *("job_id", "status", "model", "search", "limit", "cursor", "created_after", "created_before", "sql"),
    *("group_by", "full", "timeout_seconds", "view", "offset", "columns", "confirm", "file_name", "no_such"),
)
_BATCH = 1_000
_FIRST_ID = 10**9
_SECONDS = 300


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, -(2**64), 10**30, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "x" * 5_000, "\0", "\x1b[2J", "\u202e", "\ud83d", "\udc00\ud83d", "💥"),
    *("é", "null", "[", "7d"),
    *("../job-cancel/x", "job-1", "SUCCEEDED", "rows", "SELECT 1", "sutro://jobs", "sutro://jobs/../x"),
    *([], {}, [[]], [None], ["x"] * 200, {"a": 1}, {"": {}}, {"_meta": {}}, {"__proto__": {}}),
    *(_nested(50), _nested(199), _nested(300)),
)  # fmt: skip


class Generator:
    """Lines, and the ids of those that must be answered."""

    def __init__(self, seed: int, era: Era, *, ids_clash: bool = True) -> None:
        """`ids_clash`: among the other requests some have the same id as one before."""
        self._ids_clash = ids_clash
        self._dice = random.Random(f"{seed} {era}")
        self._modern = era == "auto"
        self._ids = counter(_FIRST_ID)
        self.expected: set[int] = set()

    def line(self) -> bytes:
        """The next line, without its end."""
        dice = self._dice.random()
        if dice < 0.75:
            return self._request(self._new_id())
        if dice < 0.82:
            return self._request(self._odd_id(self._value()))
        if dice < 0.86:
            return self._text(
                {"jsonrpc": "2.0", "method": self._method("notifications/x"), "params": self._value()}
            )
        if dice < 0.97:
            return self._damaged(self._request(self._odd_id("damaged")))
        return self._dice.choice(
            (b"", b" \t", b"[]", b"garbage", b"7", b"\xff\xfe", b"\0" * 10, b"[" * 5_000, b'{"a":' * 2_000)
        )

    def _new_id(self) -> int:
        number = next(self._ids)
        self.expected.add(number)
        return number

    def _odd_id(self, value: Any) -> Any:
        if self._ids_clash or not isinstance(value, str | int | float) or isinstance(value, bool):
            return value
        return f"{value} {next(self._ids)}" if isinstance(value, str) else value - next(self._ids)

    def _request(self, request_id: Any) -> bytes:
        method = self._method(self._dice.choice(METHODS))
        params: Any = self._params(method) if self._dice.random() < 0.9 else self._value()
        if isinstance(params, dict) and self._modern and self._dice.random() < 0.9:
            meta = ENVELOPE if self._dice.random() < 0.9 else {**ENVELOPE, "x": self._value()}
            params = {**cast("dict[str, Any]", params), "_meta": meta}
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": method}
        if self._dice.random() < 0.95:
            message["params"] = params
        if self._dice.random() < 0.05:
            message[self._dice.choice(("jsonrpc", "method", "extra"))] = self._value()
        return self._text(message)

    def _method(self, usual: str) -> str:
        return usual if self._dice.random() < 0.95 else self._dice.choice(METHODS)

    def _params(self, method: str) -> dict[str, Any]:
        if method == "tools/call":
            names = self._dice.sample(ARGUMENTS, self._dice.randint(0, 4))
            arguments: Any = {name: self._value() for name in names}
            return {"name": self._dice.choice(TOOLS), "arguments": arguments if names else self._value()}
        keys = self._dice.sample(("name", "uri", "cursor", "ref", "argument", "arguments", "level", "x"), 3)
        return {key: self._value() for key in keys}

    def _value(self) -> Any:
        return self._dice.choice(_VALUES)

    def _text(self, message: Any) -> bytes:
        plain = self._dice.random() < 0.5
        text = json.dumps(message, ensure_ascii=plain).encode("utf-8", "surrogatepass")
        return (
            text
            if self._dice.random() < 0.99
            else text.replace(b'"params"', b'"params":%s,"x"' % (b"9" * 5_000))
        )

    def _damaged(self, line: bytes) -> bytes:
        raw = bytearray(line)
        for _ in range(self._dice.randint(1, 4)):
            at = self._dice.randrange(len(raw) + 1)
            match self._dice.randrange(4):
                case 0:
                    raw[at:at] = self._dice.randbytes(self._dice.randint(1, 5))
                case 1:
                    del raw[at : at + self._dice.randint(1, 20)]
                case 2:
                    raw[at : at + 1] = self._dice.randbytes(1)
                case _:
                    del raw[at:]
        return bytes(raw).replace(b"\n", b" ")


@dataclass
class Tally:
    """The outcome of the lines."""

    lines: int = 0
    requests: int = 0
    answered: int = 0
    refused_lines: int = 0
    """Answers with an error that names no id."""
    twice: list[Any] = field(default_factory=list[Any])
    answered_ids: set[int] = field(default_factory=set[int], repr=False)
    rss_growth: int = 0
    """Bytes that the process holds more at the end than after the first thousand lines."""


async def run_messages(seed: int, lines: int, era: Era) -> Tally:
    """Send so many lines to a new process; TimeoutError if one stays without its answer."""
    generator, tally = Generator(seed, era), Tally()
    async with server_process() as server:
        if era == "legacy":
            await server.handshake()
        else:
            await server.ask("tools/list", modern=True)
        start = 0
        for done in range(0, lines, _BATCH):
            batch = [generator.line() for _ in range(min(_BATCH, lines - done))]
            with anyio.fail_after(_SECONDS):
                await _exchange(server, batch, generator.expected, tally)
            tally.lines += len(batch)
            start = start or rss(server.process.pid)
        tally.rss_growth = rss(server.process.pid) - start
        await server.close_stdin()
        assert await server.exit_code() == 0
    return tally


async def _exchange(server: Server, batch: list[bytes], expected: set[int], tally: Tally) -> None:
    waiting = set(expected)
    tally.requests += len(waiting)
    answered: set[int] = set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.send_bytes, b"\n".join(batch) + b"\n")
        while waiting - answered:
            reply = await server.receive()
            request_id = reply.get("id")
            if request_id is None:
                tally.refused_lines += "error" in reply
            elif request_id in tally.answered_ids:
                tally.twice.append(request_id)
            elif request_id in waiting:
                tally.answered_ids.add(request_id)
                answered.add(request_id)
    tally.answered += len(answered)
    expected.clear()


def rss(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
