"""Jobs by URI: the tools' answers as JSON, and refusals with the right code."""

import json

import pytest
from mcp import MCPError

from sutro_mcp.emulator import Fault
from tests.support import Talk

pytestmark = pytest.mark.anyio


async def test_every_template_is_listed(chat: Talk) -> None:
    """The five of them, with a description and as JSON."""
    templates = (await chat.client.list_resource_templates()).resource_templates
    assert [template.uri_template for template in templates] == [
        "sutro://jobs{?status,limit}",
        "sutro://jobs/{job_id}",
        "sutro://jobs/{job_id}/status",
        "sutro://jobs/{job_id}/results{?offset,limit,include_inputs}",
        "sutro://jobs/{job_id}/results/summary",
    ]
    assert all(template.description and template.mime_type == "application/json" for template in templates)


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
    ("uri", "code", "words"),
    [
        ("sutro://jobs?limit=x", -32602, "whole number from 1 to 100"),
        ("sutro://jobs?limit=101", -32602, "whole number"),
        ("sutro://jobs?status=DONE", -32602, '"DONE" is not a status'),
        ("sutro://jobs/job-x/results?include_inputs=maybe", -32602, "true or false"),
        ("sutro://jobs/job-nope", -32602, "no such job"),
        ("sutro://jobs/job%20x/status", -32602, "list_jobs"),
        ("sutro://nothing", -32602, "Unknown resource"),
    ],
)
async def test_a_bad_uri_is_refused_with_the_reason(chat: Talk, uri: str, code: int, words: str) -> None:
    """Invalid params, in both eras."""
    with pytest.raises(MCPError, match=words) as caught:
        await chat.read(uri)
    assert caught.value.code == code


async def test_a_deployment_in_trouble_is_not_the_readers_fault(chat: Talk) -> None:
    """Another code, and our words."""
    chat.emulator.faults.add(Fault.html(502), times=9)
    with pytest.raises(MCPError, match="again") as caught:
        await chat.read("sutro://jobs")
    assert caught.value.code == -32603


async def test_a_bug_in_a_resource_is_masked(chat: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a tool."""
    from sutro_mcp.server import resources

    monkeypatch.delattr(resources, "find_jobs")
    with pytest.raises(MCPError) as caught:
        await chat.read("sutro://jobs")
    assert "find_jobs" not in str(caught.value)
