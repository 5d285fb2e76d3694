"""The two channels of an answer: some hosts show their model the one, some the other, some both."""

import json
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.emulator import Emulator
from sutro_mcp.settings import Settings
from tests.support import Talk, talk, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

_OF_A_JOB = ("get_job", "get_job_status", "wait_for_job", "cancel_job")


def _size(answer: dict[str, Any] | None) -> int:
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


async def _compared(chat: Talk, tool: str, **arguments: Any) -> tuple[int, int]:
    result = await chat.result(tool, **arguments)
    assert not result.is_error, text_of(result)
    return _size(result.structured_content), len(text_of(result))


async def test_the_structured_part_is_the_smaller_one() -> None:
    """Every default answer over every job of the demo."""
    emulator = Emulator()
    async with talk(emulator) as chat:
        sizes = {tool: [await _compared(chat, tool)] for tool in ("list_jobs", "summarize_jobs")}
        for tool in _OF_A_JOB:
            sizes[tool] = []
            for job in emulator.account.all():
                wait = {"timeout_seconds": 1} if tool == "wait_for_job" else {}
                sizes[tool].append(await _compared(chat, tool, job_id=job.job_id, **wait))
        job_id = emulator.find("support-ticket-triage")
        sizes["get_job_results"] = [await _compared(chat, "get_job_results", job_id=job_id, view="rows")]
        sql = "SELECT label, count(*) AS n FROM results GROUP BY ALL"
        sizes["query_job_results"] = [await _compared(chat, "query_job_results", job_id=job_id, sql=sql)]
    larger = {tool: [pair for pair in pairs if pair[0] > pair[1]] for tool, pairs in sizes.items()}
    assert not any(larger.values()), larger


async def test_superlatives_are_answered_by_one_small_call(chat: Talk) -> None:
    """Under 600 tokens, of which one has at least three characters here."""
    for arguments, first in (
        ({"status": ["SUCCEEDED"], "sort": "runtime", "limit": 1}, "product-review-sentiment,SUCCEEDED"),
        ({"status": ["FAILED"], "sort": "cost", "limit": 1}, "nightly-email-classify,FAILED"),
        ({"status": ["RUNNING"]}, "5000,2059"),
    ):
        result = await chat.result("list_jobs", **arguments)
        assert result.structured_content is not None
        assert max(_size(result.structured_content), len(text_of(result))) < 1_800
        assert first in text_of(result)


@pytest.mark.parametrize("output", ["text", "structured"])
async def test_one_channel_is_enough_where_the_operator_says_so(output: Any, tmp_path: Path) -> None:
    """`text` publishes no schema of answers; `structured` leaves one line of text."""
    emulator = Emulator()
    async with talk(emulator, settings=Settings(output=output, export_dir=tmp_path / "x")) as chat:
        tools = (await chat.client.list_tools()).tools
        assert {tool.output_schema is None for tool in tools} == {output == "text"}
        result = await chat.result("list_jobs")
        refused = await chat.result("get_job", job_id="no/id")
    assert (result.structured_content is None) is (output == "text")
    assert ("\n" in text_of(result)) is (output == "text")
    assert text_of(result).startswith("20 of 52 jobs, newest first.")
    assert refused.is_error
    assert "Cannot use this job id" in text_of(refused)
