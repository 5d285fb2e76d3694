"""The contexts of a server for a team: one for each Sutro key, found by the caller.

Callers who share a key share its context, so that a job that several of them watch is read once; each of them
could read it anyway. Nothing else is shared: client, retries, watched jobs, streams and results are a key's.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from sutro_mcp.api import Connection
from sutro_mcp.concurrency import LRU
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.redaction import hiding

from .context import AppContext, Connect, Principal, principal_in

KeyOf = Callable[[Principal], Connection]
"""The Sutro key of a caller; raises ConfigurationError for one without. It may read a file."""

_MOST = 2_000
_IDLE_SECONDS = 900.0
# After so long a key that was changed or taken away is noticed.
_KEY_SECONDS = 5.0


@dataclass
class _Tenant:
    """A context, when it was last used, and the calls that use it now."""

    context: AppContext
    last_used: float
    calls: int = 0


class Tenants:
    """The contexts of keys in use, dropped when they are idle for long or too many."""

    def __init__(
        self,
        key_of: KeyOf,
        context: Callable[[Connect, str], AppContext],
        connect: Callable[[Connection], Any],
        *,
        most: int = _MOST,
        idle_seconds: float = _IDLE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`context` makes one from what makes its client and what stands for its key; `connect` makes a
        client that needs no closing.
        """
        self._key_of = key_of
        self._context = context
        self._connect = connect
        self._most = most
        self._idle_seconds = idle_seconds
        self._now = now
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()
        self._keys = LRU[Principal, tuple[float, Connection | ConfigurationError]](most)

    def __len__(self) -> int:
        return len(self._tenants)

    def contexts(self) -> list[AppContext]:
        """Those in use."""
        return [tenant.context for tenant in self._tenants.values()]

    @asynccontextmanager
    async def serving(self, principal: Principal) -> AsyncGenerator[AppContext]:
        """The context of a caller, kept for as long as the block runs."""
        key = await self._key(principal)
        if isinstance(key, ConfigurationError):
            yield self._context(refusing(key), "")
            return
        tenant = self._tenants.get(key.identity)
        if tenant is None:
            context = self._context(lambda: self._connect(key), key.identity)
            tenant = self._tenants[key.identity] = _Tenant(context, self._now())
        self._tenants.move_to_end(key.identity)
        tenant.calls += 1
        try:
            with hiding(key.key.reveal()):
                yield tenant.context
        finally:
            tenant.calls -= 1
            tenant.last_used = self._now()
            self._drop_idle()

    async def _key(self, principal: Principal) -> Connection | ConfigurationError:
        until, key = self._keys.get(principal, (0.0, None))
        if key is None or until < self._now():
            try:
                key = await anyio.to_thread.run_sync(self._key_of, principal, abandon_on_cancel=True)
            except ConfigurationError as error:
                key = error
            self._keys[principal] = self._now() + _KEY_SECONDS, key
        return key

    def _drop_idle(self) -> None:
        """Forget those that were used least recently, but none with a call or a watched job."""
        dropped: list[str] = []
        for identity, tenant in self._tenants.items():
            is_old = tenant.last_used + self._idle_seconds < self._now()
            if len(self._tenants) - len(dropped) <= self._most and not is_old:
                break
            if not tenant.calls and tenant.context.watcher.is_idle:
                dropped.append(identity)
        for identity in dropped:
            del self._tenants[identity]


def refusing(error: ConfigurationError) -> Connect:
    """Makes no client, and says why."""

    def connect() -> Any:
        raise error.with_traceback(None)  # or each request would leave its frames in it

    return connect


NOBODY = refusing(ConfigurationError("use Sutro", "nobody knows who asks", "Report this to the operator"))
"""What serves a request that came past the guard: should there ever be one, no key is used for it."""


async def serve_tenant(ctx: ServerRequestContext[AppContext, Any], call_next: CallNext) -> HandlerResult:
    """Give handlers the context of their caller: a middleware, outside of all that scrub."""
    tenants = ctx.lifespan_context.tenants
    if tenants is None or ctx.request is None or "user" not in ctx.request.scope:
        return await call_next(ctx)
    async with tenants.serving(principal_in(ctx.request.scope)) as context:
        return await call_next(replace(ctx, lifespan_context=context))
