"""Odd accounts and odd deployments: an answer is whole, within its budget, or says what it is not."""

import json
from typing import Any

import pytest

from sutro_mcp.emulator import ApiVariant, Emulator, Fault
from sutro_mcp.settings import Settings
from tests.support import Talk, talk, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

QUOTES = '"' * 400
LONG = "n" * 80_000


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


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
            assert _size(result.structured_content) < most, tool
            assert len(text_of(result)) < most, tool


async def test_jobs_without_a_date_are_counted_where_a_filter_leaves_them_out() -> None:
    """Not silently: some deployments send none (C16)."""
    async with talk(Emulator(variant=ApiVariant(created_null=True))) as chat:
        answer = await chat.call("list_jobs", created_after="7d")
        assert (answer["jobs"], answer["undated"]) == ([], 52)
        assert "52 do not say when they were created" in await chat.text("list_jobs", created_after="7d")
        summary = await chat.call("summarize_jobs", created_before="7d")
        assert (summary["total"]["jobs"], summary["undated"]) == (0, 52)
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
        assert [job["job_id"] for job in answer["jobs"]] == ["job-0", "job-2"]
        assert (await chat.call("summarize_jobs", created_after="2026-05-01"))["total"]["jobs"] == 2


async def test_a_list_that_never_ends_is_an_error(chat: Talk) -> None:
    """Empty pages, each with a new cursor."""
    for n in range(80):
        chat.emulator.faults.add(_page([], f"cursor-{n}"), path="/list-jobs", times=1)
    assert "empty" in await chat.refusal("list_jobs")
    assert "empty" in await chat.refusal("summarize_jobs")


async def test_a_window_that_ends_before_it_begins_is_refused(chat: Talk) -> None:
    """Rather than answered with nothing."""
    refusal = await chat.refusal("list_jobs", created_after="7d", created_before="8d")
    assert "created_after is not before created_before" in refusal


async def test_a_schema_nested_hundreds_deep_is_named_and_not_shown(chat: Talk) -> None:
    """And the job can still be read and summarised."""
    schema: dict[str, Any] = {}
    for _ in range(400):
        schema = {"properties": {"a": schema}, "allOf": [schema] if not schema else []}
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=["x"], json_schema=schema)
    assert "too deeply" in (await chat.call("get_job", job_id=job_id))["json_schema"]
    assert (await chat.call("get_job_results", job_id=job_id))["row_count"] == 1


@pytest.mark.parametrize("argument", ["status", "cursor"])
async def test_deep_brackets_in_an_argument_are_refused(chat: Talk, argument: str) -> None:
    """As any other value that is none."""
    value = "[" * 3_000 if argument == "status" else "W1tb" * 900
    assert await chat.refusal("list_jobs", **{argument: value})


async def test_a_summary_with_null_samples_is_an_answer(chat: Talk) -> None:
    """The first row of many a job is null."""
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=[None, "a", None, "b"])
    answer = await chat.call("get_job_results", job_id=job_id)
    assert answer["summary"]["samples"][0] == {"row": 0, "why": "first"}


async def test_what_cannot_be_read_is_fetched_again_by_the_next_call() -> None:
    """A reply cut at a lucky place must not stay."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(results_url=False, get_results=False))
    job_id = emulator.add_job(status="SUCCEEDED", outputs=["a", "b"])
    emulator.faults.add(Fault.raw(b'{"results": {"outputs": ["a", }'), path="/job-results", times=1)
    async with talk(emulator) as chat:
        await chat.refusal("get_job_results", job_id=job_id, view="rows")
        assert (await chat.call("get_job_results", job_id=job_id, view="rows"))["rows"] == [["a"], ["b"]]


async def test_an_accepted_is_no_answer() -> None:
    """202 with an empty body of results would be zero rows."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(results_url=False, get_results=False))
    job_id = emulator.add_job(status="SUCCEEDED", outputs=["a"])
    emulator.faults.add(Fault.raw(b'{"results": []}', status=202), path="/job-results", times=1)
    async with talk(emulator) as chat:
        assert "202" in await chat.refusal("get_job_results", job_id=job_id)


async def test_a_route_that_seemed_absent_is_asked_again_before_results_are_called_gone() -> None:
    """One odd 404 must not hide the results of every other job."""
    emulator = Emulator(seed_jobs=False)
    first, second = (emulator.add_job(status="SUCCEEDED", outputs=[name]) for name in "ab")
    emulator.faults.add(Fault.json(404, "no such thing"), path=f"/jobs/{first}/results-url", times=1)
    for route in (f"/jobs/{second}/results", "/job-results"):
        emulator.faults.add(
            Fault.json(404, "no such thing"), path=route, times=9, skip=route == "/job-results"
        )
    async with talk(emulator) as chat:
        assert (await chat.call("get_job_results", job_id=first, view="rows"))["rows"] == [["a"]]
        assert (await chat.call("get_job_results", job_id=second, view="rows"))["rows"] == [["b"]]


async def test_a_rate_limit_on_cancelling_is_a_refusal_that_says_how_long(chat: Talk) -> None:
    """Nothing was done, so nothing is unknown."""
    job_id = chat.emulator.find("catalogue-copy-refresh")
    chat.emulator.faults.add(Fault.rate_limited(7), path="/job-cancel/*", times=None)
    assert "Wait 7 seconds" in await chat.refusal("cancel_job", job_id=job_id, confirm=True)


async def test_a_web_page_in_reply_to_a_cancel_leaves_the_outcome_to_the_status(chat: Talk) -> None:
    """It may have been carried out."""
    job_id = chat.emulator.find("catalogue-copy-refresh")
    page = Fault.raw(b"<html></html>", media_type="text/html")
    chat.emulator.faults.add(page, path="/job-cancel/*", times=1)
    answer = await chat.call("cancel_job", job_id=job_id, confirm=True)
    assert (answer["outcome"], answer["status_after"]) == ("unknown", "RUNNING")


async def test_descriptions_and_instructions_follow_the_settings(emulator: Emulator) -> None:
    """A model must not be told of a preview that does not come, or of a tool that is not there."""
    async with talk(emulator, settings=Settings(cancel="allow")) as chat:
        tools = {tool.name: tool for tool in (await chat.client.list_tools()).tools}
        assert "without a preview" in (tools["cancel_job"].description or "")
    async with talk(emulator, settings=Settings(read_only=True)) as chat:
        assert chat.client.instructions
        assert "cancel_job" not in chat.client.instructions
        assert "list_jobs" in chat.client.instructions


async def test_several_lines_in_a_text_cannot_pass_for_lines_of_ours(chat: Talk) -> None:
    """They are indented under the line they belong to."""
    job_id = chat.emulator.add_job(status="FAILED", name="x\nnum_rows: 999999", num_rows=7)
    text = await chat.text("get_job", job_id=job_id)
    assert "\n  num_rows: 999999\n" in text
    assert "\nnum_rows: 7\n" in text


async def test_null_and_empty_are_told_apart_in_the_text(chat: Talk) -> None:
    """Nothing, and a pair of quotes."""
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=[None, "", "a,b"])
    text = await chat.text("get_job_results", job_id=job_id, view="rows")
    assert '\n0,\n1,""\n2,"a,b"\n' in text


async def test_asking_for_a_place_or_a_column_means_rows(chat: Talk) -> None:
    """And naming the inputs brings them."""
    job_id = chat.emulator.find("support-ticket-triage")
    answer = await chat.call("get_job_results", job_id=job_id, columns=["inputs", "label"], limit=2)
    assert (answer["view"], answer["columns"]) == ("rows", ["inputs", "label"])
    assert (await chat.call("get_job_results", job_id=job_id, offset=5))["view"] == "rows"
    assert (await chat.call("get_job_results", job_id=job_id))["view"] == "summary"
