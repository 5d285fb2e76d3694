"""Reading what came out of a job, through the tool and as every user meets it."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import DEMO_KEY, ApiVariant, Emulator, Fault
from tests.support import Era, Talk, talk, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

JOBS = [
    "haiku-smoke-test", "support-ticket-triage", "product-review-sentiment", "invoice-extraction",
    "math-reasoning-audit", "multilingual-greetings", "churn-function-scores",
]  # fmt: skip
SHARED = Emulator()
ROUTES = [ApiVariant(), ApiVariant(results_url=False), ApiVariant(results_url=False, get_results=False)]


@pytest.fixture
async def reader() -> AsyncIterator[Talk]:
    """A conversation that only reads, about jobs whose artifacts are made once for all tests."""
    async with talk(SHARED) as conversation:
        yield conversation


@pytest.mark.parametrize("name", JOBS)
async def test_no_answer_passes_its_budget(reader: Talk, name: str) -> None:
    """A summary 6,000 characters, a page 10,000, and 60,000 when more is asked for, in each channel."""
    job_id = reader.emulator.find(name)
    for asked, most in (
        ({}, 6_000),
        ({"view": "rows"}, 10_000),
        ({"view": "rows", "limit": 1000, "max_cell_chars": 50_000, "include_inputs": True}, 60_000),
    ):
        result = await reader.result("get_job_results", job_id=job_id, **asked)
        answer = result.structured_content
        assert answer is not None
        assert answer["row_count"] == reader.emulator.job(job_id).num_rows
        shown = answer.get("summary", answer)
        assert max(len(json.dumps(shown, ensure_ascii=False)), len(text_of(result))) < most


async def test_a_summary_says_what_came_out_and_what_looks_wrong(era: Era) -> None:
    """Of fields and of outputs that are none, with the numbers of the first rows."""
    emulator = Emulator(seed_jobs=False)
    labels = [json.dumps({"label": label, "score": n, "sure": n > 2}) for n, label in enumerate("aabcb")]
    emulator.add_job(job_id="job-1", outputs=[*labels, None, "", '{"label": "a', "no, sorry"], num_rows=12)
    async with talk(emulator, era) as chat:
        assert await chat.text("get_job_results", job_id="job-1") == snapshot("""\
job-1: 9 rows, but the job says 12. Outputs: JSON objects in 5 of 9 rows.
uri: sutro://jobs/job-1/results/summary
<data>
columns:
- label (text, VARCHAR): in 5 rows, 0 null, 3 distinct; of 5: a 2 (40.0%), b 2 (40.0%), 1 other value
- score (integer, BIGINT): in 5 rows, 0 null, 5 distinct; 0/1/2/3/4 (min/q25/median/q75/max), mean 2
- sure (boolean, BOOLEAN): in 5 rows, 0 null, 2 distinct; of 5: false 3 (60.0%), true 2 (40.0%)
every value, by query_job_results: SELECT "label", count(*) FROM results GROUP BY ALL ORDER BY 2 DESC
suspicious rows: 4 (view rows, offset, limit=1 shows one)
- null output: 1 (row 5)
- empty output: 1 (row 6)
- JSON cut off or broken: 1 (row 7)
- not JSON: 1 (row 8)
samples:
row,why,output
0,first,"{""label"": ""a"", ""score"": 0, ""sure"": false}"
2,spread,"{""label"": ""b"", ""score"": 2, ""sure"": false}"
4,spread,"{""label"": ""b"", ""score"": 4, ""sure"": true}"
6,spread,""
8,shortest,"no, sorry"
</data>\
""")


@pytest.mark.parametrize(
    ("outputs", "num_rows", "head"),
    [
        (["a"] * 10, None, "10 rows (what the job says is unknown). Outputs: text."),
        (["a"], 1, "1 row (the job says the same). Outputs: text."),
        ([], 0, "0 rows (the job says the same). Outputs: none, there are no rows."),
        ([None, "a"], 2, "2 rows (the job says the same). Outputs: text."),
    ],
    ids=["size-unknown", "one", "none", "null-first"],
)
async def test_a_summary_of_few_rows_is_whole(
    outputs: list[str | None], num_rows: int | None, head: str
) -> None:
    """And compared with what the job says of its size."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", outputs=outputs)
    emulator.job("job-1").overrides["num_rows"] = num_rows
    async with talk(emulator) as chat:
        text = await chat.text("get_job_results", job_id="job-1")
    assert text.startswith(f"job-1: {head}\n")
    assert ("samples" in text) is (outputs != [])


async def test_a_page_is_a_table(era: Era) -> None:
    """With the numbers of its rows; null and empty are told apart."""
    emulator = Emulator(seed_jobs=False)
    outputs = ["first", None, "", 'a, "b"\nc', "last"]
    emulator.add_job(job_id="job-1", outputs=outputs, inputs=["one", "two", "three", "four", None])
    async with talk(emulator, era) as chat:
        ask = {"job_id": "job-1", "offset": 1, "limit": 3, "include_inputs": True}
        assert await chat.text("get_job_results", **ask) == snapshot("""\
job-1: rows 1 to 3 of 5. Next page: offset=4.
uri: sutro://jobs/job-1/results?offset=1&limit=3&include_inputs=true
<data>
row,inputs,inference_result
1,two,
2,three,""
3,four,"a, ""b""
c"
</data>\
""")
        last = await chat.text("get_job_results", job_id="job-1", offset=4)
        assert last.startswith("job-1: row 4 of 5.\n")
        emulator.add_job(job_id="job-2", outputs=[])
        none = await chat.text("get_job_results", job_id="job-2", view="rows")
        assert none.startswith("job-2: 0 rows.\n")


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


async def test_an_artifact_is_fetched_once(chat: Talk) -> None:
    """results-url, then one GET at the store without the key; further pages and summaries cost no request."""
    job_id = chat.emulator.find("support-ticket-triage")
    await chat.call("get_job_results", job_id=job_id, view="rows")
    api = [r for r in chat.emulator.requests if r.origin == "api"]
    store = [r for r in chat.emulator.requests if r.origin == "store"]
    assert [r.path for r in api] == [f"/v1/jobs/{job_id}/results-url"]
    assert [r.method for r in store] == ["GET"]
    assert not any(DEMO_KEY in str(r.headers) for r in store)
    first = await chat.call("get_job_results", job_id=job_id)
    chat.emulator.requests.clear()
    await chat.call("get_job_results", job_id=job_id, view="rows", offset=500)
    assert await chat.call("get_job_results", job_id=job_id) == first
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
    assert view in await chat.call("get_job_results", job_id=job_id, **asked)


async def test_the_resource_of_a_page_has_the_same_rows(chat: Talk) -> None:
    """A host that attaches it shows what the assistant saw."""
    ask = {"job_id": chat.emulator.find("support-ticket-triage"), "offset": 40, "limit": 3}
    result = await chat.call("get_job_results", **ask, columns=["inputs"])
    attached = json.loads(await chat.read(result["uri"]))
    assert [row[0] for row in attached["rows"]] == [row[0] for row in result["rows"]]
    assert attached["columns"][0] == "inputs"
    assert attached["offset"] == 40


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


async def test_one_cell_is_shown_in_full_to_who_asks_for_it(chat: Talk) -> None:
    """By its row and column; where several are asked for, each is cut and says how long it is."""
    long = "word " * 3_000
    job_id = chat.emulator.add_job(outputs=["short", long])
    several = await chat.call("get_job_results", job_id=job_id, columns=["inference_result"], limit=2)
    one = await chat.call("get_job_results", job_id=job_id, columns=["inference_result"], limit=1, offset=1)
    assert several["rows"][1][0].endswith("[15,000 chars]")
    assert several["shortened"].startswith("1 cell cut to 500 characters")
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


@pytest.mark.parametrize(
    ("variant", "fault", "where", "words"),
    [
        (ROUTES[0], Fault.truncated(0), {"origin": "store"}, ""),
        (ROUTES[2], Fault.raw(b'{"results": {"outputs": ["a", }'), {"path": "/job-results"}, ""),
        (ROUTES[2], Fault.raw(b'{"results": []}', status=202), {"path": "/job-results"}, "202"),
    ],
    ids=["truncated", "cut at a lucky place", "accepted"],
)
async def test_what_cannot_be_read_is_fetched_again_by_the_next_call(
    era: Era, variant: ApiVariant, fault: Fault, where: dict[str, Any], words: str
) -> None:
    """It is an error, never a part of the results, and not kept."""
    emulator = Emulator(seed_jobs=False, variant=variant)
    job_id = emulator.add_job(status="SUCCEEDED", outputs=["a", "b"])
    emulator.faults.add(fault, times=9, **where)
    async with talk(emulator, era) as chat:
        assert words in await chat.refusal("get_job_results", job_id=job_id, view="rows")
        emulator.faults.clear()
        assert (await chat.call("get_job_results", job_id=job_id, view="rows"))["rows"] == [["a"], ["b"]]


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


@pytest.mark.parametrize("view", ["summary", "rows"])
@pytest.mark.parametrize("origin", ["api", "store"])
async def test_what_is_down_is_asked_three_times_by_one_call(
    origin: Literal["api", "store"], view: str
) -> None:
    """However many parts of the call need it."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", outputs=["a", "b"])
    emulator.faults.add(Fault.json(503, "busy"), origin=origin, times=None)
    async with talk(emulator) as chat:
        assert "503" in await chat.refusal("get_job_results", job_id="job-1", view=view)
        assert [each.origin for each in emulator.requests].count(origin) == 3


async def test_a_link_that_cannot_be_renewed_is_asked_for_three_times() -> None:
    """Beside the first one; the store is not tried again with the old one."""
    emulator = Emulator(seed_jobs=False)
    emulator.add_job(job_id="job-1", outputs=["a", "b"])
    emulator.faults.add(Fault.expired(), origin="store", times=None)
    emulator.faults.add(Fault.json(503, "busy"), path="*/results-url", skip=1, times=None)
    async with talk(emulator) as chat:
        assert "503" in await chat.refusal("get_job_results", job_id="job-1", view="rows")
        seen = [each.origin for each in emulator.requests if each.origin == "store" or "results" in each.path]
        assert seen == ["api", "store", "api", "api", "api"]
