"""Progress of long reads, told to the host while they run."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from sutro_mcp.concurrency import background
from sutro_mcp.results.single_flight import ProgressCallback
from sutro_mcp.server.context import Ctx
from sutro_mcp.server.protocol.scrubbing import notifier

T = TypeVar("T")

# Seconds between two notifications.
_RHYTHM = 0.5


async def with_progress(ctx: Ctx, work: Callable[[ProgressCallback], Awaitable[T]]) -> T:
    """The result of `work`; meanwhile a host that asked for progress is told the share of 1 that is done."""
    send = notifier(ctx)
    news = anyio.Event()
    latest = (0.0, "")

    def notify(share: float, words: str) -> None:
        nonlocal latest
        # It must never go back, and something that begins anew does.
        if share > latest[0]:
            latest = (share, words)
            news.set()

    async def tell() -> None:
        nonlocal news
        while True:
            await news.wait()
            news = anyio.Event()
            share, words = latest
            await send(round(share, 4), 1, words)
            await anyio.sleep(_RHYTHM)

    async with background() as group:
        group.start_soon(tell)
        return await work(notify)
