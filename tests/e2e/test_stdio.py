"""The life of a stdio server, row by row: how it opens, what it survives, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from sutro_mcp.emulator import Emulator, Fault

from .process import COMMAND, INITIALIZE, PROTOCOL_2026, Server, server_process

pytestmark = [pytest.mark.smoke, pytest.mark.anyio]


async def _busy(server: Server, sutro: Emulator) -> None:
    """Open a connection and leave a tool call waiting for a deployment that does not answer."""
    sutro.faults.add(Fault.slow(30), times=None)
    await server.handshake()
    await server.send("tools/call", {"name": "list_jobs", "arguments": {}})
    with anyio.fail_after(10):
        while not sutro.requests:  # noqa: ASYNC110 - the emulator runs in another thread
            await anyio.sleep(0.02)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_real_client_lists_tools_and_calls_them(sutro_env: dict[str, str], mode: str) -> None:
    """Both protocol eras."""
    parameters = StdioServerParameters(command=COMMAND[0], args=list(COMMAND[1:]), env=sutro_env)
    async with Client(parameters, mode=mode) as client:
        assert len((await client.list_tools()).tools) == 9
        result = await client.call_tool("list_jobs", {"limit": 3})
        assert result.structured_content is not None
        assert len(result.structured_content["jobs"]) == 3


async def test_it_starts_and_lists_its_tools_without_key_or_network() -> None:
    """What is missing is said by the first call that needs it."""
    async with server_process() as server:
        await server.handshake()
        assert len((await server.ask("tools/list"))["result"]["tools"]) == 9
        refusal = (await server.ask("tools/call", {"name": "list_jobs", "arguments": {}}))["result"]
        assert refusal["isError"] is True
        assert "SUTRO_API_KEY" in refusal["content"][0]["text"]


async def test_probes_settle_nothing() -> None:
    """server/discover twice, then initialize on the same pipe."""
    async with server_process() as server:
        for _ in range(2):
            reply = await server.ask("server/discover", modern=True)
            assert PROTOCOL_2026 in reply["result"]["supportedVersions"]
        assert (await server.handshake())["serverInfo"]["name"] == "sutro-mcp"
        assert (await server.ask("tools/list"))["result"]["tools"]


async def test_a_probe_may_come_before_and_amid_modern_requests() -> None:
    """Discover, list, discover, list."""
    async with server_process() as server:
        for _ in range(2):
            assert "result" in await server.ask("server/discover", modern=True)
            assert (await server.ask("tools/list", modern=True))["result"]["tools"]


async def test_garbage_before_and_after_the_opening_is_survived() -> None:
    """Not JSON, a batch, a scalar, an unknown notification."""
    garbage = [
        "",
        "garbage",
        "[]",
        "7",
        '{"jsonrpc":"2.0","method":"notifications/odd"}',
        '{"jsonrpc":"1.0"}',
    ]
    async with server_process() as server:
        for line in garbage * 3:
            await server.send_line(line)
        assert "result" in await server.ask("server/discover", modern=True)
        for line in garbage:
            await server.send_line(line)
        await server.handshake()
        for line in garbage:
            await server.send_line(line)
        assert (await server.ask("tools/list"))["result"]["tools"]


async def test_a_probe_that_is_malformed_gets_an_error_and_settles_nothing() -> None:
    """No envelope."""
    async with server_process() as server:
        assert "error" in await server.ask("server/discover")
        await server.handshake()


@pytest.mark.parametrize("before", ["nothing", "probe", "handshake"])
async def test_it_ends_when_stdin_does(before: str) -> None:
    """Exit code 0."""
    async with server_process() as server:
        if before == "probe":
            await server.ask("server/discover", modern=True)
        if before == "handshake":
            await server.handshake()
        await server.close_stdin()
        assert await server.exit_code(10) == 0


async def test_it_ends_when_stdin_does_although_a_tool_is_running(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """The call is dropped, not waited for."""
    async with server_process(env=sutro_env) as server:
        await _busy(server, sutro)
        await server.close_stdin()
        assert await server.exit_code() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("state", ["idle", "busy"])
async def test_a_signal_ends_it_cleanly(
    sutro: Emulator, sutro_env: dict[str, str], tmp_path: Path, number: signal.Signals, code: int, state: str
) -> None:
    """Idle or amid a call; the folder of artifacts goes, and the worker with it."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    async with server_process(env={**sutro_env, "TMPDIR": str(temporary)}) as server:
        if state == "busy":
            await _busy(server, sutro)
        else:
            await server.handshake()
            job_id = sutro.find("haiku-smoke-test")
            await server.ask("tools/call", {"name": "get_job_results", "arguments": {"job_id": job_id}})
            assert list(temporary.iterdir())
        server.process.send_signal(number)
        assert await server.exit_code() == code
        assert list(temporary.iterdir()) == []


async def test_sigterm_before_any_message_ends_it() -> None:
    """As soon as it can listen to signals at all."""
    async with server_process() as server:
        await server.ask("server/discover", modern=True)
        server.process.terminate()
        assert await server.exit_code() == 143


async def test_it_ends_although_the_host_stopped_reading_stdout() -> None:
    """The pipe is full, and the thread that writes can never be joined."""
    async with server_process() as server:
        await server.handshake()
        for _ in range(40):
            await server.send("tools/list")
        await server.close_stdin()
        assert await server.exit_code() == 0


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
        with anyio.fail_after(20), suppress(anyio.BrokenResourceError):
            while process.returncode is None:
                await process.stdin.send(b'{"jsonrpc":"2.0","method":"notifications/odd"}\n')
                await anyio.sleep(0.05)
        with anyio.fail_after(20):
            assert await process.wait() == 0
        assert b"Traceback" not in b"".join([chunk async for chunk in process.stderr])


async def _all(server: Server) -> bytes:
    assert server.process.stderr is not None
    return b"".join([chunk async for chunk in server.process.stderr])


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
        with anyio.fail_after(20):
            await anyio.wait_readable(reply_end)
        parent.kill()
        await parent.wait()
        with anyio.fail_after(15):
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


async def test_nothing_but_messages_reaches_stdout(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """At the noisiest log level, through successes and failures."""
    async with server_process("serve", "--log-level", "DEBUG", env=sutro_env) as server:
        await server.handshake()
        for name in ("haiku-smoke-test", "contract-summaries"):
            arguments = {"job_id": sutro.find(name)}
            await server.ask("tools/call", {"name": "get_job_results", "arguments": arguments})
        await server.close_stdin()
        assert await server.exit_code() == 0
        log = await _all(server)
        assert b"X-Amz-Signature" not in log
        assert b"sk_demo_emulator" not in log


async def test_a_wrong_setting_stops_it_with_a_sentence() -> None:
    """Before serving, on stderr, exit code 1."""
    async with server_process(env={**os.environ, "SUTRO_MCP_CANCEL": "maybe"}) as server:
        assert await server.exit_code() == 1
        assert b"SUTRO_MCP_CANCEL" in await _all(server)


async def test_demo_mode_serves_demo_jobs_and_takes_its_emulator_along() -> None:
    """No key, no network beyond loopback, and no process left behind."""
    async with server_process("serve", "--demo") as server:
        await server.handshake()
        reply = await server.ask("tools/call", {"name": "list_jobs", "arguments": {"limit": 2}})
        assert len(reply["result"]["structuredContent"]["jobs"]) == 2
        children = _children(server.process.pid)
        assert len(children) == 1
        await server.close_stdin()
        assert await server.exit_code() == 0
        assert not any(_is_alive(child) for child in children)


def _children(pid: int) -> list[int]:
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in done.stdout.split()]
