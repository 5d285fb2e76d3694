"""What every handler can reach, and for how long it lives."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp.server.mcpserver import Context

from sutro_mcp.api import Status
from sutro_mcp.concurrency import background
from sutro_mcp.results import ResultsEngine, results_engine
from sutro_mcp.server.live.job_watcher import JobWatcher, Publish
from sutro_mcp.server.live.status_poller import PollSchedule
from sutro_mcp.settings import Settings

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

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
    _client: "ApiClient | None" = field(default=None, repr=False)

    @property
    def client(self) -> "ApiClient":
        """The API client, made when first needed. Raises ConfigurationError without a usable key and URL."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    async def read_status(self, job_id: str) -> Status:
        """Where a job stands."""
        return (await self.client.get_job_status(job_id)).status

    async def aclose(self) -> None:
        """Close the client, if one was made."""
        if self._client is not None:
            await self._client.aclose()


Ctx = Context[AppContext]


def app_of(ctx: Ctx) -> AppContext:
    """The AppContext behind a request."""
    return ctx.request_context.lifespan_context


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
