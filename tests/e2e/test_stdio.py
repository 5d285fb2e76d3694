"""The life of a stdio server: how it opens in each era, what it survives, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.server.tools import CATALOGUE

from .process import COMMAND, INITIALIZE, PROTOCOL_2026, Server, server_process

pytestmark = pytest.mark.anyio

LIST_JOBS: dict[str, Any] = {"name": "list_jobs", "arguments": {"limit": 3}}


async def _busy(server: Server, sutro: Emulator, *, modern: bool = False) -> None:
    """Leave a tool call waiting for a deployment that does not answer."""
    sutro.faults.add(Fault.slow(30), times=None)
    sutro.requests.clear()
    await server.send("tools/call", LIST_JOBS, modern=modern)
    with anyio.fail_after(60):
        while not sutro.requests:  # noqa: ASYNC110 - the emulator runs in another thread
            await anyio.sleep(0.02)


@pytest.mark.smoke
@pytest.mark.parametrize("modern", [True, False], ids=["2026-era", "2025-era"])
async def test_a_host_opens_calls_and_leaves_amid_a_call(
    sutro: Emulator, sutro_env: dict[str, str], modern: bool
) -> None:
    """Exit code 0; the call is dropped without a word, as hosts crash on a reply that comes so late."""
    async with server_process(env=sutro_env) as server:
        if not modern:
            await server.handshake()
        for _ in range(2):
            if modern:
                probe = await server.ask("server/discover", modern=True)
                assert PROTOCOL_2026 in probe["result"]["supportedVersions"]
            listed = await server.ask("tools/list", modern=modern)
            assert len(listed["result"]["tools"]) == len(CATALOGUE)
        called = await server.ask("tools/call", LIST_JOBS, modern=modern)
        assert len(called["result"]["structuredContent"]["jobs"]["rows"]) == 3
        await _busy(server, sutro, modern=modern)
        await server.close_stdin()
        assert await server.exit_code() == 0
        assert await server.rest_of_stdout() == b""


@pytest.mark.smoke
async def test_without_key_or_network_it_starts_and_probes_settle_nothing() -> None:
    """The first call that needs a key says so."""
    async with server_process() as server:
        assert "error" in await server.ask("server/discover")  # no envelope
        for _ in range(2):
            reply = await server.ask("server/discover", modern=True)
            assert PROTOCOL_2026 in reply["result"]["supportedVersions"]
        assert (await server.handshake())["serverInfo"]["name"] == "sutro-mcp"
        assert len((await server.ask("tools/list"))["result"]["tools"]) == len(CATALOGUE)
        refusal = (await server.ask("tools/call", LIST_JOBS))["result"]
        assert refusal["isError"] is True
        assert "SUTRO_API_KEY" in refusal["content"][0]["text"]


@pytest.mark.wire
@pytest.mark.parametrize("before", ["nothing", "probe"])
async def test_it_ends_when_stdin_does_before_any_request(before: str) -> None:
    """Exit code 0."""
    async with server_process() as server:
        if before == "probe":
            await server.ask("server/discover", modern=True)
        await server.close_stdin()
        assert await server.exit_code() == 0


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("number", "code", "is_busy"),
    [(signal.SIGTERM, 143, True), (signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)],
    ids=["term-busy", "int-busy", "term-idle"],
)
async def test_a_signal_ends_it_cleanly(
    sutro: Emulator,
    sutro_env: dict[str, str],
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    is_busy: bool,
) -> None:
    """Idle or amid a call; the folder of artifacts goes, and the worker with it."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    async with server_process(env={**sutro_env, "TMPDIR": str(temporary)}) as server:
        await server.handshake()
        results = {"name": "get_job_results", "arguments": {"job_id": sutro.find("haiku-smoke-test")}}
        await server.ask("tools/call", results)
        assert list(temporary.iterdir())
        if is_busy:
            await _busy(server, sutro)
        server.process.send_signal(number)
        assert await server.exit_code() == code
        assert list(temporary.iterdir()) == []


@pytest.mark.wire
async def test_sigterm_before_any_message_ends_it() -> None:
    """As soon as it can listen to signals at all."""
    async with server_process() as server:
        await server.ask("server/discover", modern=True)
        server.process.terminate()
        assert await server.exit_code() == 143


@pytest.mark.smoke
async def test_it_ends_although_the_host_stopped_reading_stdout() -> None:
    """The pipe is full, and the thread that writes can never be joined."""
    async with server_process() as server:
        await server.handshake()
        for _ in range(40):
            await server.send("tools/list")
        await server.close_stdin()
        assert await server.exit_code() == 0


@pytest.mark.wire
async def test_a_host_that_closes_its_end_of_stdout_is_no_error() -> None:
    """It leaves by itself, without a traceback about a broken pipe."""
    read_end, write_end = os.pipe()
    process = await anyio.open_process(
        COMMAND, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.PIPE
    )
    os.close(write_end)
    os.close(read_end)
    async with process:
        assert process.stdin is not None
        assert process.stderr is not None
        ping = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        await process.stdin.send(json.dumps(ping).encode() + b"\n")
        with anyio.fail_after(60), suppress(anyio.BrokenResourceError):
            while process.returncode is None:
                await process.stdin.send(b'{"jsonrpc":"2.0","method":"notifications/odd"}\n')
                await anyio.sleep(0.05)
        with anyio.fail_after(60):
            assert await process.wait() == 0
        assert b"Traceback" not in b"".join([chunk async for chunk in process.stderr])


@pytest.mark.wire
@pytest.mark.skipif(sys.platform == "win32", reason="no parent to lose")
async def test_it_does_not_outlive_its_parent_when_the_pipe_leaks() -> None:
    """Another process holds the write end of stdin open, so only the parent's end tells."""
    read_end, write_end = os.pipe()
    reply_end, answer_end = os.pipe()
    script = f"""
        import subprocess
        child = subprocess.Popen({list(COMMAND)!r}, stdin={read_end}, stdout={answer_end})
        print(child.pid, flush=True)
        child.wait()
    """
    parent = await anyio.open_process(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[read_end, answer_end],
    )
    try:
        assert parent.stdout is not None
        child = int(await parent.stdout.receive())
        opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        os.write(write_end, json.dumps(opening).encode() + b"\n")
        with anyio.fail_after(60):
            await anyio.wait_readable(reply_end)
        parent.kill()
        await parent.wait()
        with anyio.fail_after(60):
            while _is_alive(child):  # noqa: ASYNC110 - a process that is not ours tells nobody
                await anyio.sleep(0.05)
    finally:
        for end in (read_end, write_end, reply_end, answer_end):
            os.close(end)
        with anyio.CancelScope(shield=True):
            await parent.aclose()


def _is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be buried does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


@pytest.mark.wire
async def test_nothing_but_messages_reaches_stdout(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """At the noisiest log level, through successes and failures; a method's name forges no line of it."""
    async with server_process("serve", "--log-level", "DEBUG", env=sutro_env) as server:
        await server.handshake()
        for name in ("haiku-smoke-test", "contract-summaries"):
            arguments = {"job_id": sutro.find(name)}
            await server.ask("tools/call", {"name": "get_job_results", "arguments": arguments})
        await server.ask("x\nERROR fake: key stolen")
        await server.close_stdin()
        assert await server.exit_code() == 0
        log = await server.log()
    assert b"key stolen" in log
    assert not [line for line in log.splitlines() if line.startswith(b"ERROR")]
    assert b"X-Amz-Signature" not in log
    assert b"sk_demo_emulator" not in log


@pytest.mark.wire
async def test_demo_mode_serves_demo_jobs_and_takes_its_emulator_along() -> None:
    """No key, no network beyond loopback, and no process left behind."""
    async with server_process("serve", "--demo") as server:
        await server.handshake()
        reply = await server.ask("tools/call", LIST_JOBS)
        assert len(reply["result"]["structuredContent"]["jobs"]["rows"]) == 3
        (emulator,) = _children(server.process.pid)
        await server.close_stdin()
        assert await server.exit_code() == 0
        assert not _is_alive(emulator)


def _children(pid: int) -> list[int]:
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in done.stdout.split()]
