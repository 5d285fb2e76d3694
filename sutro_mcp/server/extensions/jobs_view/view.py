"""Serves the page of `show_jobs`, and shows both to hosts only that declared to show pages.

To any other host the lists are as if there were no page. The SDK drops `extensions` from what it answers to
`initialize`, where some hosts look for it.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, cast

from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID, client_supports_apps
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Extension, ResourceBinding
from mcp.server.mcpserver.resources import TextResource

from sutro_mcp.server.uris import JOBS_PAGE

Entry = dict[str, Any]


class JobsView(Extension):
    """The page, a single file that reaches nothing but its host."""

    identifier = EXTENSION_ID

    def resources(self) -> Sequence[ResourceBinding]:
        resource = TextResource(
            uri=JOBS_PAGE,
            name="jobs-view",
            title="Sutro jobs",
            description="The page that show_jobs fills.",
            mime_type=APP_MIME_TYPE,
            text=files("sutro_mcp.server.extensions.jobs_view").joinpath("jobs.html").read_text("utf-8"),
            meta={"ui": {"prefersBorder": True}},
        )
        return [ResourceBinding(resource)]


async def show_to_able_hosts(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Keep tool and page out of the lists of hosts that cannot show them: a middleware."""
    result = await call_next(ctx)
    if not isinstance(result, dict):
        return result
    is_able = _shows_pages(ctx)
    if ctx.method == "initialize" and is_able:
        return {**result, "capabilities": {**result["capabilities"], "extensions": {EXTENSION_ID: {}}}}
    if ctx.method == "tools/list" and not is_able:
        return {**result, "tools": [tool for tool in _entries(result["tools"]) if "_meta" not in tool]}
    if ctx.method == "resources/list":
        found = _entries(result["resources"])
        pages = [entry for entry in found if entry["uri"] == JOBS_PAGE]
        others = [entry for entry in found if entry not in pages]
        return {**result, "resources": [*others, *pages] if is_able else others}
    return result


def _shows_pages(ctx: ServerRequestContext[Any, Any]) -> bool:
    if ctx.method != "initialize":
        return client_supports_apps(ctx)
    # The session has no capabilities before this request is answered.
    declared: Any = ctx.params or {}
    for name in ("capabilities", "extensions", EXTENSION_ID, "mimeTypes"):
        declared = cast("Entry", declared).get(name) if isinstance(declared, dict) else None
    return isinstance(declared, list) and APP_MIME_TYPE in declared


def _entries(value: object) -> list[Entry]:
    return cast("list[Entry]", value)
