"""`scripts/soak`: a server under mixed calls, faults and cancellations, and what it holds over time."""

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


async def soak(minutes: float, seed: int) -> int:
    """Load for so long; 1 if something grows, or an answer is none."""
    dice = random.Random(seed)
    counts: Counter[str] = Counter()
    samples: list[Sample] = []
    with serve_in_thread() as emulator:
        env = {**os.environ, "SUTRO_API_URL": emulator.api_origin, "SUTRO_API_KEY": DEMO_KEY}
        async with server_process(env=env) as server:
            await server.handshake()
            began = time.monotonic()
            while (elapsed := time.monotonic() - began) < minutes * 60 or len(samples) < 4:
                for _ in range(20):
                    await _one(server, emulator, dice, counts)
                emulator.requests.clear()
                samples.append(Sample.of(server.process.pid, elapsed / 3600))
            await server.close_stdin()
            code = await server.exit_code()
    return _report(samples, counts, code)


async def _one(server: Server, emulator: Emulator, dice: random.Random, counts: "Counter[str]") -> None:
    if dice.random() < 0.05:
        emulator.faults.add(dice.choice(FAULTS))
        counts["faults"] += 1
    if dice.random() < 0.01:
        job_id = emulator.find("catalogue-copy-refresh")
        number = await server.send(
            "tools/call", {"name": "wait_for_job", "arguments": {"job_id": job_id, "timeout_seconds": 300}}
        )
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": number}}
        await server.send_line(json.dumps({"jsonrpc": "2.0", **cancelled}))
        counts["cancelled"] += 1
        return
    tool, arguments = _call(emulator, dice)
    reply = await server.ask("tools/call", {"name": tool, "arguments": arguments})
    counts["calls"] += 1
    if "result" not in reply:
        counts["no answer"] += 1
    elif reply["result"].get("isError"):
        counts["explicit errors"] += 1
    emulator.faults.clear()


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


def _report(samples: Sequence[Sample], counts: "Counter[str]", code: int) -> int:
    steady = samples[len(samples) // 6 :]
    slope = statistics.linear_regression([s.hours for s in steady], [s.rss / _MB for s in steady]).slope
    first, last = steady[0], steady[-1]
    print(", ".join(f"{count:,} {what}" for what, count in counts.items()))
    print(f"memory: {first.rss / _MB:.1f} MB to {last.rss / _MB:.1f} MB, {slope:+.2f} MB per hour")
    problems = [f"exit code {code}"] * bool(code) + ["a call without an answer"] * bool(counts["no answer"])
    for name in ("descriptors", "threads", "children"):
        before, after = getattr(first, name), getattr(last, name)
        print(f"{name}: {before} to {after}")
        if abs(after - before) > _ALLOWED_CHANGE:
            problems.append(f"{name} changed")
    # Within minutes noise is larger than any slope.
    if last.hours > 0.4 and slope > _SLOPE_LIMIT:
        problems.append("memory grows")
    print("problems:", "; ".join(problems) or "none")
    return int(bool(problems))


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
