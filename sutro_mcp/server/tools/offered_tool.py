"""Declares a tool: its function, its effect, and the two channels of its answer.

A tool is an async function whose docstring is its description and whose parameters are typed in `params`. It
has no try/except: errors of `sutro_mcp.errors` become tool errors in `SutroServer`, once.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations

from sutro_mcp.server.answers import Answer
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from sutro_mcp.server.protocol.mcp_server import IsHeavy
from sutro_mcp.settings import Settings

ToolFunction = Callable[..., Awaitable[CallToolResult | InputRequiredResult]]
Limit = Callable[[], ConcurrencyLimit]
Describe = Callable[[Settings, str], str | None]


def _as_written(_: Settings, docstring: str) -> str:
    return docstring


@dataclass(frozen=True)
class Tool:
    """One entry of the list of tools."""

    function: ToolFunction
    title: str
    annotations: ToolAnnotations
    writes_files: bool = False
    """On the computer of the server, which is the user's own over stdio only."""
    limit: Limit | None = None
    """Makes the limit of its calls at once; None: they count with those of the other tools."""
    is_heavy: IsHeavy | None = None
    """Which calls, by their arguments, cost so much that they have a rate of their own; None: none."""
    describe: Describe = _as_written
    """Makes the description of the settings and the docstring; None: not served."""
    page: str | None = None
    """URI of the page that a host shows its answers in, if it can; the tool is for such hosts only."""

    @property
    def meta(self) -> dict[str, Any] | None:
        return {"ui": {"resourceUri": self.page}} if self.page else None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def is_read_only(self) -> bool:
        return bool(self.annotations.read_only_hint)

    def description_for(self, settings: Settings) -> str | None:
        """The text that the model reads; None if a server with these settings does not serve the tool."""
        if settings.read_only and not self.is_read_only:
            return None
        if settings.transport != "stdio" and self.writes_files:
            return None
        # Without its indentation, which Python 3.11 keeps and 3.13 does not.
        return self.describe(settings, inspect.getdoc(self.function) or "")


def always(_: Mapping[str, Any]) -> bool:
    """Every call is heavy."""
    return True


def tool(
    title: str,
    *,
    destructive: bool = False,
    writes_files: bool = False,
    limit: Limit | None = None,
    is_heavy: IsHeavy | None = None,
    describe: Describe = _as_written,
    page: str | None = None,
) -> Callable[[ToolFunction], Tool]:
    """Declare a tool, which only reads unless it is `destructive` or `writes_files`.

    MCP calls a tool destructive unless it only ever adds. One that can be told to replace a file does not, so
    hosts may ask before it. Calling any of ours twice does no more than calling it once.
    """
    changes = destructive or writes_files
    annotations = ToolAnnotations(
        read_only_hint=not changes, destructive_hint=changes, idempotent_hint=True, open_world_hint=True
    )
    return lambda function: Tool(function, title, annotations, writes_files, limit, is_heavy, describe, page)


def reply(answer: Answer, text: str) -> CallToolResult:
    """Both channels of an answer, each complete, URIs too: some hosts fail at a block that is no text."""
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=answer.structured()
    )
