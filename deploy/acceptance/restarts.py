"""Replicas that end: told to, one after the other, and killed. Then how long one takes to come up."""

import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
from mcp import types

from .callers import ERAS, Tally, calling, keep_calling, under_load
from .stack import Balancer, Team, haproxy, nginx, team
from .table import Row

_JOB = "support-ticket-triage"
_CALLERS_OF_AN_ERA = 3


@asynccontextmanager
async def _team_of_one_person(
    folder: Path, balancer: Balancer = haproxy
) -> AsyncGenerator[tuple[Team, str, str]]:
    """A team, a token, and the id of a job that has ended."""
    async with team(folder, balancer=balancer) as served:
        account = served.sutro.add("key-of-ana")
        yield served, served.access.add("ana", "key-of-ana"), account.find(_JOB)


async def rolling(folder: Path) -> list[Row]:
    """D2: both replicas are restarted under load, the next one when the last is ready."""
    return [await _rolling(folder / name, name, by) for name, by in (("HAProxy", haproxy), ("nginx", nginx))]


async def _rolling(folder: Path, name: str, balancer: Balancer) -> Row:
    tallies = {era: Tally() for era in ERAS}
    async with _team_of_one_person(folder, balancer) as (served, token, job_id):
        await anyio.sleep(5)  # the balancer has seen them
        open_job = served.sutro.accounts["key-of-ana"].find("legal-clause-tagging")
        callers = [
            partial(_status_calls, served.url, token, mode, job_id, tallies[era])
            for era, mode in ERAS.items()
            for _ in range(_CALLERS_OF_AN_ERA)
        ]

        async def restart_all() -> None:
            asked, restarted = anyio.Event(), anyio.Event()

            async def person(*_: object) -> types.ElicitResult:
                asked.set()
                await restarted.wait()
                return types.ElicitResult(action="accept", content={"confirm": True})

            async def cancel() -> None:
                async with calling(served.url, token, "auto", elicitation_callback=person) as client:
                    await client.call_tool("cancel_job", {"job_id": open_job})

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                with anyio.fail_after(30):
                    await asked.wait()
                for replica in served.replicas:
                    await replica.stop()
                    replica.start()
                    await replica.until_ready()
                    await anyio.sleep(3)  # as an orchestrator lets the balancer see it
                restarted.set()

        await under_load(callers, restart_all)
        status = served.sutro.accounts["key-of-ana"].job(open_job).status
    failed = {era: len(tally.failures) for era, tally in tallies.items()}
    calls = {era: len(tally.seconds) + failed[era] for era, tally in tallies.items()}
    found = ", ".join(f"{failed[era]} of {calls[era]} calls of {era} failed" for era in ERAS)
    reasons = sorted({reason for tally in tallies.values() for reason in tally.failures})[:3]
    found += f"; the job whose person was asked before is {status}" + "".join(f"; {one}" for one in reasons)
    holds = not any(failed.values()) and status in ("CANCELLING", "CANCELLED")
    wanted = "0 failed; a cancellation begun before ends after"
    return Row("D2", f"rolling restart behind {name}, 6 clients", wanted, found, holds)


async def killed(folder: Path) -> list[Row]:
    """D3: one of two replicas dies under the calls of six clients."""
    tallies = [Tally() for _ in range(6)]
    async with _team_of_one_person(folder) as (served, token, job_id):
        await anyio.sleep(5)
        modes = list(ERAS.values())
        callers = [
            partial(_status_calls, served.url, token, modes[number % 2], job_id, tally)
            for number, tally in enumerate(tallies)
        ]
        back = 0.0

        async def kill_one() -> None:
            nonlocal back
            await anyio.sleep(3)
            await served.replicas[0].stop(signal.SIGKILL)
            killed_at = time.monotonic()
            before = [len(tally.seconds) for tally in tallies]
            while any(len(tally.seconds) <= old + 1 for tally, old in zip(tallies, before, strict=True)):
                await anyio.sleep(0.01)
            back = time.monotonic() - killed_at
            await anyio.sleep(5)

        await under_load(callers, kill_one)
    failed = sum(len(tally.failures) for tally in tallies)
    most = max(len(tally.failures) for tally in tallies)
    found = f"{failed} calls failed, at most {most} of a client; each client was answered {back:.1f} s later"
    return [
        Row("D3", "`kill -9` one of two, 6 clients", "≤ 1 a client, < 3 s", found, most <= 1 and back < 3)
    ]


async def started(folder: Path) -> list[Row]:
    """D16: the seconds from start to ready, of one replica alone."""
    seconds: list[float] = []
    async with team(folder, count=1) as served:
        (replica,) = served.replicas
        for _ in range(3):
            await replica.stop(signal.SIGKILL)
            replica.start()
            seconds.append(await replica.until_ready())
    median = sorted(seconds)[1]
    return [Row("D16", "start to ready", "≤ 6 s", f"{median:.1f} s, median of 3", median <= 6)]


async def _status_calls(
    url: str, token: str, mode: str, job_id: str, tally: Tally, until: anyio.Event
) -> None:
    await keep_calling(url, token, mode, "get_job_status", {"job_id": job_id}, tally, until)
