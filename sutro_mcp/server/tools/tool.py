"""How a tool is declared: a function, its effect, and the two channels of its answer.

A tool is an async function whose docstring is its description and whose parameters are typed in `params`. It
has no try/except: errors of `sutro_mcp.errors` become tool errors in `SutroServer`, once.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcp.types import CallToolResult, InputRequiredResult, ResourceLink, TextContent, ToolAnnotations

from sutro_mcp.server.answers import Answer

ToolFunction = Callable[..., Awaitable[CallToolResult | InputRequiredResult]]


@dataclass(frozen=True)
class Tool:
    """One entry of the catalogue."""

    function: ToolFunction
    title: str
    annotations: ToolAnnotations
    writes_files: bool = False
    """On the computer of the server, which is the user's own over stdio only."""

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def description(self) -> str:
        """The docstring without its indentation, which Python 3.11 keeps and 3.13 does not."""
        return inspect.getdoc(self.function) or ""

    @property
    def is_read_only(self) -> bool:
        return bool(self.annotations.read_only_hint)


def read_tool(title: str) -> Callable[[ToolFunction], Tool]:
    """Declare a tool that changes nothing."""
    return _declare(title, read_only_hint=True, destructive_hint=False)


def destructive_tool(title: str) -> Callable[[ToolFunction], Tool]:
    """Declare a tool that ends something; asking twice does no more than asking once."""
    return _declare(title, read_only_hint=False, destructive_hint=True)


def writing_tool(title: str) -> Callable[[ToolFunction], Tool]:
    """Declare a tool that writes a file.

    MCP calls a tool destructive unless it only ever adds. One that can be told to replace a file does not, so
    hosts may ask before it; the same call twice leaves what one does.
    """
    declare = _declare(title, read_only_hint=False, destructive_hint=True)
    return lambda function: replace(declare(function), writes_files=True)


def reply(answer: Answer, text: str, uris: Sequence[str] = ()) -> CallToolResult:
    """Both channels of an answer, each complete; `uris` are resources to link, and stand in both as well."""
    links = [ResourceLink(uri=uri, name=_link_name(uri), mime_type="application/json") for uri in uris]
    return CallToolResult(
        content=[TextContent(type="text", text=text), *links], structured_content=answer.structured()
    )


def _link_name(uri: str) -> str:
    # In our words: what stands in a link is not marked as data.
    job_id, _, part = uri.removeprefix("sutro://jobs/").partition("?")[0].partition("/")
    return f"{part.replace('/', ' ') or 'job'} of {job_id}"


def _declare(title: str, **hints: Any) -> Callable[[ToolFunction], Tool]:
    annotations = ToolAnnotations(**hints, idempotent_hint=True, open_world_hint=True)
    return lambda function: Tool(function, title, annotations)
