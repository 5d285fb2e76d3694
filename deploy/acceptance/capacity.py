"""How much two replicas do, and what a caller who wants too much takes from the others."""

import statistics
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from tests.e2e.http_process import modern

from .callers import Tally, keep_asking, under_load
from .stack import Redis, Replica, Team, team
from .table import Row

_CPU = Path("/sys/fs/cgroup/cpu")
_SHARE = 0.05  # little, so that it is the limit on a busy machine as well
_CLIENTS, _SECONDS, _ROUNDS = 8, 8, 5
_IDLE_SECONDS = 600


def _confine(replica: Replica) -> Path:
    """Give the process its share of a core; needs the cpu controller of cgroup v1."""
    group = _CPU / f"sutro-mcp-{replica.port}"
    group.mkdir()
    (group / "cpu.cfs_quota_us").write_text(str(round(100_000 * _SHARE)))
    assert replica.process is not None
    (group / "cgroup.procs").write_text(str(replica.process.pid))
    return group


def _status_request(served: Team, key: str) -> dict[str, Any]:
    job_id = served.sutro.accounts[key].find("support-ticket-triage")
    return modern("tools/call", {"name": "get_job_status", "arguments": {"job_id": job_id}})


async def scaling(folder: Path) -> list[Row]:
    """D1: calls a second through HAProxy, of two replicas against one."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(_ROUNDS):
        for count, found in rates.items():
            found.append(await _rate(folder / f"{number}-{count}", count))
    one, two = (statistics.median(found) for found in rates.values())
    found = f"{one:.0f} and {two:.0f} calls/s: ×{two / one:.2f}; medians of {_ROUNDS}"
    return [
        Row("D1", f"two replicas against one, {_SHARE:.0%} of a core each", "≥ ×1.8", found, two / one >= 1.8)
    ]


async def _rate(folder: Path, count: int) -> float:
    tally = Tally()
    async with team(folder, count=count) as served:
        served.sutro.add("key")
        token = served.access.add("ana", "key")
        request = _status_request(served, "key")
        await anyio.sleep(5)
        groups = [_confine(replica) for replica in served.replicas]
        callers = [partial(keep_asking, served.url, token, request, tally)] * _CLIENTS
        await under_load(callers, partial(anyio.sleep, _SECONDS))
        for replica in served.replicas:
            replica.kill()
        for group in groups:
            group.rmdir()
    assert not tally.failures, tally.failures[0]
    return len(tally.seconds) / _SECONDS


async def noisy(folder: Path) -> list[Row]:
    """D13: four quiet callers, alone and beside one who calls ten times as often as allowed."""
    limits = {"SUTRO_MCP_RATE": "120/40", "SUTRO_MCP_RATE_HEAVY": "10/5"}
    quiet = {"alone": Tally(), "beside": Tally()}
    loud = Tally()
    async with team(folder, settings=limits) as served:
        served.sutro.add("key")
        request = _status_request(served, "key")
        tokens = [served.access.add(f"quiet-{number}", "key") for number in range(4)]
        token = served.access.add("loud", "key")
        await anyio.sleep(5)
        for when, tally in quiet.items():
            callers = [partial(keep_asking, served.url, one, request, tally, pause=0.6) for one in tokens]
            if when == "beside":
                callers += [partial(keep_asking, served.url, token, request, loud, pause=0.4)] * 8
            await under_load(callers, partial(anyio.sleep, 60))
    alone, beside = (tally.percentile(0.99) for tally in quiet.values())
    names_seconds = sum("econd" in failure for failure in loud.failures)
    found = (
        f"p99 {alone:.0f} and {beside:.0f} ms, p50 {quiet['alone'].percentile(0.5):.0f} and"
        f" {quiet['beside'].percentile(0.5):.0f} ms; the loud one: {len(loud.seconds)} calls answered,"
        f" {len(loud.failures)} refused, {names_seconds} with the seconds to wait"
    )
    holds = beside <= alone * 1.25 and names_seconds == len(loud.failures) > 0
    return [Row("D13", "a caller at 10 times its rate, four others", "their p99 + ≤ 25 %", found, holds)]


async def idle(folder: Path) -> list[Row]:
    """D15: two replicas with Redis, and nobody calls."""
    with Redis(folder / "redis") as redis:
        (folder / "url").write_text(redis.url)
        async with team(
            folder / "team", settings={"SUTRO_MCP_REDIS_URL_FILE": str(folder / "url")}
        ) as served:
            await anyio.sleep(20)
            before = [replica.usage() for replica in served.replicas]
            asked = served.sutro.requests
            await anyio.sleep(_IDLE_SECONDS)
            after = [replica.usage() for replica in served.replicas]
            asked = served.sutro.requests - asked
    shares = [(new[0] - old[0]) / _IDLE_SECONDS for old, new in zip(before, after, strict=True)]
    grown = [(new[1] - old[1]) / 1e6 for old, new in zip(before, after, strict=True)]
    found = (
        f"{max(shares):.2%} of a core; {asked} requests to Sutro; {before[0][1] / 1e6:.0f} MB each,"
        f" {max(grown):+.1f} MB since"
    )
    holds = max(shares) < 0.01 and asked == 0 and max(grown) < 5
    done = f"two idle replicas, Redis and HAProxy, {_IDLE_SECONDS // 60} minutes"
    return [Row("D15", done, "< 1 % of a core, 0 requests, flat", found, holds)]
