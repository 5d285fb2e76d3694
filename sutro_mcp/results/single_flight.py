"""Long work that several callers may wait for, and that outlives the patience of a host.

Hosts give up on a call after about a minute, and call again. So work that takes longer goes on without its
caller, who is told so; the same call again joins it or gets what it found.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from sutro_mcp.errors import StillWorkingError, counted

T = TypeVar("T")
ProgressCallback = Callable[[float, str], None]
"""Told the share that is done (0 to 1) and a few words about it."""

# Finished work that waits for its caller to come back.
_MOST_KEPT = 16
# After that it may no longer be true.
_KEPT_SECONDS = 300.0


def bytes_to(on_progress: ProgressCallback | None) -> Callable[[int, int | None], None] | None:
    """Tells `on_progress` of bytes that come: the first half of the work."""
    if on_progress is None:
        return None

    def on_bytes(come: int, size: int | None) -> None:
        share = come / size if size else 0.0
        of = f" of {size:,}" if size else ""
        on_progress(share / 2, f"{come:,}{of} bytes fetched")

    return on_bytes


def rows_to(on_progress: ProgressCallback) -> Callable[[int, int], None]:
    """Tells `on_progress` of rows that are read: the second half."""
    return lambda done, total: on_progress(
        0.5 + done / max(total, 1) / 2, f"{done:,} of {counted(total, 'row')} read"
    )


@dataclass
class _Flight:
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_over: anyio.Event = field(default_factory=anyio.Event)
    listeners: list[ProgressCallback] = field(default_factory=list[ProgressCallback])
    waiters: int = 0
    was_left: bool = False
    words: str = ""
    share: float = 0.0
    result: Any = None
    error: Exception | None = None
    ended: float = 0.0

    @property
    def is_useless(self) -> bool:
        """Whether it was cancelled, or what it found is too old."""
        old = self.is_over.is_set() and anyio.current_time() - self.ended > _KEPT_SECONDS
        return old or self.scope.cancel_called

    def stands(self) -> str:
        """How far it is, as a clause."""
        if not self.words:
            return "Sutro has sent nothing of the results yet"
        return f"{self.words}; about {self.share:.0%} of the work is done, {1 - self.share:.0%} is left"

    def notify(self, share: float, words: str) -> None:
        self.share, self.words = share, words
        for listener in self.listeners:
            listener(share, words)


class SingleFlight:
    """Work under way, by what it is about."""

    def __init__(self, group: TaskGroup, patience: float) -> None:
        """Work runs in `group`; a caller waits `patience` seconds for it."""
        self._group = group
        self._patience = patience
        self._flights: dict[Hashable, _Flight] = {}

    async def run(
        self,
        key: Hashable,
        doing: str,
        work: Callable[[ProgressCallback], Awaitable[T]],
        on_progress: ProgressCallback | None = None,
    ) -> T:
        """Return or raise as `work` does. Raises StillWorkingError when it takes too long; it goes on then.

        Work is cancelled when all its callers were, unless one was told that it goes on.
        """
        flight = self._flights.get(key)
        if flight is None or flight.is_useless:
            flight = self._flights[key] = _Flight()
            self._group.start_soon(self._fly, key, flight, work)
        flight.waiters += 1
        if on_progress:
            flight.listeners.append(on_progress)
        try:
            with anyio.move_on_after(self._patience):
                await flight.is_over.wait()
        except BaseException:
            if flight.waiters == 1 and not flight.was_left:
                flight.scope.cancel()
            raise
        finally:
            flight.waiters -= 1
            if on_progress:
                flight.listeners.remove(on_progress)
        if not flight.is_over.is_set():
            flight.was_left = True
            raise StillWorkingError(
                f"{doing} within {self._patience:g} seconds",
                f"it goes on in the background: {flight.stands()}",
                "Make the same call again to go on waiting; what is done is not done twice",
            )
        self._forget(key, flight)
        if flight.error is not None:
            raise flight.error
        return flight.result

    async def _fly(
        self, key: Hashable, flight: _Flight, work: Callable[[ProgressCallback], Awaitable[Any]]
    ) -> None:
        try:
            with flight.scope:
                flight.result = await work(flight.notify)
        except Exception as error:
            flight.error = error
        finally:
            flight.ended = anyio.current_time()
            flight.is_over.set()
            if not flight.was_left or flight.scope.cancelled_caught:
                self._forget(key, flight)
            over = [name for name, each in self._flights.items() if each.is_over.is_set()]
            for name in over[: max(len(over) - _MOST_KEPT, 0)]:
                del self._flights[name]

    def _forget(self, key: Hashable, flight: _Flight) -> None:
        # There may be another one by now.
        if self._flights.get(key) is flight:
            del self._flights[key]
