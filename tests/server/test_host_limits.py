"""Everything that is served is within the known limits of hosts, which refuse, drop or cut the rest.

One check knows all limits. The table under it says which host has which limit and where that is known from
(owner/repository#number, or a page), each with something that breaks it, which the check has to notice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from mcp import Client
from mcp.types import SERVER_INFO_META_KEY
from pydantic import BaseModel

from sutro_mcp.emulator import Emulator
from sutro_mcp.hosts.config_snippets import NAME
from sutro_mcp.settings import Settings
from tests.support import Era, talk

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """Everything that a host learns before it calls anything, as on the wire."""

    instructions: str
    tools: list[Json]
    prompts: list[Json]
    resources: list[Json]
    templates: list[Json]
    stamp: Json = field(default_factory=Json)
    """The part of the server's description that comes with every result."""


# The tool that gives the same: hosts ignore templates, cannot fill them in, or know tools only. The skill is
# for hosts that load skills; others have the instructions.
TWINS = {
    r"sutro://jobs(\{\?.*\})?": "list_jobs",
    r"sutro://jobs/[^/]+": "get_job",
    r"sutro://jobs/[^/]+/status": "get_job_status",
    r"sutro://jobs/[^/]+/results(\{\?.*\})?": "get_job_results",
    r"sutro://jobs/[^/]+/results/summary": "get_job_results",
    r"skill://.+": None,
    r"x://.+": "good",
}


def problems(served: Served) -> Iterator[str]:
    """Everything that some host would not take."""
    if len(served.tools) > 40:
        yield f"{len(served.tools)} tools"
    if len(served.instructions.encode()) > 2_048:
        yield "long instructions"
    for tool in served.tools:
        name = str(tool["name"])
        # The server's name is the one we suggest; hosts put it before the tool's.
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]*", name) or len(f"mcp__{NAME}__{name}") >= 60:
            yield f"name {name}"
        if not 0 < len(tool["description"].encode()) <= 2_048:
            yield f"{name}: description"
        if tool["outputSchema"].get("type") != "object":
            yield f"{name}: answer"
        yield from (f"{name}: {problem}" for problem in schema_problems(tool["inputSchema"]))
    for prompt in served.prompts:
        for thing in (prompt, *prompt.get("arguments", [])):
            if not re.fullmatch(r"[a-z0-9_-]{1,40}", thing["name"]) or not thing.get("description"):
                yield f"prompt {prompt['name']}"
    for thing in (*served.resources, *served.templates):
        uri = str(thing.get("uri") or thing.get("uriTemplate"))
        twins = [tool for pattern, tool in TWINS.items() if re.fullmatch(pattern, uri)]
        if not twins or twins[0] not in {None, *(tool["name"] for tool in served.tools)}:
            yield f"{uri} by no tool"
        if not thing.get("name") or not thing.get("mimeType") or not re.fullmatch(r"[a-z][a-z+.-]*:\S+", uri):
            yield f"{uri} says too little"
    for thing in (served.stamp, *served.tools, *served.prompts, *served.resources, *served.templates):
        if not all(icon["src"].startswith("https://") for icon in cast("list[Json]", thing.get("icons", []))):
            yield f"picture in {thing.get('name')}"


def schema_problems(schema: Json) -> Iterator[str]:
    """A list of what is allowed, as each host refuses something else: flat, with one type each, described."""
    arguments = cast("Json | None", schema.get("properties"))
    if (
        schema.get("type") != "object"
        or set(schema) - {"type", "properties", "required"}
        or arguments is None
    ):
        yield "root"
        return
    if set(schema.get("required", [])) - set(arguments):
        yield "requires what it does not name"
    for name, rule in arguments.items():
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name):
            yield f"name {name}"
        if not isinstance(rule, dict):
            yield f"{name} is {rule!r}"
            continue
        rule = cast("Json", rule)
        if set(rule) - {"type", "description", "enum", "items", "minimum", "maximum"}:
            yield f"{name} has {', '.join(rule)}"
        if rule.get("type") not in ("string", "integer", "boolean", "array") or not rule.get("description"):
            yield f"{name} is not said to be something"
        if (rule.get("type") == "array") != ("items" in rule):
            yield f"{name}: items"
        items = cast("Json", rule.get("items", {"type": "string"}))
        if set(items) - {"type", "enum"} or items.get("type") != "string":
            yield f"{name} has odd items"
        for owner in (rule, items):
            words = cast("list[Any]", owner.get("enum", []))
            if words and (owner["type"] != "string" or sum(map(len, map(str, words))) > 200):
                yield f"{name} has an odd enum"


WORD = {"type": "string", "description": "A word"}
TOOL: Json = {
    "name": "good",
    "description": "Good.",
    "inputSchema": {"type": "object", "properties": {"word": WORD}},
    "outputSchema": {"type": "object", "properties": {}},
}
GOOD = Served(
    "How.",
    [TOOL],
    [{"name": "ask", "description": "Asks.", "arguments": [{"name": "of", "description": "Whom"}]}],
    [{"uri": "x://a", "name": "a", "mimeType": "text/plain"}],
    [{"uriTemplate": "x://{id}", "name": "b", "mimeType": "text/plain"}],
)


def tool(**changed: Any) -> Served:
    """`GOOD` with another tool."""
    return replace(GOOD, tools=[{**TOOL, **changed}])


def schema(**changed: Any) -> Served:
    """With another input schema."""
    return tool(inputSchema={**TOOL["inputSchema"], **changed})


def argument(**changed: Any) -> Served:
    """With an argument of another kind."""
    return schema(properties={"word": {**WORD, **changed}})


def listed(kind: str, **changed: Any) -> Served:
    """With another prompt, resource or template."""
    return replace(GOOD, **{kind: [{**getattr(GOOD, kind)[0], **changed}]})


NULL = {"anyOf": [{"type": "string"}, {"type": "null"}]}
LIMITS: list[tuple[str, str, Served]] = [
    # One tool that Gemini refuses takes all others with it.
    ("Gemini", "sbroenne/mcp-server-excel#672", argument(type=["string", "null"])),
    ("Gemini", "google-gemini/gemini-cli#13326", argument(**{"$ref": "#/$defs/Word"})),
    ("Gemini", "promptfoo/promptfoo#6902", schema(additionalProperties=False)),
    ("Gemini", "anomalyco/opencode#11889", argument(properties={})),
    ("Gemini", "anomalyco/opencode#12784", argument(type="integer", enum=[1, 2])),
    ("Gemini", "github/copilot-cli#4623", schema(properties={"word": True})),
    ("Gemini CLI", "google/mcp-security#148", schema(properties={"word": {"description": "anything"}})),
    # "Too many states for serving"
    ("Gemini", "bethington/ghidra-mcp#440", argument(enum=["w" * 201])),
    ("Gemini", "bethington/ghidra-mcp#440", argument(type="array", items={"type": "string"}, maxItems=9)),
    ("Gemini", "google-gemini/gemini-cli#2966", tool(name="1st.tool")),
    # Calls are refused before they are sent ("must be of type null,string").
    ("Cursor", "cursor/cursor#3778", schema(properties={"word": NULL})),
    ("Cursor", "cursor/cursor#3540", argument(type="null")),
    # Tools with longer names, and those after the fortieth of all servers, are left out without a word.
    ("Cursor", "ComposioHQ/composio#2788", tool(name="t" * 56)),
    ("Cursor", "github/github-mcp-server#1108", replace(GOOD, tools=[TOOL] * 41)),
    ("Claude", "makenotion/notion-mcp-server#341", schema(anyOf=[{"required": ["word"]}])),
    # All tools of the server are dropped without a word.
    ("Claude Code", "anthropics/claude-code#88049", schema(type="array")),
    # Objects, and whatever has an empty schema, arrive as text.
    ("Claude Code", "anthropics/claude-code#82652", argument(type="object")),
    ("Claude", "anthropics/claude-code#36921", tool(name="time.now")),
    ("Claude", "anthropics/claude-code#79418", schema(properties={"a word": WORD})),
    # The rest is cut off.
    ("Claude Code", "anthropics/claude-code#41593", tool(description="d" * 2_049)),
    ("Claude Code", "anthropics/claude-code#81268", replace(GOOD, instructions="i" * 2_049)),
    # They become commands: `/mcp__server__prompt word word`.
    ("Claude Code", "code.claude.com/docs/en/mcp", listed("prompts", name="a b")),
    # The tool is invalid, and lately the whole chat is (microsoft/vscode#325618).
    ("VS Code", "microsoft/vscode#246119", argument(type="array")),
    ("all", "modelcontextprotocol/conformance, tools-list", tool(description="")),
    ("all", "modelcontextprotocol/conformance, tools-list", argument(description="")),
    ("all", "modelcontextprotocol/conformance, prompts-list", replace(GOOD, prompts=[{"name": "ask"}])),
    ("OpenAI strict", "posit-dev/chatlas#255", argument(format="date-time")),
    ("OpenAI strict", "dotnet/extensions#6266", argument(default="x")),
    # It adds `additionalProperties: false` and requires everything, which only a closed list survives.
    ("OpenAI strict", "Kilo-Org/kilocode#4426", schema(patternProperties={"^x": {"type": "string"}})),
    ("OpenAI strict", "Kilo-Org/kilocode#4426", schema(required=["other"])),
    ("OpenAI strict", "anthony-chaudhary/fak#10777", argument(pattern="^x")),
    ("OpenAI strict", "1jehuang/jcode#543", tool(inputSchema={"type": "object"})),
    (
        "Claude Desktop, ChatGPT, Cursor",
        "PrefectHQ/fastmcp#3387, openai/openai-apps-sdk-examples#229, modelcontextprotocol/python-sdk#3559",
        listed("templates", uriTemplate="sutro://jobs/{job_id}/cost"),
    ),
    # The whole list is refused.
    ("TypeScript SDK", "opentokenz/mcpx#28", tool(outputSchema={"$ref": "#/$defs/Page"})),
    ("all", "modelcontextprotocol.io, server/resources/templates", listed("resources", uri="x://a b")),
    # In 2026-07-28 the server's description comes with every answer, pictures inside it as well.
    ("all", "motherduckdb/mcp-server-motherduck", replace(GOOD, stamp={"icons": [{"src": "data:,"}]})),
]


def wire(thing: BaseModel) -> Json:
    """As a host reads it."""
    return thing.model_dump(mode="json", by_alias=True, exclude_none=True)


async def served_by(client: Client) -> Served:
    """All that it lists."""
    tools = await client.list_tools()
    return Served(
        client.instructions or "",
        [wire(tool) for tool in tools.tools],
        [wire(prompt) for prompt in (await client.list_prompts()).prompts],
        [wire(resource) for resource in (await client.list_resources()).resources],
        [wire(template) for template in (await client.list_resource_templates()).resource_templates],
        (tools.meta or {}).get(SERVER_INFO_META_KEY, {}),
    )


@pytest.mark.parametrize("cancel", ["confirm", "elicit", "allow"])
async def test_what_is_served_is_within_every_limit(emulator: Emulator, era: Era, cancel: str) -> None:
    """In both eras, and under every policy that changes a description."""
    async with talk(emulator, era, settings=Settings.model_validate({"cancel": cancel})) as chat:
        served = await served_by(chat.client)
    assert min(len(served.tools), len(served.templates), len(served.instructions)) > 3
    assert list(problems(served)) == []


def test_each_limit_is_noticed() -> None:
    """By what breaks it, and not by what breaks nothing."""
    assert list(problems(GOOD)) == []
    assert [(host, source) for host, source, broken in LIMITS if not list(problems(broken))] == []
