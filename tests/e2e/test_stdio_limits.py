"""A host that sends too much, or what cannot be read, and tools that answer what cannot be written."""

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from sutro_mcp.emulator import DEMO_KEY, Emulator
from tests.faults import odd_server

from .process import Server, server_process

pytestmark = [pytest.mark.smoke, pytest.mark.anyio]

MEGABYTE = 1024 * 1024
KEY = "sk_canary_0123456789"
reads_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks at the process in /proc")


@asynccontextmanager
async def odd_process(log_level: str = "DEBUG") -> AsyncGenerator[Server]:
    """A server whose tools misbehave, spoken to in the 2025 era, and one whose log must not show its key."""
    command = (sys.executable, odd_server.__file__, log_level)
    async with server_process(env={**os.environ, "SUTRO_API_KEY": KEY}, command=command) as server:
        await server.handshake()
        yield server


async def _call(server: Server, tool: str, **arguments: Any) -> dict[str, Any]:
    return await server.ask("tools/call", {"name": tool, "arguments": arguments})


def _peak(server: Server) -> int:
    """The most memory it ever had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


BAD: list[tuple[bytes, int | None, int]] = [
    (b"garbage", None, -32700),
    (b"[]", None, -32600),
    (b'{"jsonrpc":"2.0","id":901,"method":"tools/call","params":[]}', 901, -32600),
    (b'{"jsonrpc":"2.0","id":902,"method":"tools/call","params":{"name":"\\ud83d"}}', 902, -32600),
    (b'{"jsonrpc":"2.0","id":903,"method":"ping","params":{"a":%s}}' % (b"9" * 5_000), 903, -32600),
    (
        b'{"jsonrpc":"2.0","id":904,"method":"ping","params":{"a":%s}}' % (b"[" * 300 + b"]" * 300),
        904,
        -32600,
    ),
]


@pytest.mark.parametrize("before", ["nothing", "a modern request", "a handshake"])
async def test_every_line_that_cannot_be_read_is_answered_once(before: str) -> None:
    """A host that hears nothing waits; one that hears twice loses count."""
    async with server_process() as server:
        if before == "a modern request":
            await server.ask("tools/list", modern=True)
        if before == "a handshake":
            await server.handshake()
        for line, _, _ in BAD:
            await server.send_line(line)
        replies = [await server.receive() for _ in BAD]
        assert [(reply["id"], reply["error"]["code"]) for reply in replies] == [
            (request_id, code) for _, request_id, code in BAD
        ]
        # Nothing else comes before the answer to the next request.
        number = await server.send("server/discover", modern=True)
        assert (await server.receive())["id"] == number


@reads_proc
async def test_three_hundred_megabytes_without_a_line_end_are_survived_in_little_memory() -> None:
    """They are read and forgotten; the next line is as good as any."""
    async with server_process() as server:
        await server.handshake()
        before = _peak(server)
        for _ in range(300):
            await server.send_bytes(b"x" * MEGABYTE)
        await server.send_line("")
        refusal = await server.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        assert (await server.ask("tools/list"))["result"]["tools"]
        assert _peak(server) - before < 64 * MEGABYTE


async def test_a_request_just_above_the_limit_is_refused_by_its_id_and_one_below_is_not() -> None:
    """Four megabytes."""
    async with server_process() as server:
        await server.handshake()
        for size, answer in ((4 * MEGABYTE, "result"), (4 * MEGABYTE + 1, "error")):
            start = b'{"jsonrpc":"2.0","id":77,"method":"ping","params":{"_meta":{"a":"'
            await server.send_line(start + b"x" * (size - len(start) - 4) + b'"}}}')
            reply = await server.receive()
            assert (reply["id"], answer in reply) == (77, True)


@reads_proc
async def test_of_five_thousand_calls_at_once_eighty_are_taken_and_the_rest_told_to_come_back() -> None:
    """In little memory, and the server can still be left at once."""
    async with odd_process(log_level="WARNING") as server:
        before = _peak(server)
        answered: set[int] = set()

        async def send() -> None:
            for _ in range(5_000):
                await server.send("tools/call", {"name": "park", "arguments": {}})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            while len(answered) < 4_920:
                reply = await server.receive()
                assert reply["result"]["isError"] is True
                assert "call again" in reply["result"]["content"][0]["text"]
                answered.add(reply["id"])
        assert (await server.ask("ping"))["result"] == {}
        assert _peak(server) - before < 100 * MEGABYTE
        await server.close_stdin()
        assert await server.exit_code() == 0


async def test_half_a_surrogate_pair_reaches_the_wire_as_a_replacement() -> None:
    """It would end the process."""
    async with odd_process() as server:
        reply = await _call(server, "half_a_pair")
        assert reply["result"]["structuredContent"] == {"k\ufffd": ["v\ufffd", {"deep": "\ufffd"}]}
        assert (await server.ask("tools/list"))["result"]["tools"]


@pytest.mark.parametrize("tool", ["panic", "panic_in_a_group"])
async def test_a_panic_is_a_tool_error_and_the_server_lives(tool: str) -> None:
    """On the wire."""
    async with odd_process() as server:
        for _ in range(2):
            assert (await _call(server, tool))["result"]["isError"] is True


async def test_neither_stdout_nor_stderr_shows_a_secret_that_a_tool_shows() -> None:
    """In answers, progress, log, tracebacks and protocol errors, at the noisiest level."""
    async with odd_process() as server:
        params = {"name": "leak", "arguments": {}, "_meta": {"progressToken": 1}}
        number = await server.send("tools/call", params)
        messages = [await server.receive() for _ in range(3)]
        assert messages[2]["id"] == number
        messages += [
            await _call(server, "leak_in_a_crash"),
            await server.ask("prompts/get", {"name": "crash"}),
        ]
        assert [message["params"]["message"] for message in messages[:2]] == [
            "progress: [redacted] https://bucket.example.com/x?X-Amz-Signature=[redacted] \ufffd",
            "progress: [redacted] https://bucket.example.com/x?[redacted] \ufffd",
        ]
        await server.close_stdin()
        assert await server.exit_code() == 0
        assert server.process.stderr is not None
        log = b"".join([chunk async for chunk in server.process.stderr]).decode()
        shown = json.dumps(messages) + log
        assert KEY not in shown
        assert "canary_signature" not in shown
        for kind in ("log: [redacted]", "traceback: [redacted]", "crash: [redacted]"):
            assert kind in log


async def test_a_key_that_a_successful_reply_repeats_is_not_shown(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """A deployment that echoes it in a job's name, a text and an output."""
    echo = f"you sent Authorization: Key {DEMO_KEY}, {DEMO_KEY}"
    job_id = sutro.add_job(status="SUCCEEDED", name=echo, description=echo, outputs=[echo] * 3)
    async with server_process(env=sutro_env) as server:
        await server.handshake()
        answers = [
            await _call(server, "list_jobs", search="you sent"),
            await _call(server, "get_job", job_id=job_id, full=True),
            await _call(server, "get_job_results", job_id=job_id),
            await _call(server, "get_job_results", job_id=job_id, view="rows"),
            await server.ask("resources/read", {"uri": f"sutro://jobs/{job_id}"}),
        ]
    for answer in answers:
        assert "you sent Authorization: Key [redacted], [redacted]" in json.dumps(answer)
        assert DEMO_KEY not in json.dumps(answer)
