"""What hosts and models are promised, as reviewed files, and the rules that every tool keeps.

A changed snapshot is a changed contract: `scripts/snap` accepts it, and the difference is read in review.
"""

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client
from mcp.types import Tool

from sutro_mcp.client import ApiClient, resolve_connection
from sutro_mcp.server.build import build_server, instructions
from sutro_mcp.server.tools import CATALOGUE
from sutro_mcp.settings import Settings

pytestmark = pytest.mark.anyio

SNAPS = Path(__file__).parent / "toolsnaps"
NAMES = [tool.name for tool in CATALOGUE]


async def served_tools() -> list[Tool]:
    """The tools as a client sees them, without key or network."""
    server = build_server(Settings(), lambda: ApiClient(resolve_connection(env={})))
    async with Client(server) as client:
        return (await client.list_tools()).tools


async def tool_named(name: str) -> Tool:
    """One of them."""
    return next(tool for tool in await served_tools() if tool.name == name)


def _wire(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def _check(name: str, content: str) -> None:
    path = SNAPS / name
    if os.environ.get("SNAP_UPDATE"):
        path.write_text(content, "utf-8")
    assert path.exists(), f"{path.name} is missing; scripts/snap writes it"
    assert path.read_text("utf-8") == content, f"{path.name} differs; scripts/snap accepts the change"


@pytest.mark.parametrize("name", NAMES)
async def test_a_tool_is_what_its_snapshot_says(name: str) -> None:
    """Name, title, description, hints and both schemas."""
    tool = await tool_named(name)
    _check(f"{name}.json", json.dumps(_wire(tool), indent=2, ensure_ascii=False) + "\n")


async def test_the_instructions_are_what_their_snapshot_says() -> None:
    """Under 1,500 characters, constant, and naming only tools that exist."""
    text = instructions(Settings())
    assert len(text) < 1_500
    _check("instructions.md", text + "\n")


async def test_there_is_a_snapshot_for_every_tool_and_no_other() -> None:
    """A removed tool takes its file with it."""
    assert {path.stem for path in SNAPS.glob("*.json")} == set(NAMES)


async def test_the_served_tools_are_the_catalogue_in_its_order() -> None:
    """The SDK drops a second tool of the same name with a log line."""
    assert [tool.name for tool in await served_tools()] == NAMES
    assert len(set(NAMES)) == len(NAMES) <= 20


async def test_what_a_model_pays_before_it_asks_stays_small() -> None:
    """Names, descriptions and input schemas: 7,500 bytes in all, no tool over 1,300."""
    sizes: dict[str, int] = {}
    for tool in await served_tools():
        visible = {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
        sizes[tool.name] = len(json.dumps(visible, separators=(",", ":"), ensure_ascii=False).encode())
    assert sum(sizes.values()) < 7_500, sizes
    assert max(sizes.values()) <= 1_300, sizes


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
async def test_a_description_fits_every_host(name: str) -> None:
    """Under 2,000 characters, unindented, with a title; and the name leaves room for a server's."""
    tool = await tool_named(name)
    assert tool.description
    assert len(tool.description) < 2_000
    assert "\n  " not in tool.description
    assert tool.title
    assert len(name) < 40


@pytest.mark.parametrize("name", NAMES)
async def test_an_input_schema_is_portable(name: str) -> None:
    """Root object, one scalar type or a typed array each, described; nothing that some host refuses."""
    schema = (await tool_named(name)).input_schema
    assert schema["type"] == "object"
    assert set(schema) <= {"type", "properties", "required"}
    required = cast("list[str]", schema.get("required", []))
    for argument, rule in cast("dict[str, dict[str, Any]]", schema["properties"]).items():
        assert rule["type"] in {"string", "integer", "boolean", "array"}, argument
        assert rule["description"], argument
        assert set(rule) <= {"type", "description", "enum", "items", "minimum", "maximum"}, argument
        if rule["type"] == "array":
            assert rule["items"]["type"] == "string", argument
        if "enum" in rule:
            assert rule["type"] == "string", argument
        if argument not in required and rule["type"] in {"integer", "boolean"}:
            assert "efault" in rule["description"], argument


@pytest.mark.parametrize("name", NAMES)
async def test_an_output_schema_has_an_object_at_its_root(name: str) -> None:
    """A client that wants one rejects the whole list without."""
    schema = (await tool_named(name)).output_schema
    assert schema is not None
    assert schema["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "$ref"} & set(schema)
