"""Refusals quote shortly: none, of whatever layer, is longer than 2,000 characters."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import PromptReference, ResourceTemplateReference

from sutro_mcp.server.tools import CATALOGUE
from tests.support import Talk

pytestmark = pytest.mark.anyio

LONG = "j" * 20_000
VALUES: list[Any] = [LONG, [LONG], {LONG: LONG}]


async def refusal_of(call: Callable[..., Awaitable[object]], *arguments: Any) -> str:
    """The error as it is sent, data included."""
    with pytest.raises(MCPError) as caught:
        await call(*arguments)
    return caught.value.error.model_dump_json()


@pytest.mark.parametrize("name", [tool.name for tool in CATALOGUE])
async def test_a_tool_quotes_no_long_argument(chat: Talk, name: str) -> None:
    """Each argument in turn, an unknown one, and an unknown tool."""
    listed = {tool.name: tool for tool in (await chat.client.list_tools()).tools}
    valid = {"job_id": "job-1", "sql": "SELECT 1 FROM results", "file_name": "a.csv"}
    accepted = listed[name].input_schema["properties"]
    fit = {key: value for key, value in valid.items() if key in accepted}
    for argument in (*accepted, LONG):
        for value in VALUES:
            assert len(await chat.refusal(name, **fit | {argument: value})) < 2_000, argument
    assert len(await refusal_of(chat.client.call_tool, f"{name}{LONG}", {})) < 2_000
    assert chat.emulator.requests == []


@pytest.mark.parametrize(
    "uri",
    [
        "sutro://jobs/{}",
        "sutro://jobs/{}/status",
        "sutro://jobs/{}/results",
        "sutro://jobs/{}/results/summary",
        "sutro://jobs/job-1/{}",
        "sutro://jobs?status={}",
        "sutro://jobs?limit={}",
        "sutro://jobs?{}=1",
        "sutro://{}",
        "odd://{}",
        "{}",
    ],
)
async def test_a_resource_quotes_no_long_uri(chat: Talk, uri: str) -> None:
    """In any of its places."""
    assert len(await refusal_of(chat.client.read_resource, uri.format(LONG))) < 2_000


async def test_a_prompt_quotes_no_long_argument(chat: Talk) -> None:
    """Nor its name, nor what is to be completed."""
    get = chat.client.get_prompt
    for name, arguments in (
        (LONG, {}),
        ("triage_failed_jobs", {LONG: "x"}),
        ("review_job_results", {"job_id": LONG}),
        ("spend_report", {"period": LONG}),
    ):
        assert len(await refusal_of(get, name, arguments)) < 2_000
    for ref in (
        PromptReference(type="ref/prompt", name=LONG),
        ResourceTemplateReference(type="ref/resource", uri=f"sutro://{LONG}"),
    ):
        argument = {"name": LONG, "value": LONG}
        assert len(await refusal_of(chat.client.complete, ref, argument)) < 2_000
    assert len(await refusal_of(lambda: chat.client.list_resources(cursor=LONG))) < 2_000
