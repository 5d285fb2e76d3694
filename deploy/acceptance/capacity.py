"""How much two replicas do, and what a caller who wants too much takes from the others."""

import ssl
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_process
import httpx

from tests.e2e.http_process import modern

from .callers import Tally, keep_asking, under_load
from .stack import Redis, Replica, Team, team
from .table import Row

_CPU = Path("/sys/fs/cgroup/cpu")
_SHARE = 0.05  # little, so that it is the limit on a busy machine as well
_CLIENTS, _SECONDS, _ROUNDS = 8, 8, 5
_PAIRS, _TURN_SECONDS, _QUIET_PAUSE = 30, 4, 0.6
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
    """D13: twenty quiet callers, by turns alone and beside one who calls ten times as often as allowed.

    Each turn is compared with the one next to it, so that what else the machine does counts on both sides.
    """
    folder.mkdir(parents=True)
    quiet = Turns()
    with Redis(folder / "redis") as redis:
        (folder / "url").write_text(redis.url)
        limits = {"SUTRO_MCP_RATE": "120/40", "SUTRO_MCP_REDIS_URL_FILE": str(folder / "url")}
        async with team(folder / "team", settings=limits) as served:
            began = time.monotonic()
            answers = await _by_turns(served, quiet)
            allowed = 40 + 2 * (time.monotonic() - began)
    p50, p95, p99 = (quiet.ratio(share) for share in (0.5, 0.95, 0.99))
    refused = [answer for answer in answers if '"isError":true' in answer]
    answered, named = len(answers) - len(refused), sum("second" in answer for answer in refused)
    found = (
        f"p99 ×{p99:.2f}, p95 ×{p95:.2f}, p50 ×{p50:.2f}, medians of {_PAIRS} pairs of turns, and"
        f" {len(quiet.failures)} refused; of the loud one's {len(answers)} calls {answered}"
        f" answered, {allowed:.0f} allowed; {named} of {len(refused)} refusals with the seconds to wait"
    )
    holds = p99 <= 1.25 and not quiet.failures and answered <= allowed
    holds = holds and named == len(refused) > 0
    return [Row("D13", "a caller at 10 times its rate, 20 others", "their p99 + ≤ 25 %", found, holds)]


class Turns(Tally):
    """Calls of which each belongs to a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[tuple[bool, int]] = []
        """Whether somebody was loud in a turn, and how many calls there were until its end."""

    def ratio(self, share: float) -> float:
        """The percentile of a loud turn by that of the quiet one beside it, the median of all."""
        starts = [0, *(count for _, count in self.ends)]
        found = [
            (is_loud, Tally(self.seconds[start:end]).percentile(share))
            for start, (is_loud, end) in zip(starts, self.ends, strict=False)
        ]
        pairs = [dict(found[number : number + 2]) for number in range(0, len(found), 2)]
        return statistics.median(pair[True] / pair[False] for pair in pairs)


async def _by_turns(served: Team, quiet: Turns) -> list[str]:
    """Have twenty callers call all the time, and one more in every other turn; the answers to that one."""
    served.sutro.add("key")
    request = _status_request(served, "key")
    tokens = [served.access.add(f"quiet-{number}", "key") for number in range(20)]
    headers = {**request["headers"], "Authorization": f"Bearer {served.access.add('loud', 'key')}"}
    answers = list[str]()

    async def shout(seconds: float) -> None:
        # In a process of its own, so that only the server has to do with both.
        answers.extend(await anyio.to_process.run_sync(_shout, served.url, request["json"], headers, seconds))

    async def a_quiet_one(number: int, until: anyio.Event) -> None:
        await anyio.sleep(number * _QUIET_PAUSE / len(tokens))  # not all at once
        await keep_asking(served.url, tokens[number], request, quiet, until, _QUIET_PAUSE)

    async def take_turns() -> None:
        await anyio.sleep(_TURN_SECONDS)
        quiet.seconds.clear()
        for number in range(_PAIRS):
            for is_loud in (bool(number % 2), not number % 2):
                await shout(_TURN_SECONDS if is_loud else 0)
                if not is_loud:
                    await anyio.sleep(_TURN_SECONDS)
                quiet.ends.append((is_loud, len(quiet.seconds)))

    await anyio.sleep(5)
    await shout(0)
    await under_load([partial(a_quiet_one, number) for number in range(len(tokens))], take_turns)
    return answers


def _shout(url: str, body: object, headers: dict[str, str], seconds: float) -> list[str]:
    """The answers to 20 calls a second, eight of them at once."""
    until = time.monotonic() + seconds

    def call(http: httpx.Client) -> list[str]:
        answers = list[str]()
        while time.monotonic() < until:
            answers.append(http.post(url, json=body, headers=headers).text)
            time.sleep(0.4)
        return answers

    cheap = httpx.Client(timeout=60, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with cheap as http, ThreadPoolExecutor(8) as threads:
        return [answer for answers in threads.map(call, [http] * 8) for answer in answers]


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
