"""Objects that every handler can reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context

from sutro_mcp.api import Status
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.engine import ResultsEngine
from sutro_mcp.settings import Settings

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

    from .live.job_watcher import JobWatcher  # needs what needs this module
    from .live.running_jobs import RunningJobs

_NEEDING_CLIENT = frozenset(
    {"tools/call", "resources/list", "resources/read", "completion/complete", "tasks/get", "tasks/cancel"}
)

Connect = Callable[[], "ApiClient"]


@dataclass
class AppContext:
    """One server's client, results, watched jobs and settings."""

    settings: Settings
    results: ResultsEngine
    connect: Connect
    fastest_answer: float = 0.5
    """Seconds that a person needs to answer a question in the host: a faster no is the host's own."""
    watcher: "JobWatcher" = field(init=False)
    running: "RunningJobs" = field(init=False)
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
        await self.prepare()
        return (await self.client.get_job_status(job_id)).status

    async def aclose(self) -> None:
        if self._client is not None and not isinstance(self._client, ConfigurationError):
            await self._client.aclose()


Ctx = Context[AppContext]


def app_of(ctx: Ctx) -> AppContext:
    return ctx.request_context.lifespan_context


async def prepare_client(ctx: ServerRequestContext[AppContext, Any], call_next: CallNext) -> HandlerResult:
    """Make the API client before a handler asks for it: a middleware."""
    if ctx.method in _NEEDING_CLIENT:
        await ctx.lifespan_context.prepare()
    return await call_next(ctx)
