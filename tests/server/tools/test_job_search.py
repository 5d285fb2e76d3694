"""Finding jobs and following them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sutro_mcp.emulator import ApiVariant, Emulator, Fault
from tests.support import Talk, talk

pytestmark = pytest.mark.anyio


async def test_jobs_come_newest_first_with_what_a_list_needs(chat: Talk) -> None:
    """Twenty by default, a cursor for the rest, one request."""
    answer = await chat.call("list_jobs")
    assert len(answer["jobs"]) == 20
    created = [job["created"] for job in answer["jobs"]]
    assert created == sorted(created, reverse=True)
    assert answer["looked_at"] == 20
    assert answer["next_cursor"]
    done = next(job for job in answer["jobs"] if job["name"] == "support-ticket-triage")
    assert (done["status"], done["num_rows"], done["model"]) == ("SUCCEEDED", 1000, "gpt-oss-120b")
    assert done["cost_usd"] > 0
    assert done["runtime_seconds"] > 0
    assert chat.paths() == ["GET /list-jobs"]


async def test_following_the_cursor_shows_every_job_once(chat: Talk) -> None:
    """Pages joined equal the list."""
    seen: list[str] = []
    cursor = ""
    while True:
        answer = await chat.call("list_jobs", limit=7, cursor=cursor)
        seen += [job["job_id"] for job in answer["jobs"]]
        cursor = answer.get("next_cursor", "")
        if not cursor:
            break
    whole = await chat.call("list_jobs", limit=100)
    assert seen == [job["job_id"] for job in whole["jobs"]]
    assert "next_cursor" not in whole


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"status": ["FAILED"], "search": "pii"}, ["pii-redaction-pilot"]),
        ({"status": "failed, Cancelled", "created_after": "6d12h"}, None),
        ({"status": '["QUEUED"]'}, ["legal-clause-tagging"]),
        ({"status": "pending"}, ["legal-clause-tagging"]),
        ({"search": "LEGAL-clause"}, ["legal-clause-tagging"]),
        ({"model": "qwen-3-embedding-0.6b"}, None),
        ({"created_after": "1h"}, ["legal-clause-tagging", "quarterly-nps-coding", "catalogue-copy-refresh"]),
        ({"created_before": "80d"}, ["old-survey-coding"]),
    ],
)
async def test_filters_narrow_the_list(
    chat: Talk, filters: dict[str, object], names: list[str] | None
) -> None:
    """Words in any case, lists as text, ages and texts; a wrong age is refused."""
    if filters.get("created_after") == "6d12h":
        assert "neither an ISO time nor an age" in await chat.refusal("list_jobs", **filters)
        return
    answer = await chat.call("list_jobs", **filters)
    found = [job["name"] for job in answer["jobs"]]
    assert found == names if names is not None else len(found) >= 1


async def test_times_are_read_with_and_without_a_zone(chat: Talk) -> None:
    """And a job that does not say when it was created passes no time filter."""
    early = chat.emulator.add_job(status="FAILED", created=datetime(2025, 5, 1, 12, tzinfo=UTC))
    undated = chat.emulator.add_job(status="FAILED", datetime_created=None)
    for start, end in (
        ("2025-05-01", "2025-05-02"),
        ("2025-05-01T14:00:00+02:00", "2025-05-01T12:00:01Z"),
    ):
        answer = await chat.call("list_jobs", created_after=start, created_before=end)
        assert [job["job_id"] for job in answer["jobs"]] == [early]
    assert undated in [job["job_id"] for job in (await chat.call("list_jobs", limit=100))["jobs"]]


async def test_a_filtered_list_goes_on_where_it_stopped_although_jobs_came_in_between(chat: Talk) -> None:
    """A cursor names the job it stopped at, not a position."""
    first = await chat.call("list_jobs", status=["SUCCEEDED"], limit=3)
    for _ in range(150):
        chat.emulator.add_job(status="SUCCEEDED", outputs=["x"])
    second = await chat.call("list_jobs", status=["SUCCEEDED"], limit=3, cursor=first["next_cursor"])
    fresh = Emulator()
    async with talk(fresh) as undisturbed:
        expected = await undisturbed.call("list_jobs", status=["SUCCEEDED"], limit=6)
    joined = [job["job_id"] for job in (*first["jobs"], *second["jobs"])]
    assert joined == [job["job_id"] for job in expected["jobs"]]


@pytest.mark.parametrize("cursor", ["%%%", "bm9wZQ", "W10", "WzEsMiwzXQ", "WzEsMiwiYSJd", "é", "x" * 3000])
async def test_a_cursor_that_is_none_is_refused(chat: Talk, cursor: str) -> None:
    """Before any request."""
    assert "not a cursor that list_jobs returned" in await chat.refusal("list_jobs", cursor=cursor)
    assert chat.paths() == []


async def test_a_cursor_of_other_filters_is_refused(chat: Talk) -> None:
    """It would continue another list."""
    first = await chat.call("list_jobs", limit=3)
    refusal = await chat.refusal("list_jobs", status=["FAILED"], cursor=first["next_cursor"])
    assert "made with other filters" in refusal


async def test_a_cursor_whose_place_is_gone_is_refused(emulator: Emulator) -> None:
    """Upstream refuses its own cursor, or the job it names left the list."""
    async with talk(emulator) as chat:
        first = await chat.call("list_jobs", limit=3)
        emulator.faults.add(Fault.json(400, "Invalid cursor"), path="/list-jobs", times=1)
        assert "no longer in the list" in await chat.refusal("list_jobs", cursor=first["next_cursor"])
        filtered = await chat.call("list_jobs", status=["SUCCEEDED"], limit=1)
    async with talk(Emulator(seed_jobs=False)) as empty:
        refusal = await empty.refusal("list_jobs", status=["SUCCEEDED"], cursor=filtered["next_cursor"])
        assert "no longer in the list" in refusal


async def test_a_refused_first_page_is_reported_as_such() -> None:
    """A 400 without a cursor of ours is not about cursors."""
    emulator = Emulator()
    emulator.faults.add(Fault.json(400, "limit is odd"), path="/list-jobs", times=1)
    async with talk(emulator) as chat:
        assert "limit is odd" in await chat.refusal("list_jobs")


async def test_a_search_through_many_jobs_stops_and_says_how_far_it_came() -> None:
    """Two thousand jobs a call; the cursor goes on."""
    emulator = Emulator(seed_jobs=False)
    for n in range(2_050):
        emulator.add_job(status="SUCCEEDED", outputs=["x"], name=f"job {n}")
    async with talk(emulator) as chat:
        nothing = await chat.text("list_jobs", search="no such name", created_after="9999d")
        assert nothing.startswith("0 jobs, newest first; 2,000 looked at. Older ones: repeat the call")
        assert "<data" not in nothing
        answer = await chat.call("list_jobs", search="job 20", created_after="9999d", limit=100)
        assert answer["looked_at"] == 2_000
        rest = await chat.call(
            "list_jobs", search="job 20", created_after="9999d", limit=100, cursor=answer["next_cursor"]
        )
        assert rest["looked_at"] == 50
        assert "next_cursor" not in rest
        names = [job["name"] for job in (*answer["jobs"], *rest["jobs"])]
        assert sorted(names) == sorted(f"job {n}" for n in range(2_050) if "job 20" in f"job {n}")


async def test_a_deployment_that_cannot_page_is_paged_here() -> None:
    """It answers with everything whatever the limit."""
    async with talk(Emulator(variant=ApiVariant(paginated=False))) as chat:
        first = await chat.call("list_jobs", limit=5)
        second = await chat.call("list_jobs", limit=100, cursor=first["next_cursor"])
        assert len(first["jobs"]) == 5
        assert len({job["job_id"] for job in (*first["jobs"], *second["jobs"])}) == 52


async def test_an_account_without_jobs_is_an_empty_list(era: str) -> None:
    """Not an error, and no fence around nothing."""
    async with talk(Emulator(seed_jobs=False)) as chat:
        assert await chat.text("list_jobs") == "0 jobs, newest first; 0 looked at. None matches."


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 230),
    limits=st.lists(st.integers(1, 100), min_size=1, max_size=4),
    wanted=st.sampled_from([[], ["FAILED"], ["FAILED", "QUEUED"]]),
)
async def test_pages_of_any_size_joined_equal_the_list(
    anyio_backend: str, count: int, limits: list[int], wanted: list[str]
) -> None:
    """Filtered or not, whatever the limits."""
    emulator = Emulator(seed_jobs=False)
    kinds = ("FAILED", "QUEUED", "RUNNING")
    ids = [(emulator.add_job(status=kinds[n % 3]), kinds[n % 3]) for n in range(count)]
    async with talk(emulator) as chat:
        seen: list[str] = []
        cursor, turn = "", 0
        while True:
            answer = await chat.call(
                "list_jobs", status=wanted, limit=limits[turn % len(limits)], cursor=cursor
            )
            seen += [job["job_id"] for job in answer["jobs"]]
            cursor, turn = answer.get("next_cursor", ""), turn + 1
            if not cursor:
                break
    assert sorted(seen) == sorted(i for i, kind in ids if not wanted or kind in wanted)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("group_by", ["status", "model", "day", "priority"])
async def test_groups_add_up_to_the_total(chat: Talk, group_by: str) -> None:
    """Jobs, rows, tokens, cost and failures."""
    answer = await chat.call("summarize_jobs", group_by=group_by)
    assert answer["complete"] is True
    for name in ("jobs", "rows", "input_tokens", "output_tokens", "failed", "jobs_with_cost"):
        assert sum(group[name] for group in answer["groups"]) == answer["total"][name]
    total = sum(group.get("cost_usd", 0) for group in answer["groups"])
    assert total == pytest.approx(answer["total"]["cost_usd"], abs=1e-5)
    assert answer["total"]["jobs"] == answer["looked_at"] == 52


async def test_a_summary_looks_only_as_far_back_as_the_dates_ask(chat: Talk) -> None:
    """The list is from new to old, so it stops early."""
    answer = await chat.call("summarize_jobs", created_after="7d", status=["FAILED"])
    assert answer["looked_at"] < 52
    assert answer["total"]["jobs"] == answer["total"]["failed"] > 0


async def test_days_are_shown_newest_first_and_at_most_forty(chat: Talk) -> None:
    """The rest stays in the total, and the answer says so."""
    for day in range(70):
        chat.emulator.add_job(status="FAILED", created=datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=day))
    answer = await chat.call("summarize_jobs", group_by="day")
    days = [group["group"] for group in answer["groups"]]
    assert days == sorted(days, reverse=True)
    assert len(days) == 40
    assert answer["groups_left_out"] > 0
    assert "smaller groups are only in the total" in await chat.text("summarize_jobs", group_by="day")


async def test_a_summary_of_too_many_jobs_says_that_it_is_incomplete() -> None:
    """Ten thousand are looked at."""
    emulator = Emulator(seed_jobs=False)
    for _ in range(10_001):
        emulator.add_job(status="FAILED")
    async with talk(emulator) as chat:
        answer = await chat.call("summarize_jobs")
        assert (answer["complete"], answer["looked_at"]) == (False, 10_000)
        assert "Incomplete" in await chat.text("summarize_jobs")


async def test_a_job_shows_its_settings_times_cost_and_uris(chat: Talk) -> None:
    """Every fact of the job object that means something to a person."""
    job_id = chat.emulator.find("support-ticket-triage")
    answer = await chat.call("get_job", job_id=job_id)
    assert answer["results_available"] is True
    assert answer["queue_seconds"] >= 0
    assert answer["run_seconds"] > 0
    assert answer["json_schema"].startswith("{")
    assert answer["uris"]["summary"] == f"sutro://jobs/{job_id}/results/summary"
    assert "shortened" not in answer


async def test_long_prompts_are_cut_unless_asked_for(chat: Talk) -> None:
    """And the answer says how to get them."""
    job_id = chat.emulator.add_job(
        status="FAILED",
        system_prompt="p" * 5_000,
        json_schema={"properties": {f"f{n}": {"type": "string"} for n in range(200)}},
        failure_reason={"message": "m" * 3_000, "additional_context": "c" * 3_000},
    )
    brief = await chat.call("get_job", job_id=job_id)
    assert len(brief["system_prompt"]) == 600
    assert brief["shortened"] == "system_prompt and json_schema cut; full=true shows more"
    assert len(brief["failure"]["message"]) == 1_000
    full = await chat.call("get_job", job_id=job_id, full="true")
    assert len(full["system_prompt"]) == 5_000
    assert "shortened" not in full


@pytest.mark.parametrize(
    ("name", "status", "final", "hint"),
    [
        ("legal-clause-tagging", "QUEUED", False, "not started"),
        ("quarterly-nps-coding", "STARTING", False, "is starting"),
        ("catalogue-copy-refresh", "RUNNING", False, "only after SUCCEEDED"),
        ("forum-moderation-backfill", "CANCELLING", False, "not done"),
        ("warehouse-notes-import", "UNKNOWN", False, "cannot tell"),
        ("support-ticket-triage", "SUCCEEDED", True, "get_job_results"),
        ("contract-summaries", "FAILED", True, "get_job"),
        ("crm-dedupe-v2", "CANCELLED", True, "no results"),
    ],
)
async def test_every_status_says_whether_it_is_final_and_what_next(
    chat: Talk, name: str, status: str, final: bool, hint: str
) -> None:
    """All eight words."""
    answer = await chat.call("get_job_status", job_id=chat.emulator.find(name))
    assert (answer["status"], answer["is_terminal"]) == (status, final)
    assert hint in answer["next"]


async def test_a_failed_job_says_why(chat: Talk) -> None:
    """Message and context, from the status alone."""
    answer = await chat.call("get_job_status", job_id=chat.emulator.find("contract-summaries"))
    assert answer["failure"]["message"].startswith("Worker lost")
    assert "worker=" in answer["failure"]["additional_context"]
    text = await chat.text("get_job_status", job_id=chat.emulator.find("contract-summaries"))
    assert "failure: Worker lost" in text
