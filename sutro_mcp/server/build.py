"""Settings in, server out: the one place where tools, resources and texts are put together."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files

from mcp.server import CacheHint
from mcp.server.caching import CacheableMethod
from mcp.server.mcpserver import MCPServer

from sutro_mcp.concurrency import background
from sutro_mcp.results.cache import CAPACITY
from sutro_mcp.results.engine import results_engine
from sutro_mcp.server.extensions.jobs_view.view import JobsView, show_to_able_hosts
from sutro_mcp.server.extensions.skills import Skills
from sutro_mcp.server.extensions.tasks import Tasks
from sutro_mcp.server.live.job_watcher import SCHEDULE, JobWatcher
from sutro_mcp.server.live.running_jobs import RunningJobs
from sutro_mcp.server.live.status_poller import PollSchedule
from sutro_mcp.server.live.subscriptions import Subscribers
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.protocol.middleware import MIDDLEWARE
from sutro_mcp.server.resources.completion import serve_completion
from sutro_mcp.server.resources.resource_list import serve_listing
from sutro_mcp.server.resources.templates import add_resources
from sutro_mcp.settings import Settings

from .context import AppContext, Connect, prepare_client
from .prompts import add_prompts
from .tools import CATALOGUE
from .tools.show_jobs import show_jobs

# The same for everybody until the next version; the other answers are somebody's, and change.
_FIXED = CacheHint(ttl_ms=3_600_000, scope="public")
# With views, the list depends on what the host can show.
_FIXED_FOR_ONE = CacheHint(ttl_ms=3_600_000, scope="private")
_CACHE_HINTS: dict[CacheableMethod, CacheHint] = {
    "server/discover": _FIXED,
    "tools/list": _FIXED,
    "prompts/list": _FIXED,
    "resources/templates/list": _FIXED,
    "resources/list": CacheHint(ttl_ms=5_000, scope="private"),
    "resources/read": CacheHint(ttl_ms=2_000, scope="private"),
}


def build_server(
    settings: Settings, connect: Connect, *, watching: PollSchedule = SCHEDULE, fastest_answer: float = 0.5
) -> SutroServer:
    """A server that calls `connect` for its API client when a request first needs it.

    `watching` is how often watched jobs are read; a person needs `fastest_answer` seconds to answer a
    question.
    """
    subscribers = Subscribers()

    @asynccontextmanager
    async def lifespan(_: MCPServer[AppContext]) -> AsyncGenerator[AppContext]:
        """Open what handlers share, and close it after the last of them."""
        # With 0 bytes for other processes, results are in a folder that goes with this one.
        async with results_engine(
            settings.cache_folder,
            settings.cache_max_bytes or CAPACITY,
            lock_suffices=settings.sql == "lock",
        ) as results:
            app = AppContext(settings, results, connect, fastest_answer)
            app.running = RunningJobs(lambda: app.client)
            try:
                async with background() as tasks:
                    app.watcher = JobWatcher(tasks, app.read_status, subscribers.publish, watching)
                    yield app
            finally:
                await app.aclose()

    server = SutroServer(
        "sutro-mcp",
        title="Sutro batch inference",
        description="Batch LLM-inference jobs on Sutro (sutro.sh): find, follow, read results, cancel.",
        instructions=instructions(settings),
        version=version("sutro-mcp"),
        website_url="https://sutro.sh",
        lifespan=lifespan,
        log_level=settings.log_level,
        extensions=[Tasks(), Skills(skill(settings)), *([JobsView()] if settings.shows_views else [])],
        cache_hints=_CACHE_HINTS | ({"tools/list": _FIXED_FOR_ONE} if settings.shows_views else {}),
        subscriptions=subscribers.bus,
        middleware=[*MIDDLEWARE, *([show_to_able_hosts] if settings.shows_views else []), prepare_client],
    )
    server.output = settings.output
    for tool in (*CATALOGUE, show_jobs):
        if description := tool.description_for(settings):
            server.add_tool(
                tool.function,
                title=tool.title,
                description=description,
                annotations=tool.annotations,
                meta=tool.meta,
            )
            if tool.limit:
                server.limits[tool.name] = tool.limit()
    add_resources(server)
    add_prompts(server)
    serve_listing(server)
    serve_completion(server)
    subscribers.serve(server)
    return server


def instructions(settings: Settings) -> str:
    """Explain to the model how the tools combine, without the points about tools that are not served."""
    return _of_served_tools("instructions.md", settings).strip()


def skill(settings: Settings) -> str:
    """Explain at more length, for hosts that load skills, how to work with jobs; likewise."""
    return _of_served_tools("skill.md", settings)


def _of_served_tools(file: str, settings: Settings) -> str:
    text = files("sutro_mcp.server").joinpath(file).read_text("utf-8")
    absent = [tool.name for tool in CATALOGUE if tool.description_for(settings) is None]
    points = re.split(r"\n(?=- |\n)", text)
    return "\n".join(point for point in points if not any(name in point for name in absent))
