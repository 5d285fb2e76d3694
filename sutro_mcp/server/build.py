"""Settings in, server out: the one place where tools, resources and texts are put together."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files

from mcp.server.mcpserver import MCPServer

from sutro_mcp.settings import Settings

from .context import AppContext, Connect, open_context
from .protocol import SutroServer
from .resources import add_resources
from .skills import Skills
from .tasks import Tasks
from .tools import CATALOGUE, description_of, tools_for


def build_server(settings: Settings, connect: Connect) -> SutroServer:
    """A server that calls `connect` for its API client when a request first needs it."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[AppContext]) -> AsyncGenerator[AppContext]:
        async with open_context(settings, connect) as app:
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
        middleware=[tasks.refuse_undeclared],
        # Nothing announces changes yet, so none are promised.
        subscriptions=False,
    )
    for tool in tools_for(settings):
        server.add_tool(
            tool.function,
            title=tool.title,
            description=description_of(tool, settings),
            annotations=tool.annotations,
        )
    add_resources(server)
    return server


def instructions(settings: Settings) -> str:
    """How the tools combine, for the model, without the points about tools that are not served."""
    return _of_served_tools("instructions.md", settings).strip()


def skill(settings: Settings) -> str:
    """How to work with jobs, at more length, for hosts that load skills; likewise."""
    return _of_served_tools("skill.md", settings)


def _of_served_tools(file: str, settings: Settings) -> str:
    text = files(__package__ or "sutro_mcp.server").joinpath(file).read_text("utf-8")
    absent = {tool.name for tool in CATALOGUE} - {tool.name for tool in tools_for(settings)}
    points = re.split(r"\n(?=- |\n)", text)
    return "\n".join(point for point in points if not any(name in point for name in absent))
