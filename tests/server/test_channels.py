"""The two channels of an answer: some hosts show their model the one, some the other, some both."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.emulator import Emulator
from sutro_mcp.settings import Settings
from tests.support import Talk, records, talk, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

# The newest jobs are of one month.
_NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def _size(answer: dict[str, Any] | None) -> int:
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


async def test_the_structured_part_is_the_smaller_one() -> None:
    """Every default answer over every job of the demo; a later run of the same account is compared with each."""
    emulator = Emulator(now=lambda: _NOW)
    larger: dict[str, tuple[int, int]] = {}
    async with talk(emulator) as chat:

        async def compare(tool: str, **arguments: Any) -> bool:
            result = await chat.result(tool, **arguments)
            sizes = _size(result.structured_content), len(text_of(result))
            if sizes[0] > sizes[1] and not result.is_error:
                larger[f"{tool} {arguments}"] = sizes
            return not result.is_error

        await compare("list_jobs")
        await compare("summarize_jobs")
        job_ids = [job.job_id for job in emulator.account.all()]
        for job_id in job_ids:
            for tool in ("get_job", "get_job_status", "cancel_job"):
                assert await compare(tool, job_id=job_id)
            await compare("wait_for_job", job_id=job_id, timeout_seconds=1)
        with_results = [job_id for job_id in job_ids if await compare("get_job_results", job_id=job_id)]
        assert len(with_results) == 37
        for before, after in pairwise(reversed(with_results)):
            assert await compare("compare_job_results", job_id=before, other_job_id=after)
            sql = "SELECT count(*) AS n, max(length(inference_result::VARCHAR)) AS longest FROM results"
            assert await compare("query_job_results", job_id=after, sql=sql)
    assert larger == {}


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
