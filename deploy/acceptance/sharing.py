"""Sharing through Redis: one replica reads a job that many watch. And calls while Redis is gone."""

from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import httpx
from anyio.abc import TaskStatus

from sutro_mcp.emulator import Emulator
from tests.e2e.http_process import modern

from .callers import Tally, keep_asking, under_load
from .stack import Redis, Team, team
from .table import Row

_LISTENERS = 20
_WATCHED_SECONDS = 20


def _settings(folder: Path, redis: Redis) -> dict[str, str]:
    folder.mkdir(parents=True)
    file = folder / "redis-url"
    file.write_text(redis.url)
    return {"SUTRO_MCP_REDIS_URL_FILE": str(file)}


async def watched(folder: Path) -> list[Row]:
    """D5: a job that 20 callers watch on two replicas, and the reader of it killed."""
    alone = await _polls_of_one(folder / "one")
    with Redis(folder / "redis") as redis:
        return [await _watched(folder, redis, alone)]


async def _watched(folder: Path, redis: Redis, alone: int) -> Row:
    told = [Counter[str]() for _ in range(_LISTENERS)]
    left, before, polls, once, change, after = told, [0], 0, 0, 0.0, 0.0
    async with (
        team(folder / "two", settings=_settings(folder / "settings", redis)) as served,
        anyio.create_task_group() as tasks,
    ):
        account, job_id, token = await _one_job(served)
        for number, heard in enumerate(told):
            url = f"http://127.0.0.1:{served.replicas[number % 2].port}/mcp"
            await tasks.start(_listen, url, served.url, token, job_id, heard)
        first = len(account.requests)
        await anyio.sleep(_WATCHED_SECONDS)
        polls = len(account.requests) - first
        account.job(job_id).status = "RUNNING"
        change = await _until_told(told)
        reader = 0 if await _reads(served.replicas[0].admin_url) else 1
        served.replicas[reader].kill()
        left = told[1 - reader :: 2]
        before = [heard["updated"] for heard in left]
        account.job(job_id).status = "SUCCEEDED"
        after = await _until_told(left, before)
        once = sum(heard["updated"] == 2 for heard in left)
        tasks.cancel_scope.cancel()
    found = (
        f"{polls} polls in {_WATCHED_SECONDS} s, {alone} of one watcher; all told of a change after"
        f" {change:.0f} s; the reader killed, {once} of {len(left)} others told once, after {after:.0f} s"
    )
    holds = polls <= alone * 1.1 + 1 and after <= 20 and once == len(left)
    wanted = "≤ 1.1 × the polls of one; told once, ≤ 20 s after the reader died"
    return Row("D5", f"{_LISTENERS} listeners on two replicas watch a job", wanted, found, holds)


async def _one_job(served: Team) -> tuple[Emulator, str, str]:
    """An account, a job in it, and a token that the replicas know."""
    account, token = served.sutro.add("key"), served.access.add("ana", "key")
    await anyio.sleep(2)
    return account, account.add_job(name="watched", status="QUEUED", num_rows=10), token


async def _polls_of_one(folder: Path) -> int:
    """Requests to Sutro in the same time, of one listener on one replica."""
    polls = 0
    async with team(folder, count=1) as served, anyio.create_task_group() as tasks:
        account, job_id, token = await _one_job(served)
        url = f"http://127.0.0.1:{served.replicas[0].port}/mcp"
        await tasks.start(_listen, url, served.url, token, job_id, Counter[str]())
        first = len(account.requests)
        await anyio.sleep(_WATCHED_SECONDS)
        polls = len(account.requests) - first
        tasks.cancel_scope.cancel()
    return polls


async def _listen(
    url: str,
    public_url: str,
    token: str,
    job_id: str,
    heard: Counter[str],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Count what is told of a job until the replica ends."""
    request = modern(
        "subscriptions/listen", {"notifications": {"resourceSubscriptions": [f"sutro://jobs/{job_id}"]}}
    )
    # Past the balancer, so that each replica has its half.
    own = {"Authorization": f"Bearer {token}", "Host": public_url.split("/")[2]}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=60, trust_env=False))
        stream = http.stream("POST", url, json=request["json"], headers={**request["headers"], **own})
        try:
            reply = await stack.enter_async_context(stream)
            assert reply.is_success, (await reply.aread())[:300]
            async for line in reply.aiter_lines():
                if "subscriptions/acknowledged" in line:
                    task_status.started()
                elif "resources/updated" in line:
                    heard["updated"] += 1
        except httpx.TransportError:
            heard["cut"] += 1


async def _until_told(told: list[Counter[str]], before: list[int] | None = None) -> float:
    """The seconds until each has been told once more, 60 at most."""
    counts = before or [0] * len(told)
    began = anyio.current_time()
    with anyio.move_on_after(60):
        while any(heard["updated"] <= count for heard, count in zip(told, counts, strict=True)):
            await anyio.sleep(0.05)
    seconds = anyio.current_time() - began
    await anyio.sleep(5)
    return seconds


async def _reads(admin_url: str) -> bool:
    """Whether this replica is the one that reads the watched job."""
    async with httpx.AsyncClient(trust_env=False) as http:
        page = (await http.get(f"{admin_url}/metrics")).text
    return any(
        line.startswith("sutro_mcp_watch_leader") and not line.endswith(" 0.0") for line in page.splitlines()
    )


async def without_redis(folder: Path) -> list[Row]:
    """D6: Redis dies under load, and comes back."""
    phases = {"with": Tally(), "without": Tally(), "again": Tally()}
    with Redis(folder / "redis") as redis:
        async with team(folder / "team", settings=_settings(folder / "settings", redis)) as served:
            _, job_id, token = await _one_job(served)
            request = modern("tools/call", {"name": "get_job_status", "arguments": {"job_id": job_id}})
            await anyio.sleep(5)
            for phase, tally in phases.items():
                if phase == "without":
                    redis.stop()
                elif phase == "again":
                    redis.start()
                callers = [partial(keep_asking, served.url, token, request, tally, pause=0.1)] * 6
                await under_load(callers, partial(anyio.sleep, 20))
    failed = sum(len(tally.failures) for tally in phases.values())
    late = phases["without"].percentile(0.99) - phases["with"].percentile(0.99)
    calls = failed + sum(len(tally.seconds) for tally in phases.values())
    found = f"{failed} of {calls} failed; p99 "
    found += ", ".join(f"{phase} {tally.percentile(0.99):.0f} ms" for phase, tally in phases.items())
    holds = not failed and late <= 20
    return [
        Row("D6", "Redis killed and started under load, 6 clients", "0 failed; p99 + ≤ 20 ms", found, holds)
    ]
