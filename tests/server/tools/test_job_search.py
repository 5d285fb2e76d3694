"""Searching a list that can only be paged: cursors that survive new jobs, and searches that end."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sutro_mcp.emulator import ApiVariant, Emulator, Fault
from tests.support import Talk, records, talk

pytestmark = pytest.mark.anyio


async def every_page(chat: Talk, *limits: int, **filters: Any) -> list[str]:
    """The ids of all pages, in order."""
    seen: list[str] = []
    cursor, turn = "", 0
    while cursor or turn == 0:
        limit = limits[turn % len(limits)]
        answer = await chat.call("list_jobs", limit=limit, cursor=cursor, **filters)
        seen += [job["job_id"] for job in records(answer["jobs"])]
        cursor, turn = answer.get("next_cursor", ""), turn + 1
    return seen


async def test_following_the_cursor_shows_every_job_once(chat: Talk) -> None:
    """Pages joined equal the list, also of a deployment that cannot page."""
    assert await every_page(chat, 7) == [job.job_id for job in chat.emulator.account.all()]
    emulator = Emulator(variant=ApiVariant(paginated=False))
    async with talk(emulator) as unpaged:
        assert await every_page(unpaged, 5, 100) == [job.job_id for job in emulator.account.all()]


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
    for n in range(count):
        emulator.add_job(status=("FAILED", "QUEUED", "RUNNING")[n % 3])
    async with talk(emulator) as chat:
        seen = await every_page(chat, *limits, status=wanted)
    assert seen == [job.job_id for job in emulator.account.all() if not wanted or job.status in wanted]


async def test_a_filtered_list_goes_on_where_it_stopped_although_jobs_came_in_between(chat: Talk) -> None:
    """A cursor names the job it stopped at, not a position."""
    expected = [job.job_id for job in chat.emulator.account.all() if job.status == "SUCCEEDED"][:6]
    first = await chat.call("list_jobs", status=["SUCCEEDED"], limit=3)
    for _ in range(150):
        chat.emulator.add_job(status="SUCCEEDED", outputs=["x"])
    second = await chat.call("list_jobs", status=["SUCCEEDED"], limit=3, cursor=first["next_cursor"])
    assert [job["job_id"] for job in (*records(first["jobs"]), *records(second["jobs"]))] == expected


@pytest.mark.parametrize(
    "cursor", ["%%%", "bm9wZQ", "0a0a0a0a", "0a0a0a0a.é", "0a0a0a0a.0a.A", "0a0a0a0a." + "a" * 3_000]
)
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
    for _ in range(100):
        emulator.add_job(status="FAILED")
    async with talk(emulator) as chat:
        first = await chat.call("list_jobs", limit=100)
        emulator.faults.add(Fault.json(400, "Invalid cursor"), path="/list-jobs", times=1)
        assert "no longer in the list" in await chat.refusal("list_jobs", cursor=first["next_cursor"])
        filtered = await chat.call("list_jobs", status=["SUCCEEDED"], limit=1)
    async with talk(Emulator(seed_jobs=False)) as empty:
        refusal = await empty.refusal("list_jobs", status=["SUCCEEDED"], cursor=filtered["next_cursor"])
        assert "no longer in the list" in refusal


async def test_a_search_through_many_jobs_stops_and_says_how_far_it_came() -> None:
    """Two thousand jobs a call; the cursor goes on."""
    emulator = Emulator(seed_jobs=False)
    for n in range(2_050):
        emulator.add_job(status="SUCCEEDED", outputs=["x"], name=f"job {n}")
    ask: dict[str, Any] = {"search": "job 20", "created_after": "9999d", "limit": 100}
    async with talk(emulator) as chat:
        nothing = await chat.text("list_jobs", **ask | {"search": "no such name"})
        assert nothing.startswith("0 jobs, newest first. 2,000 looked at. The rest: repeat the call")
        assert "<data" not in nothing
        answer = await chat.call("list_jobs", **ask)
        rest = await chat.call("list_jobs", **ask, cursor=answer["next_cursor"])
        assert (answer["looked_at"], rest["looked_at"], "next_cursor" in rest) == (2_000, 50, False)
        names = [job["name"] for job in (*records(answer["jobs"]), *records(rest["jobs"]))]
        assert sorted(names) == sorted(f"job {n}" for n in range(2_050) if "job 20" in f"job {n}")


async def test_jobs_without_a_date_are_counted_where_a_filter_leaves_them_out() -> None:
    """Not silently: some deployments send none."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(created_null=True))
    for count, words in ((1, "1 does not say when it was"), (2, "2 do not say when they were")):
        emulator.add_job()
        async with talk(emulator) as chat:
            assert f"0 jobs, newest first. {count} looked at. {words}" in await chat.text(
                "list_jobs", created_after="7d"
            )
            assert f"0 jobs by status. {count} looked at. {words}" in await chat.text(
                "summarize_jobs", created_before="7d"
            )
            assert "undated" not in await chat.call("list_jobs")


def _page(jobs: list[dict[str, Any]], cursor: str | None) -> Fault:
    return Fault.raw(json.dumps({"jobs": jobs, "next_cursor": cursor}).encode())


async def test_a_list_that_is_not_quite_in_order_is_searched_past_one_older_job() -> None:
    """One job out of place must not hide those behind it."""
    emulator = Emulator(seed_jobs=False)
    moments = ["2026-05-03", "2026-01-01", "2026-05-02"]
    jobs = [{"job_id": f"job-{n}", "datetime_created": f"{day}T00:00:00Z"} for n, day in enumerate(moments)]
    emulator.faults.add(_page(jobs, None), path="/list-jobs", times=None)
    async with talk(emulator) as chat:
        answer = await chat.call("list_jobs", created_after="2026-05-01")
        assert [job["job_id"] for job in records(answer["jobs"])] == ["job-0", "job-2"]
        assert (await chat.call("summarize_jobs", created_after="2026-05-01"))["total"]["jobs"] == 2


async def test_a_list_that_never_ends_is_an_error(chat: Talk) -> None:
    """Empty pages, each with a new cursor."""
    for n in range(80):
        chat.emulator.faults.add(_page([], f"cursor-{n}"), path="/list-jobs", times=1)
    assert "empty" in await chat.refusal("list_jobs")
    assert "empty" in await chat.refusal("summarize_jobs")
