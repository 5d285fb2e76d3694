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

from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault
from tests.faults import odd_server

from .process import ENVELOPE, INITIALIZE, Server, server_process

pytestmark = pytest.mark.anyio

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


@pytest.mark.smoke
@pytest.mark.parametrize("modern", [True, False], ids=["2026-era", "2025-era"])
async def test_every_line_that_cannot_be_read_is_answered_once(modern: bool) -> None:
    """Before the opening and after it: a host that hears nothing waits; one that hears twice loses count."""
    silent = [b"", b'{"jsonrpc":"2.0","method":"notifications/odd"}']
    async with server_process() as server:
        for _ in range(2):
            for line in [*silent, *(line for line, _, _ in BAD)]:
                await server.send_line(line)
            replies = [await server.receive() for _ in BAD]
            assert [(reply["id"], reply["error"]["code"]) for reply in replies] == [
                (request_id, code) for _, request_id, code in BAD
            ]
            # Nothing else comes before the answer to the next request.
            number = await server.send("tools/list" if modern else "initialize", INITIALIZE, modern=modern)
            reply = await server.receive()
            assert (reply["id"], "result" in reply) == (number, True)


@pytest.mark.smoke
async def test_no_error_repeats_a_long_request() -> None:
    """Of ours, or of the SDK's layers above and below: 2,000 characters are the most."""
    long = "L" * 200_000
    version = {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": long}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("server/discover", {"_meta": version}),
        ("tools/list", {"_meta": version}),
        ("tools/list", {"_meta": {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": long}}),
        (long, {"_meta": ENVELOPE}),
        ("resources/read", {"_meta": ENVELOPE, "uri": f"sutro://jobs/{long}"}),
    ]
    async with server_process() as server:
        await server.ask("tools/list", modern=True)
        for method, params in requests:
            reply = await server.ask(method, params)
            assert reply["error"]["code"] < -32000
            assert len(json.dumps(reply)) < 2_000


@pytest.mark.wire
@reads_proc
async def test_three_hundred_megabytes_without_a_line_end_are_survived_in_little_memory() -> None:
    """They are read and forgotten, and the next line is as good as any: up to 4 megabytes."""
    async with server_process() as server:
        await server.handshake()
        before = _peak(server)
        for _ in range(300):
            await server.send_bytes(b"x" * MEGABYTE)
        await server.send_line("")
        refusal = await server.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        for size, answer in ((4 * MEGABYTE, "result"), (4 * MEGABYTE + 1, "error")):
            start = b'{"jsonrpc":"2.0","id":77,"method":"ping","params":{"_meta":{"a":"'
            await server.send_line(start + b"x" * (size - len(start) - 4) + b'"}}}')
            reply = await server.receive()
            assert (reply["id"], answer in reply) == (77, True)
        assert _peak(server) - before < 64 * MEGABYTE


@pytest.mark.wire
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


@pytest.mark.smoke
async def test_what_a_tool_does_that_it_should_not_neither_ends_the_server_nor_shows_a_secret() -> None:
    """In answers, progress, log, tracebacks and protocol errors, at the noisiest level."""
    async with odd_process() as server:
        for tool in ("panic", "panic_in_a_group"):
            assert (await _call(server, tool))["result"]["isError"] is True
        half = await _call(server, "half_a_pair")
        assert half["result"]["structuredContent"] == {"k": ["v\ufffd", {"deep": "\ufffd"}]}
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
        log = (await server.log()).decode()
        shown = json.dumps(messages) + log
        assert KEY not in shown
        assert "canary_signature" not in shown
        for kind in ("log: [redacted]", "traceback: [redacted]", "crash: [redacted]"):
            assert kind in log


@pytest.mark.smoke
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


@pytest.mark.smoke
async def test_a_batch_is_answered_by_one_in_the_version_that_has_them() -> None:
    """Notifications have no part in it; what is no message is refused in its place."""
    async with server_process() as server:
        await server.ask("initialize", {**INITIALIZE, "protocolVersion": "2025-03-26"})
        await server.send_line(
            '[{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":"a","method":"ping"},7,'
            '{"jsonrpc":"2.0","id":8,"method":"initialize"},{"jsonrpc":"2.0","id":9,"method":"prompts/list"}]'
        )
        replies: Any = await server.receive()
        assert [(reply["id"], "error" in reply) for reply in replies] == [
            (None, True),
            (8, True),
            ("a", False),
            (9, False),
        ]
        await server.send_line('[{"jsonrpc":"2.0","method":"notifications/x"}]')
        for refused in ("[]", f"[{','.join('1' * 101)}]"):
            await server.send_line(refused)
            assert (await server.receive())["error"]["code"] == -32600
        assert (await server.ask("ping"))["result"] == {}


@pytest.mark.smoke
async def test_a_batch_without_a_cancelled_request_is_answered_all_the_same(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """The protocol forbids a reply to that one."""
    sutro.faults.add(Fault.slow(30), times=None)
    async with server_process(env=sutro_env) as server:
        await server.ask("initialize", {**INITIALIZE, "protocolVersion": "2025-03-26"})
        call = {"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": {"name": "list_jobs"}}
        await server.send_line(json.dumps([call, {"jsonrpc": "2.0", "id": "p", "method": "ping"}]))
        cancel = {"method": "notifications/cancelled", "params": {"requestId": "c"}}
        await server.send_line(json.dumps({"jsonrpc": "2.0", **cancel}))
        replies: Any = await server.receive()
        assert [reply["id"] for reply in replies] == ["p"]
