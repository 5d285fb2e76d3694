"""How often the status of a job is read, and which failures of a read pass by themselves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from sutro_mcp.errors import IncompleteReplyError, RateLimitedError, SutroError, TemporaryError

T = TypeVar("T")

PASSING = (TemporaryError, IncompleteReplyError)
"""The errors after which the same read may succeed."""
_BACKOFF = 1.5


@dataclass(frozen=True)
class PollSchedule:
    """Pauses between two reads, in seconds."""

    first: float
    slowest: float
    """The length that pauses grow to."""
    lost: float = 300.0
    """The pause after an error that waiting alone does not mend."""

    def after(self, pause: float, error: SutroError | None = None) -> float:
        """The pause after `pause`; not shorter than what the deployment asked for in `error`."""
        asked = (isinstance(error, RateLimitedError) and error.retry_after) or 0.0
        return max(min(pause * _BACKOFF, self.slowest), asked)


# A call of a tool that waits also reads the progress stream; nothing but the poller tells a program.
TOOL_WAITS = PollSchedule(first=5.0, slowest=10.0)
PROGRAM_WAITS = PollSchedule(first=2.0, slowest=10.0)
# A host may watch a job for days.
WATCHED = PollSchedule(first=2.0, slowest=30.0)


class StatusPoller(Generic[T]):
    """Reads the status of one job again and again, ever more slowly."""

    def __init__(self, read: Callable[[], Awaitable[T]], schedule: PollSchedule) -> None:
        self._read = read
        self._schedule = schedule
        self._hurry = anyio.Event()
        self.pause = schedule.first
        self.trouble: SutroError | None = None
        """The error of the last read, if it was one that passes."""

    async def next(self) -> T | None:
        """The status after a pause; None if it could not be read for the moment.

        Raises any error that waiting alone does not mend.
        """
        with anyio.move_on_after(self.pause):
            await self._hurry.wait()
        self._hurry = anyio.Event()
        try:
            status = await self._read()
            self.trouble = None
        except PASSING as error:
            status, self.trouble = None, error
        except Exception:
            self.pause = self._schedule.lost
            raise
        self.pause = self._schedule.after(self.pause, self.trouble)
        return status

    def hurry(self) -> None:
        self._hurry.set()
