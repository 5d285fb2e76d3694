"""Reading what came out of a job, through the tool and as every user meets it."""

import csv
import io
import json
from collections.abc import AsyncIterator

import pytest
from mcp.types import ResourceLink

from sutro_mcp.emulator import DEMO_KEY, ApiVariant, Emulator, Fault
from tests.support import Talk, talk, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

JOBS = [
    "haiku-smoke-test",
    "support-ticket-triage",
    "product-review-sentiment",
    "invoice-extraction",
    "math-reasoning-audit",
    "multilingual-greetings",
    "churn-function-scores",
]
SHARED = Emulator()
ROUTES = [ApiVariant(), ApiVariant(results_url=False), ApiVariant(results_url=False, get_results=False)]


@pytest.fixture
async def reader() -> AsyncIterator[Talk]:
    """A conversation that only reads, about jobs whose artifacts are made once for all tests."""
    async with talk(SHARED) as conversation:
        yield conversation


@pytest.mark.parametrize("name", JOBS)
async def test_the_default_summary_of_every_kind_of_job_is_short(reader: Talk, name: str) -> None:
    """Under 6,000 characters in either channel, and it covers every row."""
    job_id = reader.emulator.find(name)
    result = await reader.result("get_job_results", job_id=job_id)
    assert result.structured_content is not None
    answer = result.structured_content
    assert answer["row_count"] == answer["summary"]["expected_rows"] == reader.emulator.job(job_id).num_rows
    assert len(json.dumps(answer["summary"], ensure_ascii=False)) < 6_000
    assert len(text_of(result)) < 6_000


async def test_a_summary_says_what_looks_wrong(chat: Talk) -> None:
    """With the numbers of the first rows."""
    answer = await chat.call("get_job_results", job_id=chat.emulator.find("support-ticket-triage"))
    suspicious = {item["kind"]: item for item in answer["summary"]["suspicious"]}
    assert suspicious["null output"]["count"] == 4
    assert suspicious["empty output"]["count"] == 2
    row = suspicious["JSON cut off or broken"]["rows"][0]
    page = await chat.call(
        "get_job_results", job_id=answer["job_id"], view="rows", offset=row, limit=1, unpack_json=False
    )
    assert page["rows"][0][0].startswith("{")


async def test_reasoning_envelopes_are_named(chat: Talk) -> None:
    """Not flattened silently."""
    answer = await chat.call("get_job_results", job_id=chat.emulator.find("math-reasoning-audit"))
    assert answer["summary"]["outputs"].startswith("reasoning envelopes")
    assert "content.verdict" in [column["name"] for column in answer["summary"]["columns"]]


async def test_a_page_is_the_same_in_both_channels(chat: Talk) -> None:
    """Columns, rows in their order, and the row numbers in the text."""
    job_id = chat.emulator.find("support-ticket-triage")
    ask = {"job_id": job_id, "view": "rows", "offset": 40, "limit": 8, "include_inputs": True}
    answer = await chat.call("get_job_results", **ask)
    text = await chat.text("get_job_results", **ask)
    body = text.split("\n", 3)[3].rsplit("\n", 1)[0]
    rows = list(csv.reader(io.StringIO(body)))
    assert rows[0] == ["row", *answer["columns"]]
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(40, 40 + len(answer["rows"]))]
    shown = [["" if cell is None else str(cell) for cell in row] for row in answer["rows"]]
    assert [row[1:] for row in rows[1:]] == shown
    assert f"Next page: offset={answer['next_offset']}." in text


async def test_following_next_offset_reaches_every_row_within_budget(chat: Talk) -> None:
    """Whatever the page could hold."""
    job_id = chat.emulator.find("invoice-extraction")
    rows: list[list[object]] = []
    offset: int | None = 0
    while offset is not None:
        answer = await chat.call("get_job_results", job_id=job_id, view="rows", offset=offset, limit=400)
        assert len(json.dumps(answer, ensure_ascii=False)) < 60_000
        rows += answer["rows"]
        offset = answer.get("next_offset")
    assert len(rows) == 1_000
    assert len({json.dumps(row) for row in rows}) == 1_000


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("more", [{}, {"limit": 1000, "max_cell_chars": 50_000, "include_inputs": True}])
async def test_no_page_passes_its_budget(reader: Talk, name: str, more: dict[str, object]) -> None:
    """10,000 characters by default, 60,000 when more is asked for, in each channel."""
    job_id = reader.emulator.find(name)
    result = await reader.result("get_job_results", job_id=job_id, view="rows", **more)
    most = 60_000 if more else 10_000
    assert len(json.dumps(result.structured_content, ensure_ascii=False)) < most
    assert len(text_of(result)) < most


async def test_the_next_pages_cost_no_request(chat: Talk) -> None:
    """An artifact is fetched once: results-url, then one GET at the store without the key."""
    job_id = chat.emulator.find("support-ticket-triage")
    await chat.call("get_job_results", job_id=job_id, view="rows")
    api = [r for r in chat.emulator.requests if r.origin == "api"]
    store = [r for r in chat.emulator.requests if r.origin == "store"]
    assert [r.path for r in api] == [f"/v1/jobs/{job_id}/results-url"]
    assert [r.method for r in store] == ["GET"]
    assert not any(DEMO_KEY in str(r.headers) for r in store)
    chat.emulator.requests.clear()
    await chat.call("get_job_results", job_id=job_id, view="rows", offset=500)
    assert chat.emulator.requests == []
    await chat.call("get_job_results", job_id=job_id, view="rows", disable_cache=True)
    assert len(chat.emulator.requests) == 2


@pytest.mark.parametrize("variant", ROUTES, ids=["results-url", "get-results", "post-results"])
async def test_every_route_gives_the_same_rows(variant: ApiVariant) -> None:
    """A deployment that lacks one is read by the next."""
    answers: list[dict[str, object]] = []
    for chosen in (ApiVariant(), variant):
        emulator = Emulator(variant=chosen)
        async with talk(emulator) as chat:
            job_id = emulator.find("support-ticket-triage")
            page = {"job_id": job_id, "view": "rows", "limit": 300, "include_cumulative_logprobs": True}
            answers.append(await chat.call("get_job_results", **page))
    assert answers[0] == answers[1]


WITHOUT_RESULTS: list[tuple[str, list[str]]] = [
    ("catalogue-copy-refresh", ["has not finished", "RUNNING", "wait_for_job"]),
    ("legal-clause-tagging", ["has not finished", "QUEUED"]),
    ("forum-moderation-backfill", ["CANCELLING"]),
    ("contract-summaries", ["FAILED", "Worker lost", "get_job"]),
    ("crm-dedupe-v2", ["CANCELLED", "no results"]),
    ("old-survey-coding", ["succeeded", "has no results of it", "90 days"]),
]


@pytest.mark.parametrize("view", ["summary", "rows"])
@pytest.mark.parametrize("variant", ROUTES, ids=["results-url", "get-results", "post-results"])
async def test_a_job_without_results_says_why_on_every_route(variant: ApiVariant, view: str) -> None:
    """Unfinished, failed, cancelled and gone are different answers."""
    emulator = Emulator(variant=variant)
    async with talk(emulator) as chat:
        for name, words in WITHOUT_RESULTS:
            refusal = await chat.refusal("get_job_results", job_id=emulator.find(name), view=view)
            assert [word for word in words if word not in refusal] == [], refusal


async def test_results_that_lag_behind_success_ask_for_patience(chat: Talk) -> None:
    """SUCCEEDED, but not published yet."""
    chat.emulator.faults.add(Fault.not_ready(), path="/jobs/*/results-url", times=9)
    refusal = await chat.refusal("get_job_results", job_id=chat.emulator.find("haiku-smoke-test"))
    assert "again" in refusal


@pytest.mark.parametrize(
    ("asked", "view"),
    [
        ({}, "summary"),
        ({"include_inputs": True}, "summary"),
        ({"offset": 0}, "rows"),
        ({"limit": 20}, "rows"),
        ({"columns": ["label"]}, "rows"),
        ({"view": "summary", "limit": 20}, "summary"),
    ],
    ids=str,
)
async def test_whoever_names_rows_gets_rows(chat: Talk, asked: dict[str, object], view: str) -> None:
    """Also at the defaults of a page: the first twenty rows are asked for in these words."""
    job_id = chat.emulator.find("support-ticket-triage")
    assert (await chat.call("get_job_results", job_id=job_id, **asked))["view"] == view


async def test_the_resource_of_a_page_has_the_same_rows(chat: Talk) -> None:
    """A host that attaches it shows what the assistant saw."""
    ask = {"job_id": chat.emulator.find("support-ticket-triage"), "offset": 40, "limit": 3}
    result = await chat.result("get_job_results", **ask, columns=["inputs"])
    links = [block for block in result.content if isinstance(block, ResourceLink)]
    attached = json.loads(await chat.read(links[0].uri))
    assert [row[0] for row in attached["rows"]] == [row[0] for row in result.structured_content["rows"]]
    assert attached["columns"][0] == "inputs"
    assert attached["offset"] == 40
    assert links[0].name == f"results of {ask['job_id']}"


async def test_unknown_columns_and_offsets_past_the_end_are_refused_with_what_there_is(chat: Talk) -> None:
    """So that the next call is right."""
    job_id = chat.emulator.find("support-ticket-triage")
    refusal = await chat.refusal("get_job_results", job_id=job_id, view="rows", columns=["lable"])
    assert '"lable"' in refusal
    assert "label, urgency, confidence" in refusal
    refusal = await chat.refusal("get_job_results", job_id=job_id, view="rows", offset=1000)
    assert "1,000 rows" in refusal
    answer = await chat.call("get_job_results", job_id=job_id, view="rows", columns="urgency", limit="2")
    assert answer["columns"] == ["urgency"]
    assert len(answer["rows"]) == 2


async def test_a_row_count_that_differs_from_the_job_is_said(chat: Talk) -> None:
    """The reader must not take a part for the whole."""
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=["a"] * 10, num_rows=12)
    assert "10 rows, but the job says 12" in await chat.text("get_job_results", job_id=job_id)


async def test_a_job_that_never_says_its_size_is_summarised_all_the_same(chat: Talk) -> None:
    """Nothing to compare with, nothing said."""
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=["a"] * 10)
    chat.emulator.job(job_id).overrides["num_rows"] = None
    assert "10 rows." in await chat.text("get_job_results", job_id=job_id)


async def test_a_job_of_no_rows_has_results_without_any(chat: Talk) -> None:
    """Both views say so, and neither invents one."""
    job_id = chat.emulator.add_job(status="SUCCEEDED", outputs=[])
    summary = await chat.text("get_job_results", job_id=job_id)
    assert "0 rows (the job says the same). Outputs: none, there are no rows." in summary
    assert "samples" not in summary
    page = await chat.call("get_job_results", job_id=job_id, view="rows")
    assert (page["rows"], page["row_count"]) == ([], 0)
    assert f"{job_id}: 0 rows." in await chat.text("get_job_results", job_id=job_id, view="rows")


async def test_a_damaged_artifact_is_an_error_and_the_next_call_works(chat: Talk) -> None:
    """Never a partial result."""
    job_id = chat.emulator.find("haiku-smoke-test")
    chat.emulator.faults.add(Fault.truncated(0), origin="store", times=9)
    await chat.refusal("get_job_results", job_id=job_id, view="rows")
    chat.emulator.faults.clear()
    assert len((await chat.call("get_job_results", job_id=job_id, view="rows"))["rows"]) == 10


async def test_one_cell_is_shown_in_full_to_who_asks_for_it(chat: Talk) -> None:
    """By its row and column; where several are asked for, each is cut and says how long it is."""
    long = "word " * 3_000
    job_id = chat.emulator.add_job(outputs=["short", long])

    several = await chat.call("get_job_results", job_id=job_id, columns=["inference_result"], limit=2)
    one = await chat.call("get_job_results", job_id=job_id, columns=["inference_result"], limit=1, offset=1)

    assert several["rows"][1][0].endswith("[15,000 chars]")
    assert one["rows"] == [[long]]
    assert "shortened" not in one


async def test_a_long_summary_tells_how_far_it_is(chat: Talk) -> None:
    """To a host that asks for progress; never backwards, and of a known whole."""
    job_id = chat.emulator.find("support-ticket-triage")
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    await chat.client.call_tool("get_job_results", {"job_id": job_id}, progress_callback=hear)

    assert heard
    assert [share for share, _, _ in heard] == sorted({share for share, _, _ in heard})
    assert {total for _, total, _ in heard} == {1}
    assert all(message for _, _, message in heard)


async def test_a_second_summary_asks_nothing_of_sutro(chat: Talk) -> None:
    """Nor does a page after it, and both are the same as before."""
    job_id = chat.emulator.find("support-ticket-triage")
    first = await chat.call("get_job_results", job_id=job_id)
    chat.emulator.requests.clear()

    assert await chat.call("get_job_results", job_id=job_id) == first
    await chat.call("get_job_results", job_id=job_id, view="rows")
    assert chat.emulator.requests == []
