"""`scripts/soak`: servers under mixed calls, faults and cancellations, and what they hold over time.

Clients leave in the middle of calls, too. One server is spoken to over stdio and one over HTTP, in both eras.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from sutro_mcp.emulator import DEMO_KEY, Emulator, Fault, serve_in_thread
from tests.e2e.http_process import HttpProcess, http_process, legacy, modern, result_of
from tests.e2e.process import Server, server_process

FAULTS = (
    *(Fault.json(status, "no") for status in (404, 409, 500)),
    *(
        Fault.html(502),
        Fault.dropped(after=20),
        Fault.truncated(after=20),
        Fault.raw(b"null"),
        Fault.expired(),
    ),
)
_MB = 2**20
_SLOPE_LIMIT = 1.0  # MB per hour, after a sixth of the time
_ALLOWED_CHANGE = 2


@dataclass(frozen=True)
class Sample:
    """What a process holds."""

    hours: float
    rss: int
    descriptors: int
    threads: int
    children: int

    @classmethod
    def of(cls, pid: int, hours: float) -> "Sample":
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        return cls(
            hours,
            int(status["VmRSS"].split()[0]) * 1024,
            len([*Path(f"/proc/{pid}/fd").iterdir()]),
            int(status["Threads"]),
            len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()),
        )


Samples = dict[str, list[Sample]]


@dataclass
class Load:
    """Both servers, what is done to them, and how often."""

    emulator: Emulator
    stdio: Server
    web: HttpProcess
    session: str
    dice: random.Random
    counts: "Counter[str]"
    sent: int = 0

    async def one(self) -> None:
        """One call, or one that its caller gives up."""
        if self.dice.random() < 0.05:
            self.emulator.faults.add(self.dice.choice(FAULTS))
            self.counts["faults"] += 1
        if self.dice.random() < 0.01:
            await self._cancel()
            return
        if self.dice.random() < 0.01:
            await self._hang_up()
            return
        tool, arguments = _call(self.emulator, self.dice)
        params = {"name": tool, "arguments": arguments}
        reply = await (
            self.stdio.ask("tools/call", params) if self.dice.random() < 0.5 else self._post(params)
        )
        self.counts["calls"] += 1
        if "result" not in reply:
            self.counts["no answer"] += 1
        elif reply["result"].get("isError"):
            self.counts["explicit errors"] += 1
        self.emulator.faults.clear()

    async def _cancel(self) -> None:
        number = await self.stdio.send("tools/call", self._wait())
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": number}}
        await self.stdio.send_line(json.dumps({"jsonrpc": "2.0", **cancelled}))
        self.counts["cancelled"] += 1

    async def _hang_up(self) -> None:
        with anyio.move_on_after(self.dice.random() / 10):
            await self._post(self._wait())
        self.counts["clients that left"] += 1

    async def _post(self, params: dict[str, Any]) -> dict[str, Any]:
        is_modern = self.dice.random() < 0.5
        call = modern("tools/call", params) if is_modern else legacy("tools/call", params, self.session)
        self.sent += 1
        call["json"]["id"] = self.sent
        reply = await self.web.client.post(self.web.url, **call)
        return {"result": result_of(reply)} if reply.status_code == 200 else {}

    def _wait(self) -> dict[str, Any]:
        job_id = self.emulator.find("catalogue-copy-refresh")
        return {"name": "wait_for_job", "arguments": {"job_id": job_id, "timeout_seconds": 300}}


async def soak(minutes: float, seed: int) -> int:
    """Load for so long; 1 if something grows, or an answer is none."""
    counts: Counter[str] = Counter()
    samples: Samples = {"stdio": [], "http": []}
    with serve_in_thread() as emulator:
        env = {**os.environ, "SUTRO_API_URL": emulator.api_origin, "SUTRO_API_KEY": DEMO_KEY}
        async with server_process(env=env) as stdio, http_process(env=env) as web:
            await stdio.handshake()
            load = Load(emulator, stdio, web, await web.open_session(), random.Random(seed), counts)
            began = time.monotonic()
            while (elapsed := time.monotonic() - began) < minutes * 60 or len(samples["http"]) < 4:
                for _ in range(20):
                    await load.one()
                emulator.requests.clear()
                samples["stdio"].append(Sample.of(stdio.process.pid, elapsed / 3600))
                samples["http"].append(Sample.of(web.process.pid, elapsed / 3600))
            await stdio.close_stdin()
            code = await stdio.exit_code()
    return _report(samples, counts, code)


def _call(emulator: Emulator, dice: random.Random) -> tuple[str, dict[str, Any]]:
    job_id = emulator.find(dice.choice(("haiku-smoke-test", "support-ticket-triage")))
    return dice.choice(
        (
            ("list_jobs", {}),
            ("summarize_jobs", {"group_by": "model"}),
            ("get_job", {"job_id": job_id}),
            ("get_job_status", {"job_id": job_id}),
            ("get_job_results", {"job_id": job_id}),
            ("get_job_results", {"job_id": job_id, "view": "rows", "offset": dice.randrange(5)}),
            ("get_job_results", {"job_id": job_id, "view": "rows", "disable_cache": dice.random() < 0.2}),
            ("get_job", {"job_id": "../job-cancel/x"}),
        )
    )


def _report(samples: Samples, counts: "Counter[str]", code: int) -> int:
    print(", ".join(f"{count:,} {what}" for what, count in counts.items()))
    problems = [f"exit code {code}"] * bool(code) + ["a call without an answer"] * bool(counts["no answer"])
    for name, found in samples.items():
        problems += [f"{name}: {problem}" for problem in _growth(name, found)]
    print("problems:", "; ".join(problems) or "none")
    return int(bool(problems))


def _growth(name: str, samples: Sequence[Sample]) -> list[str]:
    """What a server holds more of, after a sixth of the time."""
    steady = samples[len(samples) // 6 :]
    slope = statistics.linear_regression([s.hours for s in steady], [s.rss / _MB for s in steady]).slope
    first, last = steady[0], steady[-1]
    print(f"{name} memory: {first.rss / _MB:.1f} MB to {last.rss / _MB:.1f} MB, {slope:+.2f} MB per hour")
    problems: list[str] = []
    for what in ("descriptors", "threads", "children"):
        before, after = getattr(first, what), getattr(last, what)
        print(f"{name} {what}: {before} to {after}")
        if abs(after - before) > _ALLOWED_CHANGE:
            problems.append(f"{what} changed")
    # Within minutes noise is larger than any slope.
    if last.hours > 0.4 and slope > _SLOPE_LIMIT:
        problems.append("memory grows")
    return problems


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("it looks at processes in /proc, which only Linux has")
    return anyio.run(soak, options.minutes, options.seed)


if __name__ == "__main__":
    raise SystemExit(main())
