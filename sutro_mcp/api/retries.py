"""When a read is sent again, and after how long.

stamina does the counting and the sleeping (and lets tests not sleep); the hook here decides. It honours
`Retry-After`, otherwise waits a random time below a growing ceiling, and gives up at once when the wait would
pass the deadline of the call: then the caller learns the real reason instead of "no answer in time".
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import stamina

from sutro_mcp.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteReplyError,
    RateLimitedError,
    ServiceUnavailableError,
)

from .status_errors import BusyError

T = TypeVar("T")

ATTEMPTS = 4
_FIRST_CEILING, _LAST_CEILING = 0.5, 8.0
_TRANSIENT = (
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteReplyError,
    ServiceUnavailableError,
)
_caller = stamina.AsyncRetryingCaller(attempts=ATTEMPTS, timeout=None)


async def retrying(read: Callable[[], Awaitable[T]]) -> T:
    """The result of `read`, called up to four times while it fails for a passing reason."""
    return await _caller(Backoff(), read)


class Backoff:
    """Decides for one call: the seconds until the next attempt, or False."""

    def __init__(self) -> None:
        self._ceiling = _FIRST_CEILING

    def __call__(self, error: Exception) -> float | bool:
        if isinstance(error, (RateLimitedError, BusyError)) and error.retry_after is not None:
            wait = error.retry_after
        elif isinstance(error, _TRANSIENT):
            wait = random.uniform(0, self._ceiling)
            self._ceiling = min(self._ceiling * 2, _LAST_CEILING)
        else:
            return False
        return wait if anyio.current_time() + wait < anyio.current_effective_deadline() else False
