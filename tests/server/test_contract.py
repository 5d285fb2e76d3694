"""Promises to hosts and models, as reviewed files, and the rules that every tool keeps.

A changed snapshot is a changed contract: `scripts/snap` accepts it, and the difference is read in review.
"""

import json
import os
import re
from base64 import b64decode
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client
from mcp.types import SERVER_INFO_META_KEY, TextContent, Tool
from pydantic import BaseModel

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.job_list.job_search import LOOK_LIMIT
from sutro_mcp.job_list.job_totals import MOST_JOBS
from sutro_mcp.server.build import build_server, instructions
from sutro_mcp.server.protocol.icons import icons
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.tools import CATALOGUE
from sutro_mcp.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]

SNAPS = Path(__file__).parent / "toolsnaps"
TEMPLATE_SNAPS = Path(__file__).parent / "resourcesnaps"
PROMPT_SNAPS = Path(__file__).parent / "promptsnaps"
PROMPTS: dict[str, dict[str, str]] = {
    "triage_failed_jobs": {},
    "review_job_results": {"job_id": "job-1"},
    "spend_report": {"period": "30d"},
}
NAMES = [tool.name for tool in CATALOGUE]


def _server() -> SutroServer:
    return build_server(Settings(), lambda: ApiClient(resolve_connection(env={})))


async def served_tools() -> list[Tool]:
    """The tools as a client sees them, without key or network."""
    async with Client(_server()) as client:
        return (await client.list_tools()).tools


async def tool_named(name: str) -> Tool:
    """One of them."""
    return next(tool for tool in await served_tools() if tool.name == name)


def _wire(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def check_snapshot(name: str, tool: dict[str, Any]) -> None:
    """A tool as its file has it."""
    _check(SNAPS / f"{name}.json", _json(tool))


def _check(path: Path, content: str) -> None:
    if os.environ.get("SNAP_UPDATE"):
        path.write_text(content, "utf-8")
    assert path.exists(), f"{path.name} is missing; scripts/snap writes it"
    assert path.read_text("utf-8") == content, f"{path.name} differs; scripts/snap accepts the change"


@pytest.mark.parametrize("name", NAMES)
async def test_a_tool_is_what_its_snapshot_says(name: str) -> None:
    """Name, title, description, hints and both schemas."""
    tool = await tool_named(name)
    check_snapshot(name, _wire(tool))


async def test_the_templates_are_what_their_snapshots_say() -> None:
    """URI, name, title, description, type; one file each and no other."""
    async with Client(_server()) as client:
        templates = (await client.list_resource_templates()).resource_templates
    for template in templates:
        _check(TEMPLATE_SNAPS / f"{template.name}.json", _json(_wire(template)))
    assert {path.stem for path in TEMPLATE_SNAPS.glob("*.json")} == {template.name for template in templates}


async def test_the_prompts_are_what_their_snapshots_say() -> None:
    """The line of a menu, and the text that the model gets; one file each and no other."""
    async with Client(_server()) as client:
        prompts = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == list(PROMPTS)
        for prompt in prompts:
            (message,) = (await client.get_prompt(prompt.name, PROMPTS[prompt.name])).messages
            assert message.role == "user"
            assert isinstance(message.content, TextContent)
            head = _json(_wire(prompt)).rstrip()
            _check(PROMPT_SNAPS / f"{prompt.name}.md", f"```json\n{head}\n```\n\n{message.content.text}\n")
    assert {path.stem for path in PROMPT_SNAPS.glob("*.md")} == set(PROMPTS)


@pytest.mark.parametrize("name", PROMPTS)
async def test_a_prompt_is_short_and_leads_through_tools_that_exist(name: str) -> None:
    """Under 1,500 characters, and every argument that it names is one of that tool's."""
    async with Client(_server()) as client:
        (message,) = (await client.get_prompt(name, PROMPTS[name])).messages
    assert isinstance(message.content, TextContent)
    text = message.content.text
    assert len(text) < 1_500
    called = re.findall(r"\b(?:list|get|summarize|query|wait|export|cancel)_[a-z_]+", text)
    assert 2 <= len(called) <= 5
    assert set(called) <= set(NAMES)
    tools = {tool.name: tool for tool in await served_tools()}
    accepted = {argument for tool in called for argument in tools[tool].input_schema["properties"]}
    answers = {"next_cursor", "no_cost"}
    assert set(re.findall(r"\b[a-z]+_[a-z_]+\b", text)) - set(NAMES) <= accepted | answers


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_server_says_who_it_is(mode: str) -> None:
    """Name, title, version, website, icons, and how its tools combine, in both eras."""
    async with Client(_server(), mode=mode) as client:
        info = client.server_info
        assert client.instructions == instructions(Settings())
        listed = await client.list_tools()
    assert info is not None
    facts = {
        "name": "sutro-mcp",
        "title": "Sutro batch inference",
        "version": version("sutro-mcp"),
        "description": "Batch LLM-inference jobs on Sutro (sutro.sh): find, follow, read results, cancel.",
        "websiteUrl": "https://sutro.sh",
    }
    assert _wire(info) == {**facts, "icons": icons()}
    # What comes with every result in the newer era is without pictures.
    assert listed.meta == ({SERVER_INFO_META_KEY: facts} if mode == "auto" else None)


def test_the_icons_are_small_pictures_for_light_and_dark() -> None:
    """As data, within three kilobytes."""
    assert [icon["theme"] for icon in icons()] == ["light", "dark"]
    for icon in icons():
        kind, _, data = icon["src"].partition(";base64,")
        assert (kind, icon["mimeType"], icon["sizes"]) == ("data:image/png", "image/png", ["96x96"])
        # A PNG says its width and height first.
        assert b64decode(data)[:24] == b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (96).to_bytes(4) * 2
    assert len(json.dumps(icons())) < 3_000


async def test_the_instructions_are_what_their_snapshot_says() -> None:
    """Under 1,500 characters, constant, and naming only tools that exist."""
    text = instructions(Settings())
    assert len(text) < 1_500
    _check(SNAPS / "instructions.md", text + "\n")


async def test_the_served_tools_are_the_catalogue_in_its_order() -> None:
    """The SDK drops a second tool of the same name with a log line; a removed tool takes its file with it."""
    assert [tool.name for tool in await served_tools()] == NAMES
    assert len(NAMES) <= 20
    assert sorted(path.stem for path in SNAPS.glob("*.json")) == sorted([*NAMES, "show_jobs"])


async def test_what_a_model_pays_before_it_asks_stays_small() -> None:
    """Names, descriptions and input schemas: 8,300 bytes in all, no tool over 1,350; schemas of answers: 9,000."""
    sizes: dict[str, int] = {}
    answers: dict[str, int] = {}
    for tool in await served_tools():
        visible = {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
        sizes[tool.name] = _bytes(visible)
        answers[tool.name] = _bytes(tool.output_schema)
    assert sum(sizes.values()) < 8_300, sizes
    assert max(sizes.values()) <= 1_350, sizes
    assert sum(answers.values()) <= 9_000, answers


def _bytes(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


async def test_numbers_in_descriptions_are_those_of_the_code() -> None:
    """A limit that changes takes its words along."""
    assert f"newest {LOOK_LIMIT:,} jobs" in ((await tool_named("list_jobs")).description or "")
    assert f"newest {MOST_JOBS:,} jobs" in ((await tool_named("summarize_jobs")).description or "")


@pytest.mark.parametrize("name", NAMES)
async def test_every_hint_is_explicit_and_true_to_the_effect(name: str) -> None:
    """Two tools change something: cancel_job ends a job, export_job_results may replace a file."""
    hints = (await tool_named(name)).annotations
    assert hints is not None
    changes_something = name in ("cancel_job", "export_job_results")
    assert hints.read_only_hint is not changes_something
    assert hints.destructive_hint is changes_something
    assert (hints.idempotent_hint, hints.open_world_hint) == (True, True)


@pytest.mark.parametrize("name", NAMES)
async def test_a_tool_says_what_its_schema_may_not(name: str) -> None:
    """A title, an unindented description, and the default of each number and choice."""
    tool = await tool_named(name)
    assert tool.title
    assert "\n  " not in (tool.description or "")
    required = cast("list[str]", tool.input_schema.get("required", []))
    for argument, rule in cast("dict[str, dict[str, Any]]", tool.input_schema["properties"]).items():
        if argument not in required and rule["type"] in {"integer", "boolean"}:
            assert "efault" in rule["description"], argument
