"""The skill for working with Sutro jobs, served as the MCP extension for skills has it (SEP-2640, final).

Written from specification/stable/skills.mdx of modelcontextprotocol/ext-skills. To a host without the
extension the skill is a resource like any other.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from mcp import MCPError
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Extension, MethodBinding, ResourceBinding
from mcp.server.mcpserver.resources import TextResource
from mcp.types import INVALID_PARAMS, PaginatedRequestParams, RequestParams
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

_MODERN: Final = frozenset(MODERN_PROTOCOL_VERSIONS)
# The text changes with the product's version and its settings only, and is the same for everybody.
_FRESHNESS: Final = {"ttlMs": 3_600_000, "cacheScope": "public"}


class GetSkillParams(RequestParams):
    """`skills/get`."""

    uri: str


class Skills(Extension):
    """One skill, a single file."""

    identifier = "io.modelcontextprotocol/skills"

    def __init__(self, text: str) -> None:
        """`text` is a whole SKILL.md, whose frontmatter is of plain one-line values."""
        self._text = text
        self._frontmatter = _frontmatter(text)
        self._uri = f"skill://{self._frontmatter['name']}/SKILL.md"

    def resources(self) -> Sequence[ResourceBinding]:
        resource = TextResource(
            uri=self._uri,
            name=self._frontmatter["name"],
            title="Working with Sutro batch jobs",
            description=self._frontmatter["description"],
            mime_type="text/markdown",
            text=self._text,
        )
        return [ResourceBinding(resource)]

    def methods(self) -> Sequence[MethodBinding]:
        return [
            MethodBinding("skills/list", PaginatedRequestParams, self._list, _MODERN),
            MethodBinding("skills/get", GetSkillParams, self._get, _MODERN),
        ]

    async def _list(self, _: ServerRequestContext[Any, Any], params: PaginatedRequestParams) -> HandlerResult:
        if params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "Cannot list skills: there is one page, without a cursor.")
        return {"skills": [self._entry()], **_FRESHNESS}

    async def _get(self, _: ServerRequestContext[Any, Any], params: GetSkillParams) -> HandlerResult:
        if params.uri != self._uri:
            raise MCPError(INVALID_PARAMS, f"Cannot get this skill: the only one here is {self._uri}.")
        return {"skill": self._entry(), **_FRESHNESS}

    def _entry(self) -> dict[str, Any]:
        content = self._text.encode()
        file = {"uri": self._uri, "digest": f"sha256:{sha256(content).hexdigest()}", "size": len(content)}
        return {"uri": self._uri, "frontmatter": self._frontmatter, "resources": [file]}


def _frontmatter(text: str) -> dict[str, str]:
    """The lines between the first two `---`. A test holds them to YAML that needs no parser."""
    header = text.split("---\n")[1]
    pairs = (line.partition(": ") for line in header.splitlines())
    return {name: value for name, _, value in pairs}
