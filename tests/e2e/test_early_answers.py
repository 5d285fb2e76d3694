"""A stdio server answers before it is loaded, and goes on as if it had been there all along."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS

from sutro_mcp.emulator import Emulator
from sutro_mcp.server.tools import CATALOGUE

from .process import COMMAND, INITIALIZE, PROTOCOL_2026, Server, server_process

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="a named pipe holds the imports"),
]

LISTS = ("tools/list", "prompts/list", "resources/templates/list")
# Stands in for the library that is imported first, until somebody opens the pipe.
HOLD = """
import os, sys
sys.path.remove(os.path.dirname(__file__))
open(os.environ["HELD"]).close()
del sys.modules["pydantic"]
import pydantic
"""


class Held:
    """The environment of a server that has answers and cannot load before `release`."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        # A setting of its own, so that there are no answers from elsewhere.
        self.free = {**env, "SUTRO_MCP_EXPORT_DIR": str(folder)}
        subprocess.run(COMMAND, env=self.free, stdin=subprocess.DEVNULL, check=True)
        (folder / "hold").mkdir()
        (folder / "hold" / "pydantic.py").write_text(HOLD)
        self._pipe = folder / "pipe"
        os.mkfifo(self._pipe)
        path = os.pathsep.join([str(folder / "hold"), *filter(None, [env.get("PYTHONPATH")])])
        self.env = {**self.free, "PYTHONPATH": path, "HELD": str(self._pipe)}

    async def release(self) -> None:
        """Let it load."""
        await anyio.to_thread.run_sync(self._pipe.write_bytes, b"")


@pytest.fixture
def held(tmp_path: Path, sutro_env: dict[str, str]) -> Held:
    """For a host that has a key."""
    return Held(tmp_path, sutro_env)


@asynccontextmanager
async def opened(held: Held, **capabilities: Any) -> AsyncGenerator[Server]:
    """A held server that has answered `initialize`, and is checked to have said nothing twice."""
    async with server_process(env=held.env) as server:
        await server.ask("initialize", {**INITIALIZE, "capabilities": capabilities})
        await server.send_line('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        yield server
        assert "result" in await server.ask("ping")
        await server.close_stdin()
        assert await server.exit_code() == 0
        assert await server.rest_of_stdout() == b""
        assert await server.log() == b""


@pytest.mark.smoke
async def test_a_2025_host_has_what_it_asks_first_before_anything_is_loaded(held: Held) -> None:
    """In each of its versions; once loaded, the server says the same."""
    for version in HANDSHAKE_PROTOCOL_VERSIONS:
        async with server_process(env=held.env) as server:
            opening = await server.ask("initialize", {**INITIALIZE, "protocolVersion": version})
            assert opening["result"]["protocolVersion"] == version
            assert (await server.ask("ping"))["result"] == {}
            await server.send_line('{"jsonrpc":"2.0","method":"notifications/initialized"}')
            early = [(await server.ask(method))["result"] for method in LISTS]
            if version == HANDSHAKE_PROTOCOL_VERSIONS[-1]:
                await held.release()
                assert early == [(await server.ask(method))["result"] for method in LISTS]
            await server.close_stdin()
            assert await server.exit_code() == 0
            assert await server.rest_of_stdout() == b""
            assert await server.log() == b""


@pytest.mark.smoke
async def test_a_2026_host_has_what_it_asks_first_before_anything_is_loaded(held: Held) -> None:
    """And the era is settled then, as it would have been by the server."""
    async with server_process(env=held.env) as server:
        early = [(await server.ask(method, modern=True))["result"] for method in ("server/discover", *LISTS)]
        assert PROTOCOL_2026 in early[0]["supportedVersions"]
        await held.release()
        assert early == [
            (await server.ask(method, modern=True))["result"] for method in ("server/discover", *LISTS)
        ]
        assert (await server.ask("initialize", INITIALIZE))["error"]["code"] == -32022
        await server.close_stdin()
        assert await server.rest_of_stdout() == b""
        assert await server.log() == b""


@pytest.mark.smoke
async def test_calls_wait_for_the_server_which_knows_what_the_host_can_do(
    held: Held, sutro: Emulator
) -> None:
    """Lists overtake them; the question to the person needs what `initialize` said."""
    async with opened(held, elicitation={}) as server:
        arguments = {"job_id": sutro.find("catalogue-copy-refresh")}
        call = await server.send("tools/call", {"name": "cancel_job", "arguments": arguments})
        assert len((await server.ask("tools/list"))["result"]["tools"]) == len(CATALOGUE)
        jobs = await server.send("resources/list")
        await held.release()
        waited = {"question": await server.receive(), "jobs": await server.receive()}
        if "method" not in waited["question"]:
            waited = {"question": waited["jobs"], "jobs": waited["question"]}
        assert waited["jobs"]["id"] == jobs
        assert waited["question"]["method"] == "elicitation/create"
        no = {"jsonrpc": "2.0", "id": waited["question"]["id"], "result": {"action": "decline"}}
        await server.send_line(json.dumps(no))
        answer = await server.receive()
        assert answer["id"] == call
        assert answer["result"]["structuredContent"]["outcome"] == "refused"


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_of_the_sdk_lists_before_it_is_loaded_and_calls_after(held: Held, mode: Any) -> None:
    """It notices nothing."""
    parameters = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:]], env=held.env)
    with anyio.fail_after(60):
        async with Client(stdio_client(parameters), mode=mode) as client:
            assert len((await client.list_tools()).tools) == len(CATALOGUE)
            assert len((await client.list_prompts()).prompts) == 3
            await held.release()
            called = await client.call_tool("list_jobs", {"limit": 3})
            assert called.structured_content is not None
            assert len(called.structured_content["jobs"]["rows"]) == 3


@pytest.mark.wire
@pytest.mark.parametrize(
    ("odd", "code"), [("{", -32700), ("[]", -32600), ('{"jsonrpc":"2.0","id":7,"method":"x"}', -32601)]
)
async def test_what_is_odd_waits_for_the_server_and_so_does_all_that_follows(
    held: Held, odd: str, code: int
) -> None:
    """The order of its answers is that of the lines."""
    async with server_process(env=held.env) as server:
        await server.send_line(odd)
        number = await server.send("initialize", INITIALIZE)
        await held.release()
        assert (await server.receive())["error"]["code"] == code
        assert (await server.receive())["id"] == number


@pytest.mark.smoke
@pytest.mark.parametrize(("number", "code"), [(None, 0), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_it_can_be_left_before_it_is_loaded(
    held: Held, number: signal.Signals | None, code: int
) -> None:
    """At the end of stdin, or by a signal; probes do."""
    async with server_process(env=held.env) as server:
        await server.ask("initialize", INITIALIZE)
        if number is None:
            await server.close_stdin()
        else:
            server.process.send_signal(number)
        assert await server.exit_code() == code
        assert await server.log() == b""


@pytest.fixture
def wrong(tmp_path: Path) -> anyio.Path:
    """The answers of a product of its own in this folder, one of them not its own."""
    shutil.copytree(Path("sutro_mcp"), tmp_path / "sutro_mcp", ignore=shutil.ignore_patterns("__pycache__"))
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-P", *COMMAND[1:]], env=env, stdin=subprocess.DEVNULL, check=True)
    (kept,) = tmp_path.rglob("*.answers")
    answers = json.loads(zlib.decompress(kept.read_bytes()))
    answers["2025-11-25"]["ping"] = '{"x":1}'
    kept.write_bytes(zlib.compress(json.dumps(answers).encode()))
    return anyio.Path(kept)


@pytest.mark.wire
async def test_answers_that_are_not_the_servers_are_not_kept(tmp_path: Path, wrong: anyio.Path) -> None:
    """Whatever wrote them: the next start has the right ones."""
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for given in ({"x": 1}, {}, {}):
        async with server_process(env=env, command=[sys.executable, "-P", *COMMAND[1:]]) as server:
            await server.ask("initialize", INITIALIZE)
            assert (await server.ask("ping"))["result"] == given
            assert "error" in await server.ask("x")
            assert await wrong.exists() is not bool(given)
            await server.close_stdin()
            assert (await server.exit_code(), bool(await server.log())) == (0, bool(given))
