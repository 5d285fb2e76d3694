"""Objects that every handler can reach."""

from collections.abc import Callable, Generator, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context

from sutro_mcp.api import Status
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.results_engine import ResultsEngine
from sutro_mcp.settings import Settings

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient, ApiKey  # loads the HTTP library

    from .live.job_watcher import JobWatcher  # needs what needs this module
    from .live.running_jobs import RunningJobs
    from .live.subscriptions import Subscribers
    from .operations.audit import Audit  # over stdio it is not loaded
    from .tenants import Tenants

NEEDING_CLIENT = frozenset(
    {"tools/call", "resources/list", "resources/read", "completion/complete", "tasks/get", "tasks/cancel"}
)

Connect = Callable[[], "ApiClient"]
Scope = Literal["read", "cancel"]


@dataclass(frozen=True)
class Principal:
    """A caller, as the transport made sure of it."""

    id: str
    """The same on every replica and in every request, and nobody else's."""
    label: str
    """A name for logs and files of keys that no caller chooses: the token's, the issuer's, or hex digits."""
    kind: Literal["local", "bearer", "oauth", "sutro-key"]
    scopes: frozenset[Scope]
    """What the caller may do; who may cancel may read."""
    groups: tuple[str, ...] = ()
    """The groups of the caller, as the issuer names them."""
    issuer: str | None = None
    client_id: str | None = None
    """The program that the issuer made the token for."""
    token_id: str | None = None
    """The first 8 hexadecimal digits of the SHA-256 of what the caller showed."""
    sutro_key: "ApiKey | None" = field(default=None, repr=False)
    """The Sutro key that the caller brought."""


LOCAL = Principal("local", "local", "local", frozenset({"read", "cancel"}))
"""The caller of a server that tells no callers apart."""
_principal: ContextVar[Principal] = ContextVar("principal", default=LOCAL)


def current_principal() -> Principal:
    """The caller of the request that is being answered."""
    return _principal.get()


@contextmanager
def acting_for(principal: Principal) -> Generator[None]:
    """Make `principal` the current one."""
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


def principal_in(scope: MutableMapping[str, Any]) -> Principal:
    """The caller that the guard of the transport left in an ASGI scope, under "user"."""
    return getattr(scope.get("user"), "principal", LOCAL)


@dataclass
class AppContext:
    """A server's settings and results, and the client and watched jobs of one Sutro key."""

    settings: Settings
    results: ResultsEngine
    connect: Connect
    fastest_answer: float = 0.5
    """Seconds that a person needs to answer a question in the host: a faster no is the host's own."""
    tenants: "Tenants | None" = None
    """The contexts of the callers, where they are told apart; this one is then nobody's."""
    subscribers: "Subscribers" = field(init=False)
    watcher: "JobWatcher" = field(init=False)
    running: "RunningJobs" = field(init=False)
    audit: "Audit | None" = None
    ending: anyio.Event = field(default_factory=anyio.Event, repr=False)
    """Set when the server will stop: what waits says what it knows."""
    admitted: Callable[[str], AbstractAsyncContextManager[None]] = lambda _: nullcontext()
    """As `SutroServer` says."""
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
                    # Its traceback has this frame, in which `found` is the error before: a chain without end.
                    self._client = error.with_traceback(None)

    async def read_status(self, job_id: str) -> Status:
        await self.prepare()
        return (await self.client.get_job_status(job_id)).status

    def everyone(self) -> "Iterator[AppContext]":
        """This context and those of callers who are told apart."""
        yield self
        yield from () if self.tenants is None else self.tenants.contexts()

    async def aclose(self) -> None:
        if self._client is not None and not isinstance(self._client, ConfigurationError):
            await self._client.aclose()


Ctx = Context[AppContext]


def app_of(ctx: Ctx) -> AppContext:
    return ctx.request_context.lifespan_context


async def prepare_client(ctx: ServerRequestContext[AppContext, Any], call_next: CallNext) -> HandlerResult:
    """Make the API client before a handler asks for it: a middleware."""
    if ctx.method in NEEDING_CLIENT:
        await ctx.lifespan_context.prepare()
    return await call_next(ctx)
