"""What the page of jobs shows, and what it asks, in every state that a host can bring it into.

The page is the real one, and so are its answers: it is served in jsdom by a host of `page`.
"""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from sutro_mcp.emulator import Emulator, Pace
from sutro_mcp.settings import Settings
from tests.support import Talk, talk

from .page import Message, Shown, page_of, result_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

FULL: dict[str, Any] = {"serverTools": {}, "message": {"text": {}}, "updateModelContext": {"text": {}}}
ONLY_SHOWN = "This host lets the view only show"
TICKETS, RUNNING, FAILED = "support-ticket-triage", "nightly-email-classify", "contract-summaries"
GEMMA, QWEN = "model-comparison-gemma", "model-comparison-qwen"


@pytest.fixture
async def chat(emulator: Emulator) -> AsyncIterator[Talk]:
    """One era is enough: a host passes on the same answers in both."""
    async with talk(emulator) as conversation:
        yield conversation


@pytest.fixture
async def page(chat: Talk) -> AsyncIterator[Shown]:
    """The page in a host that can do everything."""
    async with page_of(chat) as shown:
        await shown.open(FULL)
        yield shown


def tools(page: Shown) -> list[str]:
    """The tools that were called since the last look."""
    names = [name for name, _ in page.calls]
    page.calls.clear()
    return names


async def test_the_board_is_there_without_a_call_and_then_counts(page: Shown) -> None:
    """One call, for the numbers of its filters; a filter is a call, and can be taken back."""
    text = await page.show()
    assert text.startswith(
        "Sutro jobs 52 in all Refresh All 52 Active 6 Succeeded 40 Failed 4 Cancelled 2 Job"
    )
    assert "catalogue-copy-refresh qwen-3-14b" in text
    assert "● Running 2,060 / 5,000" in text.replace("2,059", "2,060")
    assert "support-ticket-triage-trial gpt-oss-20b" in text
    assert tools(page) == ["summarize_jobs"]
    assert "first-steps" not in await page.do("click", "Show 10 more")
    assert tools(page) == []
    assert "ago" in await page.do("click", "Load more")
    assert page.calls[0][1]["cursor"]
    page.calls.clear()
    text = await page.do("click", "Failed")
    assert page.calls == [("list_jobs", {"status": ["FAILED"], "search": "", "limit": 20, "cursor": ""})]
    assert "4 found" in text
    assert "Worker lost while processing rows" in text
    assert (page.seen["pressed"], page.seen["focus"]) == (["Failed"], "Failed")


async def test_a_running_job_is_looked_at_less_and_less_and_not_while_hidden(page: Shown, chat: Talk) -> None:
    """After 5 seconds, in the second minute every 15; at most 12 times a minute; after half an hour no more."""
    job = chat.emulator.find(RUNNING)
    text = await page.show(job_id=job)
    assert "87% 10,440 of 12,000 rows" in text
    assert "tokens a second" in text
    assert "left" in text
    assert tools(page) == []
    began = page.seen["now"]
    moments: list[int] = []
    while page.seen["now"] < began + 40 * 60_000:
        await page.do("advance", 60_000)
        moments += [(page.seen["now"] - began) // 1000] * len(tools(page))
    assert moments[:3] == [5, 10, 15]
    assert len([moment for moment in moments if moment <= 60]) <= 12
    pauses = [after - before for before, after in pairwise(moments)]
    assert (set(pauses), sorted(pauses)) == ({5, 15, 60}, pauses)
    assert 1_700 < moments[-1] <= 1_860
    await page.do("click", "Refresh")
    assert tools(page) == ["get_job"]
    await page.do("hide", True)
    await page.do("advance", 600_000)
    assert tools(page) == []
    await page.do("hide", False)
    assert "get_job" in await _advanced(page)


async def _advanced(page: Shown) -> list[str]:
    await page.do("advance", 60_000)
    return tools(page)


async def test_a_job_that_ends_is_announced_and_its_results_come() -> None:
    """Without a click."""
    emulator = Emulator(pace=Pace.polls(6))
    async with talk(emulator) as chat, page_of(chat) as page:
        await page.open(FULL)
        await page.show(job_id=emulator.find(RUNNING))
        for _ in range(8):
            await page.do("advance", 60_000)
        assert page.seen["said"] == "The job is now Succeeded."
        assert "Outputs: JSON objects" in page.text
        # The last two are its page of rows and, as there is no field of many numbers, nothing more.
        assert tools(page)[-3:] == ["get_job", "get_job_results", "get_job_results"]


async def test_results_are_distributions_and_a_table_that_can_be_asked(page: Shown, chat: Talk) -> None:
    """Bars and doubtful kinds filter, headings sort; each is one call, and none asks Sutro again."""
    text = await page.show(job_id=chat.emulator.find(TICKETS))
    assert tools(page) == ["get_job_results", "get_job_results", "query_job_results"]
    assert "1,000 rows. Outputs: JSON objects in 990 of 1,000 rows." in text
    assert "label text · 10 empty feature_request 217 22% bug 212 21%" in text
    assert "urgency integer · 10 empty 1 147 15% 2 161 16% 3 273 28% 4 287 29% 5 122 12%" in text
    assert "confidence number · 10 empty 0.55 median 0.76, mean 0.7649 0.99" in text
    assert "Rows 1–25 of 1,000" in text
    asked = len(chat.emulator.requests)
    await page.do("click", "bug 212 21%")
    text = await page.do("click", "0.946 to 0.99: 98 rows")
    assert tools(page) == ["query_job_results"] * 2
    assert "27 rows found label: bug × confidence: 0.946 to 0.99 ×" in text
    text = await page.do("click", "urgency")
    text = await page.do("click", "urgency ↑")
    # Rows that were counted once are not counted for another order.
    assert [sql["sql"].split(", ")[0] for _, sql in page.calls] == ["SELECT 27"] * 2
    assert tools(page) == ["query_job_results"] * 2
    assert len(chat.emulator.requests) == asked
    assert "urgency ↓" in text
    await page.do("click", "Remove the filter label: bug")
    await page.do("click", "Remove the filter confidence: 0.946 to 0.99")
    assert "Rows 1–25 of 1,000" in await page.do("click", "urgency ↓")
    assert "26–50 of 1,000" in await page.do("click", "Next rows")
    assert "2 rows found JSON cut off or broken ×" in await page.do("click", "JSON cut off or broken 2")
    # The thirteenth call within a minute waits for its end.
    page.calls.clear()
    assert "2 rows found" in await page.do("click", "bug 212 21%")
    assert tools(page) == []
    text = await page.do("advance", 60_000)
    assert "0 rows found" in text
    assert "No rows match. Clear the filter" in text
    assert "Rows 1–25 of 1,000" in await page.do("click", "Clear the filter")


async def test_a_table_has_twelve_fields_and_says_of_how_many(page: Shown, chat: Talk) -> None:
    """Also where it is sorted."""
    output = json.dumps({f"field{number}": number for number in range(14)})
    job = chat.emulator.add_job(inputs=["a", "b"], outputs=[output, output])
    assert "1–2 of 2, 12 of 14 fields" in await page.show(job_id=job)
    assert "1–2 of 2, 12 of 14 fields" in await page.do("click", "field3")
    assert [name for name in ("field11", "field12") if f'"{name}"' in page.calls[-1][1]["sql"]] == ["field11"]


async def test_a_long_cell_opens_in_full(page: Shown, chat: Talk) -> None:
    """By one call where it was cut, and the focus goes there and back."""
    await page.show(job_id=chat.emulator.find("invoice-extraction"))
    page.calls.clear()
    await page.do("click", '[{"description"')
    assert page.seen["focus"] == "close"
    assert [arguments["limit"] for _, arguments in page.calls] in ([], [1])
    await page.do("click", "Close")
    assert page.seen["focus"].startswith("cell-")


async def test_a_failed_job_tells_its_reason_and_asks_in_a_fixed_sentence(page: Shown, chat: Talk) -> None:
    """Nothing that others wrote is in it."""
    job = chat.emulator.find(FAILED)
    text = await page.show(job_id=job)
    assert "Why it failed Worker lost while processing rows; the retry limit was reached." in text
    assert "worker=w-07 attempt=3 last_row=496" in text
    assert tools(page) == []
    assert "Asked." not in await page.do("click", "Ask the assistant")
    (message,) = [each for each in page.told if each.get("method") == "ui/message"]
    question = f"Why did Sutro job {job} fail?"
    assert message["params"] == {"role": "user", "content": [{"type": "text", "text": question}]}
    await page.do("advance", 20_000)
    assert f"Ask the assistant: {question}" in page.text


async def test_a_cancellation_is_previewed_and_then_agreed_to(page: Shown, chat: Talk) -> None:
    """The focus is on keeping the job."""
    await page.show(job_id=chat.emulator.find(RUNNING))
    text = await page.do("click", "Cancel the job…")
    assert "Cancel this job? This is a preview, nothing was sent." in text
    assert page.seen["focus"] == "keep"
    assert "Cancel this job?" not in await page.do("click", "Keep it")
    await page.do("click", "Cancel the job…")
    page.calls.clear()
    text = await page.do("click", "Cancel the job")
    assert page.calls[0][1]["confirm"] is True
    assert "Cancelling: requested" in text or "Cancelling: confirmed" in text
    assert page.seen["said"]


@pytest.mark.parametrize("policy", ["allow", "off"])
async def test_the_page_asks_itself_where_the_server_would_not(emulator: Emulator, policy: str) -> None:
    """Under `off` there is no button."""
    async with (
        talk(emulator, settings=Settings.model_validate({"cancel": policy})) as chat,
        page_of(chat) as page,
    ):
        await page.open(FULL)
        text = await page.show(job_id=emulator.find(RUNNING))
        assert ("Cancel the job…" in text) is (policy == "allow")
        if policy == "allow":
            assert "Its results are lost" in await page.do("click", "Cancel the job…")
            assert tools(page) == []


async def test_two_runs_are_compared_also_by_choosing_the_second(page: Shown, chat: Talk) -> None:
    """The same view from the conversation and from a job's page."""
    first, second = chat.emulator.find(GEMMA), chat.emulator.find(QWEN)
    text = await page.show(job_id=first, compare_with=second)
    assert (
        "18% 36 of 200 rows changed, all with the same inputs Agreement confidence 82% label 86% urgency 87%"
        in text
    )
    assert "before model-comparison-gemma gemma-3-12b-it after model-comparison-qwen qwen-3-14b" in text
    assert "Largest moves, before → after label" in text
    assert "confidence 16 0.75 0.8" in text
    assert tools(page) == ["get_job", "get_job"]
    await page.show(job_id=first)
    assert "Compare model-comparison-gemma with" in await page.do("click", "Compare with…")
    assert "18% 36 of 200 rows changed" in await page.do("click", "model-comparison-qwen")


@pytest.mark.parametrize("arguments", [{}, {"job_id": FAILED}, {"job_id": TICKETS}])
async def test_a_host_that_lets_the_view_only_show_gets_what_came(
    chat: Talk, arguments: dict[str, str]
) -> None:
    """Nothing is called or seems to come, every button that would is off, and one line says why."""
    known = {name: chat.emulator.find(job) for name, job in arguments.items()}
    async with page_of(chat) as page:
        await page.open({})
        text = await page.show(**known)
        assert text.endswith(f"{ONLY_SHOWN}.")
        assert ("contract-summaries" in text) or ("support-ticket-triage" in text)
        await page.do("advance", 600_000)
        assert (tools(page), page.seen["bones"]) == ([], 0)


async def test_what_did_not_come_is_asked_for(page: Shown, chat: Talk) -> None:
    """After three seconds without an answer, or at once where it is text alone."""
    await page.notify("tool-input", arguments={"job_id": chat.emulator.find(FAILED)})
    assert "Loading" in page.text
    await page.do("advance", 3_000)
    assert "Why it failed" in page.text
    text_alone = await result_of(chat, "show_jobs", {})
    del text_alone["structuredContent"]
    await page.notify("tool-input", arguments={})
    assert "52 in all" in await page.notify("tool-result", **text_alone)
    assert [name for name in tools(page) if name == "show_jobs"] == ["show_jobs"] * 2


async def test_calls_that_are_refused_or_not_answered_leave_what_came(page: Shown) -> None:
    """With a way to try again."""
    page.refusal = "Denied by the user"
    text = await page.show()
    assert f"{ONLY_SHOWN}: Denied by the user" in text
    assert "nightly-email-classify" in text
    page.refusal, page.answers = "", False
    await page.do("click", "Try again")
    await page.do("advance", 60_000)
    assert f"{ONLY_SHOWN}: it gave no answer." in page.text
    page.answers = True
    text = await page.do("click", "Try again")
    assert "All 52" in text
    assert ONLY_SHOWN not in text


ENDS: list[tuple[str, Message, str]] = [
    ("tool-cancelled", {"reason": "user"}, "Stopped."),
    ("tool-result", {"isError": True, "content": [{"type": "text", "text": "No key."}]}, "No key."),
]


@pytest.mark.parametrize(("topic", "params", "words"), ENDS, ids=["cancelled", "error"])
async def test_a_call_that_came_to_nothing_says_so_and_can_be_tried_again(
    page: Shown, topic: str, params: Message, words: str
) -> None:
    """In the tool's words where it has some."""
    assert words in await page.notify(topic, **params)
    assert "52 in all" in await page.do("click", "Try again")


async def test_an_old_conversation_is_refreshed_once_and_then_left_alone(page: Shown, chat: Talk) -> None:
    """Until somebody asks for more."""
    result = await result_of(chat, "show_jobs", {"job_id": chat.emulator.find(RUNNING)})
    result["structuredContent"]["at"] = "2026-01-01T00:00:00Z"
    assert "No longer followed: use Refresh." in await page.notify("tool-result", **result)
    assert tools(page) == ["get_job"]
    assert await _advanced(page) == []
    assert "No longer followed" not in await page.do("click", "Refresh")
    await page.do("advance", 5_000)
    assert tools(page) == ["get_job", "get_job"]


async def test_an_empty_account_says_so(emulator: Emulator) -> None:
    """Without a filter to clear."""
    async with talk(Emulator(seed_jobs=False)) as chat, page_of(chat) as page:
        await page.open(FULL)
        assert "No jobs yet." in await page.show()


async def test_what_others_wrote_is_text(page: Shown, emulator: Emulator) -> None:
    """Markup in a name makes no element."""
    job = emulator.find(FAILED)
    emulator.job(job).name = "<img src=x onerror=alert(1)><b>bold</b>"
    text = await page.show(job_id=job)
    assert "<img src=x onerror=alert(1)><b>bold</b>" in text
    assert {"img", "script", "a"} & set(page.seen["tags"]) == set()


async def test_the_page_follows_its_host(page: Shown) -> None:
    """Theme, requests that it does not know, and the end."""
    await page.show()
    await page.notify("host-context-changed", theme="dark", styles={"variables": {"--font-sans": "Inter"}})
    assert page.seen["scheme"] == "dark"
    page.told.clear()
    for number, method in enumerate(("ping", "sampling/x", "ui/resource-teardown")):
        await page.do("deliver", {"jsonrpc": "2.0", "id": number, "method": method, "params": {}})
    assert [message.get("result", message.get("error")) for message in page.told] == [
        {},
        {"code": -32601, "message": "Method not found"},
        {},
    ]
    tools(page)
    await page.do("click", "Refresh")
    assert tools(page) == []
