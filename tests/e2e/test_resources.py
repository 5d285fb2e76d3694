"""Resources over a real transport: told of changes in both eras, and no block that a client cannot know."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from sutro_mcp.emulator import Emulator
from tests.support import Era
from tests.updates import Updates

from .http_process import http_process
from .process import COMMAND, INITIALIZE, server_process

pytestmark = [pytest.mark.smoke, pytest.mark.anyio]

# A client in an era that hears updates, and is gone when the block ends.
Open = Callable[[Era, Updates], AbstractAsyncContextManager[Client]]


@pytest.fixture(params=["stdio", "http"])
def open_client(request: pytest.FixtureRequest, sutro_env: dict[str, str]) -> Open:
    """A client of a server process, over each transport."""

    @asynccontextmanager
    async def over_stdio(era: Era, updates: Updates) -> AsyncGenerator[Client]:
        parameters = StdioServerParameters(command=COMMAND[0], args=list(COMMAND[1:]), env=sutro_env)
        async with Client(parameters, mode=era, message_handler=updates) as client:
            yield client

    @asynccontextmanager
    async def over_http(era: Era, updates: Updates) -> AsyncGenerator[Client]:
        async with (
            http_process(env=sutro_env) as server,
            Client(server.url, mode=era, message_handler=updates) as client,
        ):
            yield client

    return {"stdio": over_stdio, "http": over_http}[request.param]


@pytest.mark.wire
@pytest.mark.parametrize("era", ["auto", "legacy"], ids=["2026-era", "2025-era"])
async def test_a_job_that_starts_runs_and_succeeds_is_told_of_three_times(
    sutro: Emulator, open_client: Open, era: Era
) -> None:
    """At the pace that users get, with the new status to be read each time; not a request before or after."""
    job_id = sutro.find("legal-clause-tagging")
    uri, updates = f"sutro://jobs/{job_id}/status", Updates()
    async with open_client(era, updates) as client:
        await client.list_tools()
        await client.list_prompts()
        assert sutro.requests == []
        async with updates.watching(client, uri) as agreed:
            assert agreed == [uri]
            for journey, status in ((0.15, "STARTING"), (0.5, "RUNNING"), (1.0, "SUCCEEDED")):
                sutro.job(job_id).travel(journey, datetime.now(UTC))
                assert await updates.next() == uri
                (content,) = (await client.read_resource(uri)).contents
                assert f'"status":"{status}"' in content.model_dump_json().replace("\\", "")
        assert {request.path for request in sutro.requests} == {f"/v1/job-status/{job_id}"}
    assert updates.waiting == 0


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


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("2024-11-05", ["text"]),
        ("2025-03-26", ["text"]),
        ("2025-06-18", ["text", *["resource_link"] * 3]),
        ("2025-11-25", ["text", *["resource_link"] * 3]),
    ],
)
async def test_a_client_gets_links_and_icons_if_its_version_knows_them(
    sutro: Emulator, sutro_env: dict[str, str], version: str, kinds: list[str]
) -> None:
    """An older one might refuse the whole answer."""
    async with server_process(env=sutro_env) as server:
        opening = await server.ask("initialize", {**INITIALIZE, "protocolVersion": version})
        assert opening["result"]["protocolVersion"] == version
        assert ("icons" in opening["result"]["serverInfo"]) is (version == "2025-11-25")
        await server.send_line('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        arguments = {"job_id": sutro.find("support-ticket-triage")}
        reply = await server.ask("tools/call", {"name": "get_job", "arguments": arguments})
        assert [block["type"] for block in reply["result"]["content"]] == kinds
