"""How many calls run at once: some run, more wait, and the rest are told to come back.

A host may send thousands of calls without waiting for answers, and each would hold memory and a connection.
Where callers are told apart, none of them takes all there is: each has slots of its own besides.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from sutro_mcp.errors import TemporaryError
from sutro_mcp.server.context import current_principal

# As many calls of one caller wait as let a host ask a dozen things in one go.
_QUEUED_EACH = 16


class ConcurrencyLimit:
    """At most `running` calls at once and `queued` behind them; `each` of them for one of several callers."""

    def __init__(self, running: int = 16, queued: int = 64, each: int = 4) -> None:
        self._all = _Slots(running, queued)
        self._each = each
        self._queued_each = min(queued, _QUEUED_EACH)
        self._own: dict[str, _Slots] = {}
        self.refused = 0
        """How many calls found the queue full."""

    @property
    def running(self) -> int:
        """How many calls run now."""
        return self._all.running

    @asynccontextmanager
    async def slot(self, doing: str) -> AsyncGenerator[None]:
        """Wait for a slot and hold it for the block. Raises TemporaryError when the queue is full."""
        caller = current_principal()
        slots = [self._all]
        if caller.kind != "local":
            slots.insert(0, self._own.setdefault(caller.id, _Slots(self._each, self._queued_each)))
        try:
            async with AsyncExitStack() as held:
                for each in slots:
                    if each.is_full:
                        self.refused += 1
                        raise TemporaryError(
                            doing,
                            "too many calls are running and waiting",
                            "Wait for their answers and call again",
                        )
                    await held.enter_async_context(each.slot())
                yield
        finally:
            if slots[0].is_idle:
                self._own.pop(caller.id, None)


class _Slots:
    """Some run, more wait."""

    def __init__(self, running: int, queued: int) -> None:
        self._limiter = anyio.CapacityLimiter(running)
        self._queued = queued

    @property
    def running(self) -> int:
        return self._limiter.borrowed_tokens

    @property
    def is_full(self) -> bool:
        return self._limiter.available_tokens < 1 and self._waiting >= self._queued

    @property
    def is_idle(self) -> bool:
        return self.running == 0 and self._waiting == 0

    @property
    def _waiting(self) -> int:
        return self._limiter.statistics().tasks_waiting

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        # Each call is a borrower of its own: a task may hold several slots.
        borrower = object()
        await self._limiter.acquire_on_behalf_of(borrower)
        try:
            yield
        finally:
            self._limiter.release_on_behalf_of(borrower)
