"""The client that handlers share, made when first needed and without holding up other requests."""

import gc
import os
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest
from mcp import Client
from mcp.types import CallToolResult

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import DEMO_KEY, Emulator
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.build import build_server
from sutro_mcp.settings import Settings
from tests.support import text_of

pytestmark = pytest.mark.anyio


def conversation(emulator: Emulator, key_file: Path) -> Client:
    """With a server whose key lies in a file."""
    env = {"SUTRO_API_URL": emulator.api_origin, "SUTRO_API_KEY_FILE": str(key_file)}
    transport = httpx.ASGITransport(app=emulator.app)
    return Client(
        build_server(Settings(), lambda: ApiClient(resolve_connection(env=env), transport=transport))
    )


async def test_a_key_that_is_slow_to_come_holds_up_only_what_needs_it(tmp_path: Path) -> None:
    """It comes out of a pipe, once for two calls."""
    os.mkfifo(tmp_path / "pipe")
    results: list[CallToolResult] = []
    async with conversation(Emulator(), tmp_path / "pipe") as client:

        async def call() -> None:
            results.append(await client.call_tool("list_jobs", {}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            assert (await client.list_tools()).tools
            assert results == []
            await anyio.to_thread.run_sync((tmp_path / "pipe").write_text, DEMO_KEY)
    assert [result.is_error for result in results] == [False, False]


async def test_a_key_that_is_missing_is_looked_for_by_the_next_call(tmp_path: Path) -> None:
    """Its file is named, and can be put there while the server runs."""
    async with conversation(Emulator(), tmp_path / "key") as client:
        for method in (client.call_tool("list_jobs", {}), client.call_tool("list_jobs", {})):
            result = await method
            assert result.is_error
            assert "the file named by SUTRO_API_KEY_FILE cannot be used (No such file" in text_of(result)
        (tmp_path / "key").write_text(DEMO_KEY)
        assert not (await client.call_tool("list_jobs", {})).is_error


async def test_nothing_is_kept_of_calls_that_were_refused(tmp_path: Path) -> None:
    """An error holds all that its call had in hand."""

    def kept() -> int:
        gc.collect()
        return sum(type(each) is ConfigurationError for each in gc.get_objects())

    async with conversation(Emulator(), tmp_path / "key") as client:
        await client.call_tool("list_jobs", {})
        before = kept()
        for _ in range(10):
            await client.call_tool("list_jobs", {})
        assert kept() <= before + 1
