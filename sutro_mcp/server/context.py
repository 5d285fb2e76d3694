"""What every handler can reach, and for how long it lives."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context

from sutro_mcp.api import Status
from sutro_mcp.concurrency import background
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results import ResultsEngine, results_engine
from sutro_mcp.server.live.job_watcher import JobWatcher, Publish
from sutro_mcp.server.live.status_poller import PollSchedule
from sutro_mcp.settings import Settings

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

_NEEDING_CLIENT = frozenset(
    {"tools/call", "resources/list", "resources/read", "completion/complete", "tasks/get", "tasks/cancel"}
)
# What may lie in a folder that is removed with the process.
_UNKEPT = 5 * 1024**3

Connect = Callable[[], "ApiClient"]


@dataclass
class AppContext:
    """One server's client, results, watched jobs and settings."""

    settings: Settings
    results: ResultsEngine
    connect: Connect
    watcher: JobWatcher = field(init=False)
    _client: "ApiClient | ConfigurationError | None" = field(default=None, repr=False)
    _connecting: anyio.Lock = field(default_factory=anyio.Lock, repr=False)

    @property
    def client(self) -> "ApiClient":
        """The API client that `prepare` made. Raises ConfigurationError without a usable key and URL."""
        if self._client is None:
            self._client = self.connect()
        if isinstance(self._client, ConfigurationError):
            raise self._client
        return self._client

    async def prepare(self) -> None:
        """Make the client in a thread: what a key's file is may keep its reader waiting.

        Requests that wait for the same attempt share its error; the next request tries again.
        """
        found = self._client
        if found is not None and not isinstance(found, ConfigurationError):
            return
        async with self._connecting:
            if self._client is found:
                try:
                    self._client = await anyio.to_thread.run_sync(self.connect, abandon_on_cancel=True)
                except ConfigurationError as error:
                    self._client = error

    async def read_status(self, job_id: str) -> Status:
        """Where a job stands."""
        await self.prepare()
        return (await self.client.get_job_status(job_id)).status

    async def aclose(self) -> None:
        """Close the client, if one was made."""
        if self._client is not None and not isinstance(self._client, ConfigurationError):
            await self._client.aclose()


Ctx = Context[AppContext]


def app_of(ctx: Ctx) -> AppContext:
    """The AppContext behind a request."""
    return ctx.request_context.lifespan_context


async def prepare_client(ctx: ServerRequestContext[AppContext, Any], call_next: CallNext) -> HandlerResult:
    """Make the API client before a handler asks for it: a middleware."""
    if ctx.method in _NEEDING_CLIENT:
        await ctx.lifespan_context.prepare()
    return await call_next(ctx)


@asynccontextmanager
async def open_context(
    settings: Settings, connect: Connect, publish: Publish, schedule: PollSchedule
) -> AsyncGenerator[AppContext]:
    """The context of a server until the block ends; `publish` is told of watched jobs that changed."""
    async with results_engine(settings.cache_folder, settings.cache_max_bytes or _UNKEPT) as results:
        app = AppContext(settings, results, connect)
        try:
            async with background() as tasks:
                app.watcher = JobWatcher(tasks, app.read_status, publish, schedule)
                yield app
        finally:
            await app.aclose()
