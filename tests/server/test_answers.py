"""Answers stay within their budgets, whatever a deployment sends."""

import json
from typing import Any

import pytest

from sutro_mcp.emulator import Emulator
from tests.support import talk, text_of

pytestmark = pytest.mark.anyio

QUOTES = '"' * 400
LONG = "n" * 80_000


async def test_texts_that_grow_when_written_as_json_stay_within_the_budgets() -> None:
    """A list by default, a full list, groups, a job, and a preview."""
    emulator = Emulator(seed_jobs=False)
    texts: dict[str, Any] = {"name": QUOTES, "model": QUOTES, "description": LONG, "dataset_id": LONG}
    for n in range(120):
        emulator.add_job(
            status="FAILED", failure_reason={"message": QUOTES}, **texts | {"model": f"{n}{QUOTES}"}
        )
    running = emulator.add_job(status="RUNNING", **texts | {"name": LONG, "model": LONG})
    async with talk(emulator) as chat:
        for tool, arguments, most in (
            ("list_jobs", {}, 10_000),
            ("list_jobs", {"limit": 100}, 60_000),
            ("summarize_jobs", {"group_by": "model"}, 10_000),
            ("get_job", {"job_id": running}, 10_000),
            ("get_job", {"job_id": running, "full": True}, 60_000),
            ("cancel_job", {"job_id": running}, 10_000),
        ):
            result = await chat.result(tool, **arguments)
            assert len(json.dumps(result.structured_content, ensure_ascii=False)) < most, tool
            assert len(text_of(result)) < most, tool
