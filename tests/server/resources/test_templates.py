"""Jobs by URI: the tools' answers as JSON, and refusals with the right code."""

import json

import pytest
from mcp import MCPError

from sutro_mcp.emulator import Fault
from tests.support import Era, Talk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]


@pytest.mark.parametrize(
    ("uri", "tool", "arguments"),
    [
        ("sutro://jobs", "list_jobs", {}),
        ("sutro://jobs?limit=3", "list_jobs", {"limit": 3}),
        (
            "sutro://jobs?status=FAILED,cancelled&limit=5",
            "list_jobs",
            {"status": ["FAILED", "CANCELLED"], "limit": 5},
        ),
        ("sutro://jobs/{id}", "get_job", {"full": True}),
        ("sutro://jobs/{id}/status", "get_job_status", {}),
        ("sutro://jobs/{id}/results/summary", "get_job_results", {}),
        ("sutro://jobs/{id}/results", "get_job_results", {"view": "rows"}),
        (
            "sutro://jobs/{id}/results?offset=7&limit=2&include_inputs=true",
            "get_job_results",
            {"view": "rows", "offset": 7, "limit": 2, "include_inputs": True},
        ),
    ],
)
async def test_a_resource_is_the_answer_of_its_tool(
    chat: Talk, uri: str, tool: str, arguments: dict[str, object]
) -> None:
    """Compact JSON, the same facts."""
    job_id = chat.emulator.find("support-ticket-triage")
    more = {"job_id": job_id} if "{id}" in uri else {}
    text = await chat.read(uri.format(id=job_id))
    assert json.loads(text) == await chat.call(tool, **more, **arguments)
    assert '": ' not in text.replace('\\": ', "")[:200]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sutro://jobs?limit=x", "whole number from 1 to 100"),
        ("sutro://jobs?limit=101", "whole number"),
        ("sutro://jobs?status=DONE", '"DONE" is not a status'),
        ("sutro://jobs?lmit=3", "its parameter 'lmit' does not exist. It accepts: limit, status."),
        ("sutro://jobs?limit=3&limit=4", "its parameter 'limit' is given twice"),
        ("sutro://jobs/job-x?full=true", "its parameter 'full' does not exist. It accepts: none."),
        ("sutro://jobs/job-x/results?include_inputs=maybe", "true or false"),
        ("sutro://jobs/job%20x/status", "list_jobs"),
    ],
)
async def test_a_bad_uri_is_refused_with_the_reason(chat: Talk, uri: str, words: str) -> None:
    """Invalid params, in both eras, and before any request."""
    with pytest.raises(MCPError) as caught:
        await chat.read(uri)
    assert words in str(caught.value)
    assert (caught.value.code, caught.value.data) == (-32602, {"uri": uri})
    assert chat.emulator.requests == []


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sutro://jobs/job-nope", "no such job"),
        ("sutro://nothing", "Unknown resource: sutro://nothing. resources/templates/list"),
        ("sutro://jobs/../x", "Unknown resource"),
    ],
)
async def test_what_is_not_there_has_the_code_of_its_era(chat: Talk, era: Era, uri: str, words: str) -> None:
    """2026 made it invalid params; before, it had a code of its own."""
    with pytest.raises(MCPError) as caught:
        await chat.read(uri)
    assert words in str(caught.value)
    assert (caught.value.code, caught.value.data) == (-32602 if era == "auto" else -32002, {"uri": uri})


async def test_a_uri_is_not_repeated_as_it_came(chat: Talk) -> None:
    """It may try to turn the text around it, or to fill it."""
    with pytest.raises(MCPError) as caught:
        await chat.read("sutro://no\u202ething/" + "x" * 5_000)
    error = caught.value.error
    assert "\u202e" not in error.model_dump_json()
    assert "\\u{202E}" in error.message
    assert len(error.message) < 400


@pytest.mark.parametrize("name", ["catalogue-copy-refresh", "contract-summaries", "old-survey-coding"])
async def test_the_results_of_a_job_without_any_say_why(chat: Talk, name: str) -> None:
    """No error: a program that reads the resources of every job goes on to the next."""
    job_id = chat.emulator.find(name)
    reasons: set[str] = set()
    for part in ("results", "results/summary"):
        answer = json.loads(await chat.read(f"sutro://jobs/{job_id}/{part}"))
        assert answer.pop("results_available") is False
        reasons.add(answer.pop("reason"))
        assert answer == {}
    (reason,) = reasons
    assert reason == await chat.refusal("get_job_results", job_id=job_id)


async def test_a_deployment_in_trouble_is_not_the_readers_fault(chat: Talk) -> None:
    """Another code, and our words."""
    chat.emulator.faults.add(Fault.html(502), times=9)
    with pytest.raises(MCPError, match="again") as caught:
        await chat.read("sutro://jobs")
    assert caught.value.code == -32603


async def test_a_bug_in_a_resource_is_masked(chat: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a tool."""
    from sutro_mcp.server.resources import templates as resources

    monkeypatch.delattr(resources, "listed")
    with pytest.raises(MCPError) as caught:
        await chat.read("sutro://jobs")
    assert str(caught.value) == (
        "Reading this resource failed because of an error in sutro-mcp itself. Its log (stderr) says more."
    )
