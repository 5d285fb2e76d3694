"""Counting jobs and what they cost."""

from datetime import UTC, datetime, timedelta

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator
from tests.support import Era, Talk, records, talk

from .accounts import three_jobs

pytestmark = pytest.mark.anyio


async def test_groups_and_their_total_come_in_both_channels(era: Era) -> None:
    """With what the figures cover."""
    async with talk(three_jobs(), era) as chat:
        assert await chat.text("summarize_jobs") == snapshot("""\
3 jobs by status. From 2026-03-01T12:00 to 2026-03-01T12:00 (UTC). Jobs without a cost: 1 not ended (Sutro tells the cost when a job has ended). Rows, tokens and cost are sums over the jobs that report them; blank is unknown.
<data>
group,jobs,failed,rows,input_tokens,output_tokens,cost_usd,no_cost
FAILED,1,1,1,0,0,0,
RUNNING,1,0,1200,2395,24000,,1
SUCCEEDED,1,0,2,6,2,0.000012,
total,3,1,1203,2401,24002,0.000012,1
</data>\
""")


@pytest.mark.parametrize("group_by", ["status", "model", "day", "priority"])
async def test_groups_add_up_to_the_total(chat: Talk, group_by: str) -> None:
    """Jobs, rows, tokens, cost and failures."""
    answer = await chat.call("summarize_jobs", group_by=group_by)
    assert "incomplete" not in answer
    groups = records(answer["groups"])
    for name in ("jobs", "rows", "input_tokens", "output_tokens", "failed"):
        assert sum(group[name] or 0 for group in groups) == answer["total"][name]
    assert answer["no_cost"] == {"not_ended": 6, "cost_estimate": 2}
    assert sum(group.get("no_cost") or 0 for group in groups) == 8
    total = sum(group.get("cost_usd") or 0 for group in groups)
    assert total == pytest.approx(answer["total"]["cost_usd"], abs=1e-5)
    assert answer["total"]["jobs"] == 52


async def test_a_summary_looks_only_as_far_back_as_the_dates_ask(chat: Talk) -> None:
    """The list is from new to old, so it stops early."""
    answer = await chat.call("summarize_jobs", created_after="7d", status=["FAILED"])
    assert answer["looked_at"] < 52
    assert answer["total"]["jobs"] == answer["total"]["failed"] > 0


async def test_days_are_shown_newest_first_and_at_most_forty() -> None:
    """The rest stays in the total, and the answer says so."""
    emulator = Emulator(seed_jobs=False)
    day = datetime(2025, 1, 1, tzinfo=UTC)
    for count, words in ((41, "1 smaller group is only in"), (43, "3 smaller groups are only in")):
        while len(emulator.account) < count:
            emulator.add_job(status="FAILED", created=day + timedelta(days=len(emulator.account)))
        async with talk(emulator) as chat:
            answer = await chat.call("summarize_jobs", group_by="day")
            text = await chat.text("summarize_jobs", group_by="day")
        days = [group["group"] for group in records(answer["groups"])]
        assert days == sorted(days, reverse=True)
        assert (len(days), answer["groups_left_out"]) == (40, count - 40)
        assert f"{words} the total." in text


async def test_a_summary_of_too_many_jobs_says_that_it_is_incomplete() -> None:
    """Ten thousand are looked at."""
    emulator = Emulator(seed_jobs=False)
    for _ in range(10_001):
        emulator.add_job(status="FAILED")
    async with talk(emulator) as chat:
        text = await chat.text("summarize_jobs")
        assert (await chat.call("summarize_jobs"))["incomplete"] is True
    assert text.startswith("10,000 jobs by status. From")
    assert "Incomplete: older jobs were not looked at" in text
