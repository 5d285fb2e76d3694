"""Resources over a real transport: told of changes in both eras, and no block that a client cannot know."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from sutro_mcp.emulator import Emulator
from tests.support import Era
from tests.updates import Updates

from .http_process import http_process
from .process import COMMAND, INITIALIZE, server_process

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def client_of(
    transport: str, era: Era, updates: Updates, env: dict[str, str]
) -> AsyncGenerator[Client]:
    """A client of a server process that hears updates."""
    async with AsyncExitStack() as stack:
        target: StdioServerParameters | str = StdioServerParameters(
            command=COMMAND[0], args=list(COMMAND[1:]), env=env
        )
        if transport == "http":
            target = (await stack.enter_async_context(http_process(env=env))).url
        yield await stack.enter_async_context(Client(target, mode=era, message_handler=updates))


@pytest.mark.wire
async def test_a_job_that_starts_runs_and_succeeds_is_told_of_three_times(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """Over each transport, in each era, at the pace that users get; not a request before or after."""
    watched: list[str] = []

    async def follow(transport: str, era: Era) -> None:
        job_id, updates = sutro.add_job(status="QUEUED", outputs=["a"]), Updates()
        uri = f"sutro://jobs/{job_id}/status"
        async with client_of(transport, era, updates, sutro_env) as client:
            await client.list_tools()
            await client.list_prompts()
            assert not any(job_id in request.path for request in sutro.requests)
            watched.append(job_id)
            async with updates.watching(client, uri) as agreed:
                assert agreed == [uri]
                for journey, status in ((0.15, "STARTING"), (0.5, "RUNNING"), (1.0, "SUCCEEDED")):
                    sutro.job(job_id).travel(journey, datetime.now(UTC))
                    assert await updates.next() == uri
                    (content,) = (await client.read_resource(uri)).contents
                    assert f'"status":"{status}"' in content.model_dump_json().replace("\\", "")
        assert updates.waiting == 0

    async with anyio.create_task_group() as clients:
        for transport in ("stdio", "http"):
            for era in ("auto", "legacy"):
                clients.start_soon(follow, transport, era)
    assert {request.path.rpartition("/")[2] for request in sutro.requests} == set(watched)


@pytest.mark.smoke
async def test_a_server_ends_with_its_connection_although_jobs_are_watched(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """Nothing of the watcher outlives it."""
    uri = f"sutro://jobs/{sutro.find('legal-clause-tagging')}"
    async with server_process(env=sutro_env) as server:
        await server.handshake()
        assert (await server.ask("resources/subscribe", {"uri": uri}))["result"] == {}
        await server.close_stdin()
        assert await server.exit_code() == 0
    async with server_process(env=sutro_env) as server:
        filters = {"notifications": {"resourceSubscriptions": [uri]}}
        await server.send("subscriptions/listen", filters, modern=True)
        assert (await server.receive())["method"] == "notifications/subscriptions/acknowledged"
        await server.close_stdin()
        assert await server.exit_code() == 0


@pytest.mark.wire
@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
async def test_a_client_gets_icons_if_its_version_knows_them(version: str) -> None:
    """An older one might refuse the whole answer."""
    async with server_process() as server:
        opening = await server.ask("initialize", {**INITIALIZE, "protocolVersion": version})
        assert opening["result"]["protocolVersion"] == version
        assert ("icons" in opening["result"]["serverInfo"]) is (version == "2025-11-25")
