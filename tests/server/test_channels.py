"""The two channels of an answer: some hosts show their model the one, some the other, some both."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sutro_mcp.emulator import Emulator
from sutro_mcp.settings import Settings
from tests.support import Talk, records, talk, text_of
from tests.tries import some_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

T = TypeVar("T")

# The newest jobs are of one month.
_NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def _size(answer: dict[str, Any] | None) -> int:
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


async def _larger(chat: Talk, tool: str, calls: Iterable[dict[str, Any]]) -> list[tuple[int, int, str]]:
    """The answers whose structured part is larger than their text; the test fails when a call does."""
    sizes: list[tuple[int, int, str]] = []
    for arguments in calls:
        result = await chat.result(tool, **arguments)
        assert not result.is_error, text_of(result)
        sizes.append((_size(result.structured_content), len(text_of(result)), str(arguments)))
    return [each for each in sizes if each[0] > each[1]]


def _evenly(items: Sequence[T], most: int) -> Sequence[T]:
    return items[:: max(len(items) // most, 1)]


@pytest.mark.parametrize(
    "tool", ["list_jobs", "summarize_jobs", "get_job", "get_job_status", "wait_for_job", "cancel_job"]
)
async def test_the_structured_part_is_the_smaller_one(tool: str) -> None:
    """The default answer over all jobs of the demo, or over each."""
    emulator = Emulator(now=lambda: _NOW)
    calls: list[dict[str, Any]] = [{"job_id": job.job_id} for job in emulator.account.all()]
    if tool == "wait_for_job":
        calls = [call | {"timeout_seconds": 1} for call in calls]
    async with talk(emulator) as chat:
        assert await _larger(chat, tool, calls if tool not in ("list_jobs", "summarize_jobs") else [{}]) == []


@pytest.mark.parametrize("tool", ["get_job_results", "compare_job_results", "query_job_results"])
async def test_the_structured_part_of_results_is_the_smaller_one(tool: str) -> None:
    """The default answer over each job of the demo that has results, and each compared with a later one."""
    emulator = Emulator(now=lambda: _NOW)
    done = [job for job in reversed(emulator.account.all()) if job.status == "SUCCEEDED" and not job.dry_run]
    # The results of the oldest are kept no longer.
    jobs = [job.job_id for job in done[1:]]
    assert len(jobs) == 37
    calls: list[dict[str, Any]] = [{"job_id": job_id} for job_id in jobs]
    if tool == "compare_job_results":
        calls = [{"job_id": job_id, "other_job_id": later} for job_id, later in pairwise(jobs)]
    if tool == "query_job_results":
        calls = [call | {"sql": "SELECT min(row) AS least, max(row) AS most FROM results"} for call in calls]
    async with talk(emulator) as chat:
        assert await _larger(chat, tool, _evenly(calls, some_of(len(calls), least=5))) == []


async def test_twenty_jobs_are_a_short_answer() -> None:
    """Within 2,700 characters in each channel, not counted why jobs failed."""
    async with talk(Emulator(now=lambda: _NOW)) as chat:
        result = await chat.result("list_jobs")
    assert result.structured_content is not None
    jobs = records(result.structured_content["jobs"])
    failures = sum(len(job.get("failure") or "") for job in jobs)
    assert len(jobs) == 20
    assert _size(result.structured_content) - failures <= 2_700
    assert len(text_of(result)) - failures <= 2_700


async def test_superlatives_are_answered_by_one_small_call(chat: Talk) -> None:
    """Under 600 tokens, of which one has at least three characters here."""
    for arguments, first in (
        ({"status": ["SUCCEEDED"], "sort": "runtime", "limit": 1}, "product-review-sentiment,gemma"),
        ({"status": ["FAILED"], "sort": "cost", "limit": 1}, "nightly-email-classify,gemma"),
        ({"status": ["RUNNING"]}, "5000,RUNNING,2059"),
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
