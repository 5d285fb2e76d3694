"""`scripts/fuzz`: what the tests generate, for as long as one likes, with other seeds."""

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
import stamina

from sutro_mcp.redaction import guard_process
from tests.faults.artifacts import run_artifacts
from tests.faults.http_messages import run_http_messages
from tests.faults.ids import run_ids
from tests.faults.messages import run_messages
from tests.faults.schedules import run_schedules

Round = Callable[[int, "Counter[str]"], Awaitable[list[str]]]


async def _messages(seed: int, counts: "Counter[str]") -> list[str]:
    problems: list[str] = []
    for era in ("auto", "legacy"):
        tally = await run_messages(seed, 10_000, era)
        counts["messages"] += tally.lines
        counts["requests answered"] += tally.answered
        problems += [f"answered twice: {request_id}" for request_id in tally.twice]
        http = await run_http_messages(seed, 1_000, era)
        counts["messages"] += http.sent
        counts["requests answered"] += http.answered
        counts["requests sent again"] += http.repeated
        problems += http.wrong
    return problems


async def _ids(seed: int, counts: "Counter[str]") -> list[str]:
    counts["bad job ids"] += 2_500
    return await run_ids(seed, 2_500)


async def _schedules(seed: int, counts: "Counter[str]") -> list[str]:
    with stamina.set_testing(True, attempts=4, cap=True):
        tally = await run_schedules(seed, 125)
    counts["fault schedules"] += 125
    counts["right answers"] += tally.right
    counts["explicit errors"] += tally.failed
    return tally.wrong


async def _artifacts(seed: int, counts: "Counter[str]") -> list[str]:
    tally = await run_artifacts(seed, 500)
    counts["changed artifacts"] += 500
    counts["artifacts read"] += tally.read
    counts["artifacts refused"] += tally.refused
    counts["workers ended"] += tally.deaths
    return tally.wrong


ROUNDS: tuple[Round, ...] = (_messages, _ids, _schedules, _artifacts)


async def fuzz(minutes: float, seed: int) -> int:
    """Round after round until the time is up; 1 if anything went wrong."""
    end = time.monotonic() + minutes * 60
    counts: Counter[str] = Counter()
    problems: list[str] = []
    first = seed
    while time.monotonic() < end or seed == first:
        for round_ in ROUNDS:
            try:
                found = await round_(seed, counts)
            except Exception:
                found = [f"crash or hang:\n{traceback.format_exc()}"]
            problems += [f"{round_.__name__.strip('_')}, seed {seed}: {text}" for text in found]
        seed += 1
        print(_line(counts), flush=True)
    print(f"seeds {first} to {seed - 1}; problems: {len(problems)}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def _line(counts: "Counter[str]") -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    guard_process("ERROR")  # each retry would be a line otherwise
    return anyio.run(fuzz, options.minutes, options.seed)


if __name__ == "__main__":
    raise SystemExit(main())
