"""Calls in random order, each with up to three faults in its way, held against what is true.

Seeded: the same seed makes the same calls and the same faults.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any

import anyio

from tests.support import Talk, text_of

from .cases import CASES, Case
from .upstream import API, STORE, Upstream, conversation, faulty_upstream, json_body

# Those that take long are tested once; a thousand times would tell no more.
_FAST = [case for name, case in CASES.items() if not {"bomb", "endless", "200"} & set(name.split())]
_OTHER_JOB = "job-99999999-2222-4333-8444-555555555555"
_LIES = [
    Case(json_body(lambda reply: reply | {"job_status": {_OTHER_JOB: "FAILED"}}), "another job"),
    Case(json_body(lambda reply: reply | {"job": {"job_id": _OTHER_JOB}}), "another job"),
    Case(json_body(lambda reply: reply | {"job_id": _OTHER_JOB}), "another job"),
    Case(json_body(lambda reply: reply | {"jobs": 7}), "no list"),
]
_PATHS = (API, STORE, "job-status", "/jobs/", "results-url", "list-jobs")
_CALL_SECONDS = 60


@dataclass
class Tally:
    """The outcome of the calls."""

    right: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list[str])
    """Seed, call and answer of those that were neither."""


async def run_schedules(seed: int, count: int) -> Tally:
    """`count` calls; a call that hangs raises TimeoutError."""
    dice = random.Random(seed)
    tally = Tally()
    async with faulty_upstream(seed_jobs=False) as upstream, conversation(upstream) as chat:
        calls = _calls(upstream)
        truth = [(await chat.result(tool, **arguments)).structured_content for tool, arguments in calls]
        for number in range(count):
            for _ in range(dice.randint(0, 3)):
                case = dice.choice(_FAST if dice.random() < 0.9 else _LIES)
                upstream.add(case.fault, dice.choice(_PATHS), dice.randint(1, 5))
            at = dice.randrange(len(calls))
            await _one(chat, calls[at], truth[at], f"seed {seed}, call {number}", tally)
            upstream.faults.clear()
    return tally


def _calls(upstream: Upstream) -> list[tuple[str, dict[str, Any]]]:
    emulator = upstream.emulator
    first, second = (
        emulator.add_job(status="SUCCEEDED", outputs=[f"{name}{n}" for n in range(30)], name=name)
        for name in ("first", "second")
    )
    failed = emulator.add_job(status="FAILED", failure_reason={"message": "out of memory"})
    rows = {"view": "rows", "disable_cache": True}
    return [
        ("list_jobs", {}),
        ("list_jobs", {"limit": 1}),
        ("summarize_jobs", {}),
        *(("get_job", {"job_id": job_id}) for job_id in (first, failed)),
        *(("get_job_status", {"job_id": job_id}) for job_id in (first, second, failed)),
        ("get_job_results", {"job_id": first, **rows}),
        ("get_job_results", {"job_id": second, "limit": 7, "offset": 20, **rows}),
    ]


async def _one(
    chat: Talk, call: tuple[str, dict[str, Any]], truth: dict[str, Any] | None, where: str, tally: Tally
) -> None:
    tool, arguments = call
    with anyio.fail_after(_CALL_SECONDS):
        result = await chat.result(tool, **arguments)
    answer: dict[str, Any] = result.structured_content or {}
    unknown = answer.get("status") == "UNKNOWN"
    if result.is_error and result.structured_content is None and text_of(result).startswith("Cannot "):
        tally.failed += 1
    elif not result.is_error and (result.structured_content == truth or unknown):
        # The deployment's own word for not knowing is an answer, too.
        tally.right += 1
    else:
        tally.wrong.append(f"{where}: {tool} {arguments} {json.dumps(result.structured_content)[:300]}")
