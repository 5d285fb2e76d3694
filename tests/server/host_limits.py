"""What hosts refuse, drop or cut in what a server serves: a rule each, with where it is known from.

Threads are given as owner/repository#number. Each rule carries something served that breaks it, so that a
rule which no longer sees anything is noticed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sutro_mcp.host_configs import NAME

Json = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """Everything that a host learns before it calls anything, as on the wire."""

    server: Json
    instructions: str = ""
    tools: list[Json] = field(default_factory=list[Json])
    prompts: list[Json] = field(default_factory=list[Json])
    resources: list[Json] = field(default_factory=list[Json])
    templates: list[Json] = field(default_factory=list[Json])
    stamp: Json = field(default_factory=Json)
    """What comes of the server's description with every result."""


Check = Callable[[Served], Iterator[str]]


@dataclass(frozen=True)
class Rule:
    """One limit of one host, and what breaks it."""

    host: str
    source: str
    check: Check
    broken: Served

    @property
    def name(self) -> str:
        return f"{self.host}: {self.check.__name__}".replace("_", " ")


RULES: list[Rule] = []


def limit(host: str, source: str, broken: Served) -> Callable[[Check], Check]:
    """Declare the decorated check as a rule."""

    def declare(check: Check) -> Check:
        RULES.append(Rule(host, source, check, broken))
        return check

    return declare


# Something served that is fine everywhere, and how to spoil it

_TOOL: Json = {
    "name": "good",
    "description": "Good.",
    "inputSchema": {"type": "object", "properties": {"word": {"type": "string", "description": "A word"}}},
    "outputSchema": {"type": "object", "properties": {}},
}
GOOD = Served(
    {"name": "good"},
    "How.",
    [_TOOL],
    [{"name": "ask", "description": "Asks.", "arguments": [{"name": "of", "description": "Whom"}]}],
    [{"uri": "x://a", "name": "a", "mimeType": "text/plain"}],
    [{"uriTemplate": "x://{id}", "name": "b", "mimeType": "text/plain"}],
)


def _tool(**changed: Any) -> Served:
    return replace(GOOD, tools=[{**_TOOL, **changed}])


def _schema(**changed: Any) -> Served:
    return _tool(inputSchema={**_TOOL["inputSchema"], **changed})


def _argument(rule: Any, name: str = "word") -> Served:
    return _schema(properties={name: rule})


def _prompt(**changed: Any) -> Served:
    return replace(GOOD, prompts=[{**GOOD.prompts[0], **changed}])


# How to walk through it


def _arguments(served: Served) -> Iterator[tuple[str, str, Any]]:
    for tool in served.tools:
        for name, rule in cast("Json", tool["inputSchema"].get("properties", {})).items():
            yield f"{tool['name']}.{name}", name, rule


def _nodes(where: str, schema: Any) -> Iterator[tuple[str, Json]]:
    """Every schema inside `schema`, itself included; what is not an object is not one."""
    if not isinstance(schema, dict):
        return
    node = cast("Json", schema)
    yield where, node
    for key, value in node.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            for name, inner in cast("Json", value).items():
                yield from _nodes(f"{where}.{name}", inner)
        elif key in ("items", "additionalProperties", "not"):
            yield from _nodes(f"{where}.{key}", value)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            for inner in cast("list[Any]", value):
                yield from _nodes(f"{where}.{key}", inner)


def _inputs(served: Served) -> Iterator[tuple[str, Json]]:
    for tool in served.tools:
        yield from _nodes(str(tool["name"]), tool["inputSchema"])


def _with_key(served: Served, *keys: str) -> Iterator[str]:
    for where, node in _inputs(served):
        yield from (f"{where} has {key}" for key in keys if key in node)


# Gemini: one tool that it refuses takes all others with it


@limit("Gemini", "sbroenne/mcp-server-excel#672", _argument({"type": ["string", "null"]}))
def no_list_of_types(served: Served) -> Iterator[str]:
    """400 for the whole request."""
    for where, node in _inputs(served):
        if not isinstance(node.get("type", ""), str):
            yield f"{where} has several types"


@limit("Gemini", "google-gemini/gemini-cli#13326", _argument({"$ref": "#/$defs/Word"}))
def no_references(served: Served) -> Iterator[str]:
    """They are not followed."""
    yield from _with_key(served, "$ref", "$defs", "definitions")


@limit("Gemini", "promptfoo/promptfoo#6902", _schema(additionalProperties=False))
def no_keys_it_does_not_know(served: Served) -> Iterator[str]:
    """Unknown names are refused."""
    yield from _with_key(served, "additionalProperties", "$schema")


@limit("Gemini", "anomalyco/opencode#11889", _argument({"type": "string", "properties": {}}))
def properties_only_of_objects(served: Served) -> Iterator[str]:
    """Neither `properties` nor `required` on anything else."""
    for where, node in _inputs(served):
        if node.get("type") != "object" and {"properties", "required"} & set(node):
            yield f"{where} is no object"


@limit("Gemini", "anomalyco/opencode#12784", _argument({"type": "integer", "enum": [1, 2]}))
def enums_of_text_only(served: Served) -> Iterator[str]:
    """And the type says so."""
    for where, node in _inputs(served):
        words = cast("list[Any]", node.get("enum", []))
        if "enum" in node and (
            node.get("type") != "string" or not all(isinstance(word, str) for word in words)
        ):
            yield f"{where} has an enum of something else"


@limit("Gemini", "github/copilot-cli#4623", _argument(True))
def no_schema_that_is_a_truth_value(served: Served) -> Iterator[str]:
    """`true` is a schema, but not to it."""
    for where, _, rule in _arguments(served):
        if not isinstance(rule, dict):
            yield f"{where} is {rule!r}"


@limit("Gemini CLI", "google/mcp-security#148", _argument({"description": "anything"}))
def every_schema_has_a_type(served: Served) -> Iterator[str]:
    """A tool with "missing types" is skipped."""
    for where, node in _inputs(served):
        if not node.get("type"):
            yield f"{where} has no type"


@limit("Gemini", "bethington/ghidra-mcp#440", _argument({"type": "string", "enum": ["w" * 201]}))
def few_states(served: Served) -> Iterator[str]:
    """Limits of arrays, long enums and many tools make a grammar with "too many states for serving"."""
    yield from _with_key(served, "minItems", "maxItems")
    for where, node in _inputs(served):
        if sum(map(len, map(str, cast("list[Any]", node.get("enum", []))))) > 200:
            yield f"{where} has a long enum"
    if len(served.tools) > 50:
        yield f"{len(served.tools)} tools"


@limit("Gemini", "google-gemini/gemini-cli#2966", _tool(name="1st.tool"))
def names_begin_with_a_letter(served: Served) -> Iterator[str]:
    """At most 64 letters, digits, `_`, `.` and `-`."""
    for tool in served.tools:
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}", tool["name"]):
            yield str(tool["name"])


# Cursor


@limit("Cursor", "cursor/cursor#3778", _argument({"anyOf": [{"type": "string"}, {"type": "null"}]}))
def no_choice_between_schemas(served: Served) -> Iterator[str]:
    """Arguments of such a parameter are refused before they are sent ("must be of type null,string")."""
    yield from _with_key(served, "anyOf", "oneOf", "allOf", "not")


@limit("Cursor", "cursor/cursor#3540", _argument({"type": "null"}))
def no_null(served: Served) -> Iterator[str]:
    """Optional is what is not required."""
    for where, node in _inputs(served):
        if node.get("type") == "null" or node.get("nullable"):
            yield where


@limit("Cursor", "ComposioHQ/composio#2788", _tool(name="t" * 56))
def server_and_tool_are_under_sixty_characters(served: Served) -> Iterator[str]:
    """Tools with longer names are left out without a word. The server's name is the one we suggest."""
    for tool in served.tools:
        if len(NAME) + len(tool["name"]) >= 60:
            yield str(tool["name"])


@limit("Cursor", "github/github-mcp-server#1108", replace(GOOD, tools=[_TOOL] * 41))
def at_most_forty_tools(served: Served) -> Iterator[str]:
    """Of all servers together; those after the fortieth are not passed on."""
    if len(served.tools) > 40:
        yield f"{len(served.tools)} tools"


# Claude


@limit("Claude", "makenotion/notion-mcp-server#341", _schema(anyOf=[{"required": ["word"]}]))
def no_choice_at_the_root(served: Served) -> Iterator[str]:
    """400, or the tool is dropped; also anthropics/claude-code#95504."""
    for tool in served.tools:
        if {"anyOf", "oneOf", "allOf"} & set(tool["inputSchema"]):
            yield str(tool["name"])


@limit("Claude Code", "anthropics/claude-code#88049", _schema(type="array"))
def an_object_at_the_root(served: Served) -> Iterator[str]:
    """Else it drops every tool of the server, without a word."""
    for tool in served.tools:
        if tool["inputSchema"].get("type") != "object":
            yield str(tool["name"])


@limit("Claude Code", "anthropics/claude-code#82652", _argument({"type": "object", "properties": {}}))
def no_nested_object(served: Served) -> Iterator[str]:
    """Objects, and whatever has an empty schema, arrive as text."""
    for where, _, rule in _arguments(served):
        if not rule or (isinstance(rule, dict) and cast("Json", rule).get("type") == "object"):
            yield where


@limit("Claude", "anthropics/claude-code#36921", _tool(name="time.now"))
def names_without_dots(served: Served) -> Iterator[str]:
    """`mcp__server__tool` has at most 64 letters, digits, `_` and `-`; else every request fails."""
    for tool in served.tools:
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", f"mcp__{NAME}__{tool['name']}"):
            yield str(tool["name"])


@limit("Claude", "anthropics/claude-code#79418", _argument({"type": "string"}, name="a word"))
def arguments_with_simple_names(served: Served) -> Iterator[str]:
    """At most 64 letters, digits, `_`, `.` and `-`."""
    for where, name, _ in _arguments(served):
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name):
            yield where


@limit("Claude Code", "anthropics/claude-code#41593", _tool(description="d" * 2_049))
def descriptions_under_two_kilobytes(served: Served) -> Iterator[str]:
    """The rest is cut off."""
    for tool in served.tools:
        if len(tool.get("description", "").encode()) > 2_048:
            yield str(tool["name"])


@limit("Claude Code", "anthropics/claude-code#81268", replace(GOOD, instructions="i" * 2_049))
def instructions_under_two_kilobytes(served: Served) -> Iterator[str]:
    """The rest is cut off."""
    if len(served.instructions.encode()) > 2_048:
        yield f"{len(served.instructions)} characters"


@limit("Claude Code", "code.claude.com/docs/en/mcp", _prompt(name="ask me"))
def prompts_that_can_be_typed(served: Served) -> Iterator[str]:
    """They become commands: `/mcp__server__prompt word word`."""
    for prompt in served.prompts:
        names = [prompt["name"], *(argument["name"] for argument in prompt.get("arguments", []))]
        yield from (str(name) for name in names if not re.fullmatch(r"[a-z0-9_-]{1,40}", name))


# VS Code


@limit("VS Code", "microsoft/vscode#246119", _argument({"type": "array"}))
def arrays_say_what_is_in_them(served: Served) -> Iterator[str]:
    """A tool with another is invalid, and lately the whole chat is (microsoft/vscode#325618)."""
    for where, node in _inputs(served):
        items = node.get("items")
        if node.get("type") == "array" and not (isinstance(items, dict) and cast("Json", items).get("type")):
            yield where


@limit("all", "modelcontextprotocol/conformance, tools-list and prompts-list", _tool(description=""))
def everything_is_described(served: Served) -> Iterator[str]:
    """Tools, prompts and what they take."""
    for thing in (*served.tools, *served.prompts):
        if not thing.get("description"):
            yield str(thing["name"])
        for argument in thing.get("arguments", []):
            if not argument.get("description"):
                yield f"{thing['name']}.{argument['name']}"
    for where, _, rule in _arguments(served):
        if isinstance(rule, Mapping) and not cast("Json", rule).get("description"):
            yield where


# OpenAI, strict mode


@limit("OpenAI strict", "posit-dev/chatlas#255", _argument({"type": "string", "format": "date-time"}))
def no_format(served: Served) -> Iterator[str]:
    """Refused."""
    yield from _with_key(served, "format")


@limit("OpenAI strict", "dotnet/extensions#6266", _argument({"type": "string", "default": "x"}))
def no_default(served: Served) -> Iterator[str]:
    """Refused; ours stand in the descriptions."""
    yield from _with_key(served, "default")


@limit("OpenAI strict", "Kilo-Org/kilocode#4426", _schema(patternProperties={"^x": {"type": "string"}}))
def only_named_properties(served: Served) -> Iterator[str]:
    """Hosts add `additionalProperties: false` and require everything, which only a closed list survives."""
    yield from _with_key(served, "patternProperties", "propertyNames", "dependentRequired", "if")
    for tool in served.tools:
        schema = tool["inputSchema"]
        if set(schema.get("required", [])) - set(schema.get("properties", {})):
            yield f"{tool['name']} requires what it does not name"


@limit("OpenAI strict", "anthony-chaudhary/fak#10777", _argument({"type": "string", "pattern": "^x"}))
def no_lengths_and_patterns(served: Served) -> Iterator[str]:
    """Refused; ours are checked when the call comes."""
    yield from _with_key(served, "minItems", "maxItems", "pattern", "minLength", "maxLength")


@limit("OpenAI strict", "1jehuang/jcode#543", _tool(inputSchema={"type": "object"}))
def properties_are_listed(served: Served) -> Iterator[str]:
    """Also where there are none."""
    for tool in served.tools:
        if "properties" not in tool["inputSchema"]:
            yield str(tool["name"])


# Hosts that know tools only, or no templates

# What gives the same by a tool call. The skill is for hosts that load skills; others have the instructions.
TWINS = {
    r"sutro://jobs(\{\?.*\})?": "list_jobs",
    r"sutro://jobs/[^/]+": "get_job",
    r"sutro://jobs/[^/]+/status": "get_job_status",
    r"sutro://jobs/[^/]+/results(\{\?.*\})?": "get_job_results",
    r"sutro://jobs/[^/]+/results/summary": "get_job_results",
    r"skill://.+": None,
    r"x://.+": "good",
}


@limit(
    "Claude Desktop, ChatGPT, Cursor",
    "PrefectHQ/fastmcp#3387, openai/openai-apps-sdk-examples#229, modelcontextprotocol/python-sdk#3559",
    replace(GOOD, templates=[{"uriTemplate": "sutro://jobs/{job_id}/cost"}]),
)
def every_resource_has_a_tool_that_gives_the_same(served: Served) -> Iterator[str]:
    """Templates are ignored, cannot be filled in, or there are no resources at all."""
    names = {tool["name"] for tool in served.tools}
    for thing in (*served.resources, *served.templates):
        uri = str(thing.get("uri") or thing.get("uriTemplate"))
        twins = [tool for pattern, tool in TWINS.items() if re.fullmatch(pattern, uri)]
        if not twins or (twins[0] is not None and twins[0] not in names):
            yield uri


# Every client of the TypeScript SDK, and every reader of resources


@limit("TypeScript SDK", "opentokenz/mcpx#28", _tool(outputSchema={"$ref": "#/$defs/Page"}))
def answers_are_objects(served: Served) -> Iterator[str]:
    """An output schema without `type: object` makes it refuse the whole list."""
    for tool in served.tools:
        if tool.get("outputSchema", {"type": "object"}).get("type") != "object":
            yield str(tool["name"])


@limit(
    "all",
    "modelcontextprotocol.io, 2025-11-25, server/resources/templates",
    replace(GOOD, resources=[{"uri": "x://a b"}]),
)
def resources_say_what_they_are(served: Served) -> Iterator[str]:
    """A name, a type and an address that is one."""
    for thing in (*served.resources, *served.templates):
        uri = str(thing.get("uri") or thing.get("uriTemplate"))
        if not thing.get("name") or not thing.get("mimeType") or not re.fullmatch(r"[a-z][a-z+.-]*:\S+", uri):
            yield uri


@limit(
    "all", "motherduckdb/mcp-server-motherduck", replace(GOOD, stamp={"icons": [{"src": "data:image/png;"}]})
)
def icons_by_address(served: Served) -> Iterator[str]:
    """In 2026-07-28 the server's description comes with every answer, pictures inside it as well."""
    for thing in (served.stamp, *served.tools, *served.prompts, *served.resources, *served.templates):
        yield from (
            str(thing.get("name"))
            for icon in cast("list[Json]", thing.get("icons", []))
            if not icon["src"].startswith("https://")
        )
