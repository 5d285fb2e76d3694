"""The demo's account for one question, and what it was asked to do."""

import re
from typing import Any, cast

from evals.checks import Question
from sutro_mcp.emulator import Emulator


def prepare(emulator: Emulator, question: Question) -> list[tuple[str, dict[str, Any]]]:
    """Add the question's own job; the right calls, with ids for names."""
    if question.job:
        emulator.add_job(**question.job)

    def with_ids(value: Any) -> Any:
        if isinstance(value, list):
            return [with_ids(one) for one in cast("list[Any]", value)]
        if isinstance(value, str):
            return re.sub(r"\$([a-z][\w-]+)", lambda name: emulator.find(name[1]), value)
        return value

    return [
        (call["tool"], {name: with_ids(value) for name, value in call.items() if name != "tool"})
        for call in question.calls
    ]


def cancelled(emulator: Emulator) -> list[str]:
    """The names of the jobs that the emulator was asked to cancel, whatever became of it."""
    ids = [seen.path.rpartition("/")[2] for seen in emulator.requests if "/job-cancel/" in seen.path]
    return [emulator.job(job_id).name or job_id for job_id in ids]
