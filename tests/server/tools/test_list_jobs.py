"""Finding jobs: what a list shows, and which jobs the filters leave in it."""

from datetime import UTC, datetime

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator, Fault
from tests.support import Era, Talk, records, talk

from .accounts import three_jobs

pytestmark = pytest.mark.anyio


async def test_a_list_shows_its_jobs_newest_first_in_both_channels(era: Era) -> None:
    """Totals and how to go on come first; what others wrote is fenced."""
    async with talk(three_jobs(), era) as chat:
        assert await chat.text("list_jobs") == snapshot("""\
3 jobs, newest first. Times to the minute; blank is unknown. Run time is without queueing. done: rows done so far. Sutro tells the cost when a job has ended.
<data>
job_id,name,model,created (2026-03-dd UTC),num_rows,runtime_seconds,cost_usd,status (blank: SUCCEEDED),done,failure
job-a,"Labels, first",m,01T12:00,2,60,0.000012,,,
job-b,Nightly run,m,01T12:00,1200,,,RUNNING,600,
job-c,,m,01T12:00,1,50,0,FAILED,,x
</data>\
""")
        text = await chat.text("list_jobs", limit=1, search="nightly")
        assert text.startswith("1 job, newest first. 3 looked at.")


async def test_twenty_jobs_are_listed_by_default(chat: Talk) -> None:
    """With one request, and a cursor for the rest."""
    answer = await chat.call("list_jobs")
    newest = [job.job_id for job in chat.emulator.account.all()][:20]
    assert [job["job_id"] for job in records(answer["jobs"])] == newest
    assert answer["total"] == 52
    assert answer["next_cursor"]
    # What runs is looked at beside it.
    assert sorted(path.split("/")[1] for path in chat.paths()) == ["list-jobs", *["stream-job-progress"] * 3]


async def test_an_account_without_jobs_is_an_empty_list(era: Era) -> None:
    """Not an error, and no fence around nothing."""
    async with talk(Emulator(seed_jobs=False), era) as chat:
        assert await chat.text("list_jobs") == "0 jobs, newest first. None matches."


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"status": ["FAILED"], "search": "pii"}, ["pii-redaction-pilot"]),
        ({"status": "failed, Cancelled", "search": "dedupe-v2"}, ["crm-dedupe-v2"]),
        ({"status": '["QUEUED"]'}, ["legal-clause-tagging"]),
        ({"status": "pending"}, ["legal-clause-tagging"]),
        ({"search": "LEGAL-clause"}, ["legal-clause-tagging"]),
        ({"model": "qwen-3-embedding-0.6b"}, ["catalogue-embeddings"]),
        ({"created_after": "1h"}, ["legal-clause-tagging", "quarterly-nps-coding", "catalogue-copy-refresh"]),
        ({"created_before": "80d"}, ["old-survey-coding"]),
    ],
)
async def test_filters_narrow_the_list(chat: Talk, filters: dict[str, object], names: list[str]) -> None:
    """Words in any case, lists as text, ages and texts."""
    assert [job["name"] for job in records((await chat.call("list_jobs", **filters))["jobs"])] == names


@pytest.mark.parametrize("written", ["Köln, Straße", "ko\u0308ln, strasse"])
async def test_a_name_with_accents_is_found_however_it_is_composed(chat: Talk, written: str) -> None:
    """One keyboard composes them, another does not."""
    names = ["Köln, Straße", "Ko\u0308ln, Strasse"]
    ids = [chat.emulator.add_job(name=name) for name in names]
    found = records((await chat.call("list_jobs", search=written))["jobs"])
    assert sorted(job["job_id"] for job in found) == sorted(ids)


async def test_what_sutro_has_not_told_is_not_zero_or_silence() -> None:
    """A failure without a reason, a cost estimate, a job without a name."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", status="FAILED", failure_reason=None, job_cost=None, name="x")
    emulator.add_job(job_id="job-2", dry_run=True, cost_estimate=0.5)
    emulator.add_job(job_id="job-3", status="QUEUED", name="y")
    async with talk(emulator) as other:
        text = await other.text("list_jobs")
        assert "Sutro recorded no reason." in text
        assert "A job with an estimate (USD) is a cost estimate: it has no results." in text
        unnamed = records((await other.call("list_jobs", unnamed=True))["jobs"])
        assert [(job["job_id"], job["estimate"]) for job in unnamed] == [("job-2", 0.5)]
        for tool in ("get_job", "get_job_status", "wait_for_job"):
            assert "failure: Sutro recorded no reason." in await other.text(tool, job_id="job-1")
        queued = await other.text("get_job", job_id="job-3")
        assert "not told by Sutro: input_tokens, output_tokens" in queued
        assert "progress: Sutro tells the cost when a job has ended." in queued


async def test_figures_that_cannot_be_read_are_not_said_to_be_missing() -> None:
    """No guess at what they may mean either."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", status="SUCCEEDED", outputs=["x"], job_cost="1,25", num_rows="1_000")
    async with talk(emulator) as other:
        text = await other.text("get_job", job_id="job-1")
        assert "cost: Sutro gives a cost that cannot be read." in text
        assert "not told by Sutro: num_rows (given, but not readable)" in text
        assert "1 whose cost cannot be read" in await other.text("summarize_jobs")


@pytest.mark.parametrize(
    ("filters", "refusal"),
    [
        ({"created_after": "6d12h"}, "it is neither an ISO time nor an age"),
        ({"created_after": "7d", "created_before": "8d"}, "created_after is not before created_before"),
    ],
)
async def test_times_that_filter_nothing_are_refused(
    chat: Talk, filters: dict[str, object], refusal: str
) -> None:
    """Rather than answered with nothing."""
    assert refusal in await chat.refusal("list_jobs", **filters)
    assert chat.paths() == []


async def test_times_are_read_with_and_without_a_zone(chat: Talk) -> None:
    """To the hour that is meant."""
    early = chat.emulator.add_job(status="FAILED", created=datetime(2025, 5, 1, 12, tzinfo=UTC))
    for start, end in (("2025-05-01", "2025-05-02"), ("2025-05-01T14:00:00+02:00", "2025-05-01T12:00:01Z")):
        answer = await chat.call("list_jobs", created_after=start, created_before=end)
        assert [job["job_id"] for job in records(answer["jobs"])] == [early]


async def test_a_refused_first_page_is_reported_as_such() -> None:
    """A 400 without a cursor of ours is not about cursors."""
    emulator = Emulator()
    emulator.faults.add(Fault.json(400, "limit is odd"), path="/list-jobs", times=1)
    async with talk(emulator) as chat:
        assert "limit is odd" in await chat.refusal("list_jobs")
