"""Settings in, server out: the one place where tools, resources and texts are put together."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mcp.server import CacheHint
from mcp.server.caching import CacheableMethod
from mcp.server.mcpserver import Extension, MCPServer

from sutro_mcp.api.status_poller import WATCHED, PollSchedule
from sutro_mcp.concurrency import background
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.cache import CAPACITY
from sutro_mcp.results.results_engine import results_engine
from sutro_mcp.server.extensions.jobs_view.view import JobsView, show_to_able_hosts
from sutro_mcp.server.extensions.skills import Skills
from sutro_mcp.server.extensions.tasks import Tasks
from sutro_mcp.server.live.job_watcher import JobWatcher
from sutro_mcp.server.live.running_jobs import RunningJobs
from sutro_mcp.server.live.subscriptions import Subscribers, Subscriptions
from sutro_mcp.server.protocol.mcp_server import SutroServer, without_rich
from sutro_mcp.server.protocol.middleware import MIDDLEWARE
from sutro_mcp.server.protocol.rate_limit import Kind, LocalRates, Rate, RateLimits
from sutro_mcp.server.resources.completion import serve_completion
from sutro_mcp.server.resources.resource_list import serve_listing
from sutro_mcp.server.resources.templates import add_resources
from sutro_mcp.settings import Settings

from .context import AppContext, Connect, prepare_client
from .prompts import add_prompts
from .tools import CATALOGUE
from .tools.show_jobs import show_jobs

if TYPE_CHECKING:
    from .operations.audit import Audit  # over stdio it is not loaded
    from .tenants import KeyOf

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


@without_rich()
def build_server(
    settings: Settings,
    connect: Connect,
    *,
    key_of: "KeyOf | None" = None,
    watching: PollSchedule = WATCHED,
    fastest_answer: float = 0.5,
) -> SutroServer:
    """A server that calls `connect` for its API client when a request first needs it.

    With `key_of`, callers are told apart: each is served with the key that it returns. `watching` is how
    often watched jobs are read; a person needs `fastest_answer` seconds to answer a question.
    """

    @asynccontextmanager
    async def lifespan(_: MCPServer[AppContext]) -> AsyncGenerator[AppContext]:
        """Open what handlers share, and close it after the last of them."""
        # With 0 bytes for other processes, results are in a folder that goes with this one.
        async with (
            results_engine(
                settings.cache_folder,
                settings.cache_max_bytes or CAPACITY,
                lock_suffices=settings.sql == "lock",
            ) as results,
            AsyncExitStack() as closing,
            background() as tasks,
        ):

            def context(connect: Connect, identity: str = "") -> AppContext:
                app = AppContext(settings, results, connect, fastest_answer)
                app.running = RunningJobs(lambda: app.client)
                app.audit, app.ending, app.admitted = server.audit, server.ending, server.admitted
                app.subscribers = Subscribers()
                leases = None if server.leases is None else server.leases.of(identity)
                app.watcher = JobWatcher(tasks, app.read_status, app.subscribers.publish, watching, leases)
                return app

            if key_of is None:
                app = context(connect)
                closing.push_async_callback(app.aclose)
            else:
                from sutro_mcp.api import ClientPool  # a server on stdio has one client

                from .tenants import NOBODY, Tenants

                pool = ClientPool()
                closing.push_async_callback(pool.aclose)
                app = context(NOBODY)
                app.tenants = Tenants(key_of, context, pool.client)

            def end_streams() -> None:
                for each in app.everyone():
                    each.subscribers.stream.close()

            server.at_end.append(end_streams)
            server.app = app
            if server.run_beside:
                tasks.start_soon(server.run_beside)
            yield app

    extensions: list[Extension] = [Tasks(), Skills(skill(settings))]
    middleware, hints, sealing = [*MIDDLEWARE, prepare_client], dict(_CACHE_HINTS), None
    if settings.shows_views:
        extensions.append(JobsView())
        middleware.append(show_to_able_hosts)
        hints["tools/list"] = _FIXED_FOR_ONE
    if key_of is not None:
        from .access.request_state_keys import request_state_security
        from .tenants import serve_tenant

        middleware.insert(0, serve_tenant)
        sealing = request_state_security(settings.state_keys_file)
    server = SutroServer(
        "sutro-mcp",
        title="Sutro batch inference",
        description="Batch LLM-inference jobs on Sutro (sutro.sh): find, follow, read results, cancel.",
        instructions=instructions(settings),
        version=version("sutro-mcp"),
        website_url="https://sutro.sh",
        lifespan=lifespan,
        log_level=settings.log_level,
        extensions=extensions,
        cache_hints=hints,
        middleware=middleware,
        request_state_security=sealing,
    )
    server.output = settings.output
    server.audit = _audit(settings)
    if settings.for_a_team:
        rates: dict[Kind, Rate] = {"call": Rate(*settings.rate), "heavy": Rate(*settings.rate_heavy)}
        server.rates = RateLimits(rates, LocalRates())
        if settings.redis_url_file:
            _share(server, settings.redis_url_file, rates, settings.replicas)
    server.cancelling = frozenset(tool.name for tool in CATALOGUE if not tool.is_read_only)
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
            if tool.is_heavy:
                server.heavy[tool.name] = tool.is_heavy
    add_resources(server)
    add_prompts(server)
    serve_listing(server)
    serve_completion(server)
    Subscriptions(server, singly=settings.has_sessions)
    return server


def _audit(settings: Settings) -> "Audit | None":
    if settings.transport == "stdio" and settings.audit_file is None:
        return None
    from .operations.audit import Audit

    return Audit(settings.audit_file, to_stdout=settings.for_a_team)


def _share(server: SutroServer, file: Path, rates: Mapping[Kind, Rate], replicas: int) -> None:
    """Have the replicas share their work through Redis."""
    try:
        from .replicas.redis_link import RedisLink
    except ImportError:
        raise ConfigurationError(
            "share work with other replicas", "the library is missing", "Install sutro-mcp[redis]"
        ) from None
    from .replicas.job_leases import JobLeases
    from .replicas.shared_rate_limit import SharedRateLimit

    link = RedisLink.from_file(file)
    server.leases, server.run_beside = JobLeases(link), link.run
    server.rates = RateLimits(rates, SharedRateLimit(link, replicas))


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
