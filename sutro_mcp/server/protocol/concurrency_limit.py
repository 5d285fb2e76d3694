"""How many calls run at once: some run, more wait, and the rest are told to come back.

A host may send thousands of calls without waiting for answers, and each would hold memory and a connection.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from sutro_mcp.errors import TemporaryError


class ConcurrencyLimit:
    """At most `running` at once and `queued` behind them."""

    def __init__(self, running: int = 16, queued: int = 64) -> None:
        self._slots = anyio.CapacityLimiter(running)
        self._queued = queued

    @asynccontextmanager
    async def slot(self, doing: str) -> AsyncGenerator[None]:
        """Wait for a slot and hold it for the block. Raises TemporaryError when the queue is full."""
        if self._slots.available_tokens < 1 and self._slots.statistics().tasks_waiting >= self._queued:
            raise TemporaryError(
                doing, "too many calls are running and waiting", "Wait for their answers and call again"
            )
        # Each call is a borrower of its own: a task may hold several slots.
        borrower = object()
        await self._slots.acquire_on_behalf_of(borrower)
        try:
            yield
        finally:
            self._slots.release_on_behalf_of(borrower)
