"""Calls that cannot work: each its own answer, which tells an assistant what to do, in both eras."""

import httpx
import pytest
from mcp import MCPError

from sutro_mcp.emulator import Emulator, Fault
from tests.support import Era, Talk, records, talk

pytestmark = pytest.mark.anyio

BAD_IDS = [
    "../job-cancel/job-1", "..", ".", "a/../../job-cancel/x", "%2e%2e/job-cancel/x", "job-1?x=1", "job-1#x",
    "\\job", "//evil.example/x", "http://evil.example/", "job\r\nX: 1", "job\x00", "job 1", "ｊｏｂ-1",
    "\u202ejob", "j" * 150, "", "*",
]  # fmt: skip
OF_A_JOB: dict[str, dict[str, object]] = {
    "get_job": {},
    "get_job_status": {},
    "wait_for_job": {},
    "get_job_results": {},
    "query_job_results": {"sql": "SELECT 1 FROM results"},
    "export_job_results": {"file_name": "a.csv"},
    "cancel_job": {"confirm": True},
}


@pytest.mark.parametrize("tool", OF_A_JOB)
async def test_a_job_that_is_none_is_refused(chat: Talk, tool: str) -> None:
    """No request of any kind leaves for what is not an id; an id of no job is said to be unknown."""
    for job_id in BAD_IDS:
        assert "list_jobs" in await chat.refusal(tool, job_id=job_id, **OF_A_JOB[tool])
    assert chat.emulator.requests == []
    refusal = await chat.refusal(tool, job_id="job-00000000", **OF_A_JOB[tool])
    assert "no such job" in refusal
    assert "list_jobs" in refusal


async def test_an_unknown_tool_is_a_protocol_error(chat: Talk) -> None:
    """-32602, as the specification says."""
    with pytest.raises(MCPError, match="Unknown tool: 'delete_job'") as caught:
        await chat.result("delete_job")
    assert caught.value.code == -32602


async def test_an_unknown_argument_is_refused_with_the_accepted_ones(chat: Talk) -> None:
    """Not ignored: a misspelt filter must not give an unfiltered list."""
    refusal = await chat.refusal("list_jobs", limt=5)
    assert refusal == (
        "Cannot call list_jobs: it has no argument 'limt'. Did you mean limit? It accepts: status, model, "
        "search, unnamed, created_after, created_before, sort, limit, cursor."
    )
    assert "Did you mean" not in await chat.refusal("get_job", job_id="x", zzz=1)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("list_jobs", {"limit": 500}, "limit: Input should be less than or equal to 100 (got 500)"),
        ("list_jobs", {"limit": 0}, "greater than or equal to 1"),
        ("list_jobs", {"limit": "ten"}, "limit: "),
        ("list_jobs", {"limit": 1.5}, "limit: "),
        ("list_jobs", {"status": ["DONE"]}, "status.0: Input should be 'QUEUED'"),
        ("list_jobs", {"status": [7]}, "status.0: "),
        ("list_jobs", {"status": {"a": 1}}, "status: "),
        ("list_jobs", {"status": "[oops"}, "status.0: "),
        ("list_jobs", {"status": "[" * 3_000}, "status.0: "),
        ("list_jobs", {"search": "x" * 5_000}, "at most 200 characters"),
        ("summarize_jobs", {"group_by": "colour"}, "group_by: "),
        ("get_job", {}, "job_id is required"),
        ("get_job_results", {"job_id": "job-1", "offset": -1}, "offset: "),
        ("get_job_results", {"job_id": "job-1", "view": "all"}, "view: "),
        ("get_job_results", {"job_id": "job-1", "max_cell_chars": 1}, "max_cell_chars: "),
    ],
)
async def test_a_bad_value_names_the_argument_and_the_rule(
    chat: Talk, tool: str, arguments: dict[str, object], words: str
) -> None:
    """Short, without pydantic's own page, before any request."""
    refusal = await chat.refusal(tool, **arguments)
    assert words in refusal
    assert "pydantic" not in refusal
    assert len(refusal) < 600
    assert chat.emulator.requests == []


async def test_blank_optional_arguments_count_as_absent(chat: Talk) -> None:
    """Hosts send "" or null for what the model left out."""
    answer = await chat.call("list_jobs", status="", model=None, limit="", cursor="", created_after=None)
    assert len(records(answer["jobs"])) == 20


async def test_a_wrong_key_is_told_from_a_wrong_url(emulator: Emulator, era: Era) -> None:
    """Both say which setting to mend; neither shows the key."""
    async with talk(emulator, era, key="sk_wrong_key_1234") as chat:
        refusal = await chat.refusal("list_jobs")
        assert "SUTRO_API_KEY" in refusal
        assert "sutro-mcp check" in refusal
        assert "sk_wrong" not in refusal
    page = Fault.raw(b"<!doctype html><title>hello</title>", media_type="text/html")
    emulator.faults.add(page, times=9)
    async with talk(emulator, era) as chat:
        refusal = await chat.refusal("list_jobs")
        assert "SUTRO_API_URL" in refusal
        assert "hello" not in refusal


async def test_no_key_at_all_is_explained_at_the_first_call(era: Era) -> None:
    """The server starts, lists its tools, and says what is missing."""
    async with talk(Emulator(seed_jobs=False), era, key="") as chat:
        assert (await chat.client.list_tools()).tools
        assert "SUTRO_API_KEY" in await chat.refusal("list_jobs")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.json(403, "not yours"), "not allowed"),
        (Fault.gone(), "deployment"),
        (Fault.rate_limited(7), "7 seconds"),
        (Fault.html(502), "again"),
        (Fault.html(524), "again"),
        (Fault.json(500, "boom"), "again"),
        (Fault.raw(b"{"), "report"),
        (Fault.raw(b"[]"), "report"),
        (Fault.raw(b'{"jobs": null}'), "report"),
    ],
    ids=["403", "410", "429", "502", "524", "500", "broken-json", "wrong-shape", "null-jobs"],
)
async def test_each_failure_of_the_deployment_is_an_error_that_says_what_to_do(
    emulator: Emulator, fault: Fault, words: str
) -> None:
    """Never an empty list."""
    emulator.faults.add(fault, times=50)
    async with talk(emulator) as chat:
        assert words in (await chat.refusal("list_jobs")).lower()


async def test_a_refused_connection_says_that_nothing_answers(emulator: Emulator) -> None:
    """The address is named by its setting."""

    class Refusing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

    async with talk(emulator, transport=Refusing()) as chat:
        assert "SUTRO_API_URL" in await chat.refusal("list_jobs")
