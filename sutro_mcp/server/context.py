"""Objects that every handler can reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcp.server.mcpserver import Context

from sutro_mcp.api import Status
from sutro_mcp.results import ResultsEngine
from sutro_mcp.settings import Settings

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

    from .live.job_watcher import JobWatcher  # needs what needs this module

Connect = Callable[[], "ApiClient"]


@dataclass
class AppContext:
    """One server's client, results, watched jobs and settings."""

    settings: Settings
    results: ResultsEngine
    connect: Connect
    watcher: "JobWatcher" = field(init=False)
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
