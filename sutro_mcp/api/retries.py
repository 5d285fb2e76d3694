"""When a read is sent again and after how long, and when nothing is sent at all.

stamina does the counting and the sleeping (and lets tests not sleep); `Backoff` decides. It honours
`Retry-After`, otherwise waits a random time below a growing ceiling, and gives up at once when the wait would
pass the deadline of the call: then the caller learns the real reason instead of "no answer in time". Which
statuses pass by themselves is in `status_errors`, which requests may be sent twice in `routes`.

A deployment in trouble is left alone. The `RetryBudget` keeps repeats at a tenth of the calls, and the
`CircuitBreaker` refuses calls for some seconds after failures in a row. No library has both for asyncio.
"""

import math
import random
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import anyio
import stamina

from sutro_mcp import errors
from sutro_mcp.errors import counted

T = TypeVar("T")

ATTEMPTS = 3
RETRY_AFTER_MIN, RETRY_AFTER_MAX = 0.5, 30.0
_MOST_TENTHS = 100
_FIRST_CEILING, _LAST_CEILING = 0.5, 8.0
_FAILURES = (errors.ConnectionFailedError, errors.DeadlineExceededError, errors.ServiceUnavailableError)
_caller = stamina.AsyncRetryingCaller(attempts=ATTEMPTS, timeout=None)


class CircuitOpenError(errors.ServiceUnavailableError):
    """The deployment failed too often lately, and nothing was sent."""


class RetryBudget:
    """How often requests may be repeated: ten times at once, then once for every ten calls."""

    def __init__(self) -> None:
        self._tenths = _MOST_TENTHS

    def deposit(self, tenths: int = 1) -> None:
        """Earn a tenth of a repeat, as each call does, or more."""
        self._tenths = min(self._tenths + tenths, _MOST_TENTHS)

    def withdraw(self) -> bool:
        """Whether one more request may be repeated, which is then taken off."""
        allowed = self._tenths >= 10
        self._tenths -= 10 if allowed else 0
        return allowed


class CircuitBreaker:
    """Refuses requests to a deployment that failed ten times in a row, but for one every few seconds."""

    _THRESHOLD = 10
    _PAUSE = 5.0

    def __init__(self) -> None:
        self._failures = 0
        self._last = ""
        self._next = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request would be refused now."""
        return self._failures >= self._THRESHOLD and anyio.current_time() < self._next

    @contextmanager
    def watch(self, doing: str) -> Generator[None]:
        """Count how the request inside ends. Raises CircuitOpenError instead if none may be sent."""
        if self.is_open:
            seconds = math.ceil(self._next - anyio.current_time())
            raise CircuitOpenError(
                doing,
                f"{self._last}; that was failure {self._failures} in a row, so nothing was sent now",
                f"Wait {counted(seconds, 'second')} and call again",
                retry_after=seconds,
            )
        # Should this be the probe of an open circuit, the next one is due after a pause, whatever happens.
        self._next = anyio.current_time() + self._PAUSE
        try:
            yield
        except _FAILURES as error:
            asked = error.retry_after or 0.0
            self._failures += 1
            self._last = error.happened
            self._next = anyio.current_time() + max(self._PAUSE, asked)
            raise
        except errors.SutroError:
            self._failures = 0
            raise
        self._failures = 0


class Backoff:
    """Decides for one call: the seconds until the next attempt, or False."""

    def __init__(self, budget: RetryBudget, breaker: CircuitBreaker | None = None) -> None:
        """Without a `breaker` the requests go elsewhere than to the deployment."""
        self._budget = budget
        self._breaker = breaker
        self._ceiling = _FIRST_CEILING

    def __call__(self, error: Exception) -> float | bool:
        if getattr(error, "given_up", False):
            return False
        if isinstance(error, CircuitOpenError) or (self._breaker and self._breaker.is_open):
            return False
        if isinstance(error, errors.TemporaryError) and error.retry_after is not None:
            wait = error.retry_after
        elif isinstance(error, (*_FAILURES, errors.IncompleteReplyError)):
            wait = random.uniform(0, self._ceiling)
            self._ceiling = min(self._ceiling * 2, _LAST_CEILING)
        else:
            return False
        in_time = anyio.current_time() + wait < anyio.current_effective_deadline()
        return wait if in_time and self._budget.withdraw() else False


async def retrying(
    read: Callable[[], Awaitable[T]], budget: RetryBudget, breaker: CircuitBreaker | None = None
) -> T:
    """The result of `read`, called up to three times while it fails for a passing reason.

    What it raises is `given_up`, so that one inside another does not multiply the attempts.
    """
    budget.deposit()
    try:
        return await _caller(Backoff(budget, breaker), read)
    except errors.SutroError as error:
        error.given_up = True
        raise


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The pause of `Retry-After`, seconds or a date, clamped to 0.5 … 30 seconds; None if junk."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value) if not value or value[0] in "+-.0123456789" else _until(value, headers)
    except (ValueError, TypeError):  # TypeError: one date has a zone and the other has not
        return None
    if not 0 <= seconds < math.inf:
        return None
    return min(max(seconds, RETRY_AFTER_MIN), RETRY_AFTER_MAX)


def _until(value: str, headers: Mapping[str, str]) -> float:
    # Where possible both dates are the server's, so that a wrong clock here does not matter.
    sent = headers.get("date")
    now = parsedate_to_datetime(sent) if sent else datetime.now(UTC)
    return max((parsedate_to_datetime(value) - now).total_seconds(), 0.0)
