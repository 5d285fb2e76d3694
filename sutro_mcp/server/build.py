"""Settings in, server out: the one place where tools, resources and texts are put together."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files

from mcp.server import CacheHint
from mcp.server.caching import CacheableMethod
from mcp.server.mcpserver import MCPServer

from sutro_mcp.server.extensions.icons import show_icons
from sutro_mcp.server.extensions.skills import Skills
from sutro_mcp.server.extensions.tasks import Tasks
from sutro_mcp.server.live.job_watcher import Beat
from sutro_mcp.server.live.subscriptions import Subscribers, promise_no_list_changes
from sutro_mcp.server.protocol.mcp_server import SutroServer, refuse_cursors
from sutro_mcp.server.protocol.middleware import outbound
from sutro_mcp.server.resources.completion import serve_completion
from sutro_mcp.server.resources.resource_list import serve_listing
from sutro_mcp.server.resources.templates import add_resources
from sutro_mcp.settings import Settings

from .context import AppContext, Connect, open_context, prepare_client
from .prompts import add_prompts
from .tools import CATALOGUE, description_of, tools_for

# What is the same for everybody until the next version, and what is somebody's and moves.
_FIXED = CacheHint(ttl_ms=3_600_000, scope="public")
_CACHE_HINTS: dict[CacheableMethod, CacheHint] = {
    "server/discover": _FIXED,
    "tools/list": _FIXED,
    "prompts/list": _FIXED,
    "resources/templates/list": _FIXED,
    "resources/list": CacheHint(ttl_ms=5_000, scope="private"),
    "resources/read": CacheHint(ttl_ms=2_000, scope="private"),
}

_BEAT = Beat()


def build_server(settings: Settings, connect: Connect, *, beat: Beat = _BEAT) -> SutroServer:
    """A server that calls `connect` for its API client when a request first needs it.

    `beat` is how often watched jobs are read.
    """
    subscribers = Subscribers()

    @asynccontextmanager
    async def lifespan(_: MCPServer[AppContext]) -> AsyncGenerator[AppContext]:
        async with open_context(settings, connect, subscribers.publish, beat) as app:
            yield app

    tasks = Tasks()
    server = SutroServer(
        "sutro-mcp",
        title="Sutro batch inference",
        description="Batch LLM-inference jobs on Sutro (sutro.sh): find, follow, read results, cancel.",
        instructions=instructions(settings),
        version=version("sutro-mcp"),
        website_url="https://sutro.sh",
        lifespan=lifespan,
        log_level=settings.log_level,
        extensions=[tasks, Skills(skill(settings))],
        cache_hints=_CACHE_HINTS,
        subscriptions=subscribers.bus,
        middleware=[
            outbound,
            tasks.refuse_undeclared,
            show_icons,
            promise_no_list_changes,
            refuse_cursors,
            prepare_client,
        ],
    )
    for tool in tools_for(settings):
        server.add_tool(
            tool.function,
            title=tool.title,
            description=description_of(tool, settings),
            annotations=tool.annotations,
        )
    add_resources(server)
    add_prompts(server)
    serve_listing(server)
    serve_completion(server)
    subscribers.serve(server)
    return server


def instructions(settings: Settings) -> str:
    """How the tools combine, for the model, without the points about tools that are not served."""
    return _of_served_tools("instructions.md", settings).strip()


def skill(settings: Settings) -> str:
    """How to work with jobs, at more length, for hosts that load skills; likewise."""
    return _of_served_tools("skill.md", settings)


def _of_served_tools(file: str, settings: Settings) -> str:
    text = files("sutro_mcp.server").joinpath(file).read_text("utf-8")
    absent = {tool.name for tool in CATALOGUE} - {tool.name for tool in tools_for(settings)}
    points = re.split(r"\n(?=- |\n)", text)
    return "\n".join(point for point in points if not any(name in point for name in absent))
