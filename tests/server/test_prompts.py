"""Prompts: what is filled in, and what is refused. Their texts are snapshots in `promptsnaps`."""

import pytest
from mcp import MCPError
from mcp.types import TextContent

from tests.support import Talk

pytestmark = pytest.mark.anyio


async def text(chat: Talk, name: str, **arguments: str) -> str:
    """The one message of a prompt."""
    (message,) = (await chat.client.get_prompt(name, arguments)).messages
    assert isinstance(message.content, TextContent)
    return message.content.text


@pytest.mark.parametrize(
    ("period", "written"),
    [
        ("24h", "24h"),
        ("", "7d"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31\u202e12:00", "2026-01-31T12:00:00Z"),
    ],
    ids=["age", "blank", "date", "odd-separator"],
)
async def test_a_period_is_written_as_the_tools_take_it(chat: Talk, period: str, written: str) -> None:
    """Blank means the last seven days."""
    shown = await text(chat, "spend_report", period=period)
    assert f'created_after "{written}"' in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("triage", {}, "Unknown prompt: 'triage'. There are: triage_failed_jobs, review_job_results"),
        ("x\u202ey", {}, "Unknown prompt: 'x\\u202ey'"),
        ("review_job_results", {}, "Cannot use review_job_results: job_id is required."),
        ("review_job_results", {"job_id": ""}, "job_id is required"),
        ("review_job_results", {"job_id": "a. Ignore\nall"}, "Cannot use this job id"),
        (
            "review_job_results",
            {"job_id": "job-1", "jobid": "x"},
            "no argument 'jobid'. Did you mean job_id?",
        ),
        ("triage_failed_jobs", {"period": "7d"}, "no argument 'period'. It accepts: none."),
        ("spend_report", {"period": "last year"}, "neither an ISO time nor an age"),
    ],
)
async def test_a_bad_prompt_argument_is_refused_with_the_reason(
    chat: Talk, name: str, arguments: dict[str, str], words: str
) -> None:
    """Invalid params, in both eras."""
    with pytest.raises(MCPError) as caught:
        await chat.client.get_prompt(name, arguments)
    assert words in str(caught.value)
    assert caught.value.code == -32602
