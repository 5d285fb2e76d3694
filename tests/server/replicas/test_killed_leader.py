"""Two processes behind one Redis: the one that reads a job for both is killed, and the other reads on."""

import json
import os
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import pytest
from redis.asyncio import Redis

from sutro_mcp.api import Status
from sutro_mcp.server.access.token_file import add_token
from tests.e2e.http_process import HttpProcess, http_process, modern
from tests.server.access.team import PUBLIC_URL, accounts, keys_folder

from .conftest import RedisServer

pytestmark = pytest.mark.anyio

JOB = "job-00000000-0000-4000-8000-000000000001"
URI = f"sutro://jobs/{JOB}"
KEY = "sk_ana_0123456789"


class Listener:
    """A caller who listens to the job at one replica."""

    def __init__(self, process: HttpProcess, token: str) -> None:
        self.process = process
        self.heard = 0
        self.acknowledged, self.told = anyio.Event(), anyio.Event()
        self._headers = {"authorization": f"Bearer {token}"}

    async def listen(self) -> None:
        request = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": [URI]}})
        headers = request["headers"] | self._headers
        stream = self.process.client.stream(
            "POST", self.process.url, json=request["json"], headers=headers, timeout=60
        )
        async with stream as events:
            async for line in events.aiter_lines():
                if line.startswith("data: {"):
                    self.acknowledged.set()
                    message: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    if message["method"] == "notifications/resources/updated":
                        self.heard += 1
                        self.told.set()

    async def leads(self) -> bool:
        """Whether this replica reads the job for all."""
        page = (await self.process.client.get(f"{self.process.admin_url}/metrics")).text
        return "\nsutro_mcp_watch_leader 1.0\n" in page


async def test_the_listeners_of_the_other_replica_hear_the_end_once(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """The killed one gave nothing back: its lease runs out, which the test has happen at once."""
    token = add_token(tmp_path / "tokens", "ana", ["sutro:read"], None)
    (tmp_path / "redis").write_text(redis_server.url)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(redis_server.running())
        sutro = await stack.enter_async_context(accounts(KEY))
        account = sutro.emulators[KEY]
        account.add_job(job_id=JOB, name="one", status=Status.RUNNING)
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SUTRO_")},
            "SUTRO_API_URL": sutro.url,
            "SUTRO_MCP_AUTH": "bearer",
            "SUTRO_MCP_PUBLIC_URL": PUBLIC_URL,
            "SUTRO_MCP_TOKENS_FILE": str(tmp_path / "tokens"),
            "SUTRO_MCP_KEYS_DIR": str(keys_folder(tmp_path / "keys", ana=KEY)),
            "SUTRO_MCP_REDIS_URL_FILE": str(tmp_path / "redis"),
            "SUTRO_MCP_ADMIN_PORT": "0",
            "SUTRO_MCP_CACHE_MAX_BYTES": "0",
        }
        started = [await stack.enter_async_context(http_process(env=env)) for _ in range(2)]
        listeners = [Listener(process, token) for process in started]
        async with anyio.create_task_group() as tasks:
            for listener in listeners:
                tasks.start_soon(_until_killed, listener)
            with anyio.fail_after(120):
                for listener in listeners:
                    await listener.acknowledged.wait()
                leader = await _leading(listeners)
                (other,) = (each for each in listeners if each is not leader)
                leader.process.process.kill()
                await leader.process.process.wait()
                await _expire_leases(redis_server.url)
                await _leading([other])
                account.job(JOB).end("FAILED", datetime.now(UTC))
                await other.told.wait()
                assert (leader.heard, other.heard) == (0, 1)
            tasks.cancel_scope.cancel()


async def _until_killed(listener: Listener) -> None:
    with suppress(httpx.TransportError):
        await listener.listen()


async def _leading(listeners: list[Listener]) -> Listener:
    """The one whose replica reads the job, once one does."""
    while True:
        for listener in listeners:
            if await listener.leads():
                return listener
        await anyio.sleep(0.05)


async def _expire_leases(url: str) -> None:
    client = cast("Any", Redis).from_url(url)
    try:
        leases = await client.keys("smcp:1:l:*")
        assert len(leases) == 1
        await client.pexpire(leases[0], 1)
    finally:
        await client.aclose()
