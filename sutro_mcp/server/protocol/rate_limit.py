"""How often a caller may call. Who calls too often hears in how many seconds to call again.

The generic cell rate algorithm (GCRA) keeps one number for each caller: until when past calls are paid for.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sutro_mcp.errors import RateLimitedError, counted
from sutro_mcp.server.context import current_principal

Kind = Literal["call", "heavy"]

# More callers at once than one server serves.
_MOST_CALLERS = 20_000


@dataclass(frozen=True)
class Rate:
    """Calls a minute in the long run, and how many of them at once."""

    per_minute: int
    burst: int

    @property
    def interval(self) -> float:
        """Seconds between two calls in the long run."""
        return 60 / self.per_minute

    @property
    def tolerance(self) -> float:
        """Seconds that a caller may be ahead of that."""
        return self.interval * (self.burst - 1)


class Rates(Protocol):
    """Remembers the calls so far."""

    async def take(self, key: str, rate: Rate) -> float:
        """Count a call by `key`; the seconds to wait when there were too many, and then it is not counted."""
        ...


class LocalRates:
    """The calls that this process has seen."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._paid_until: dict[str, float] = {}

    async def take(self, key: str, rate: Rate) -> float:
        """As `Rates` says."""
        return self.take_now(key, rate)

    def take_now(self, key: str, rate: Rate) -> float:
        """The same at once."""
        now = self._now()
        paid_until = max(self._paid_until.get(key, now), now)
        early = paid_until - now - rate.tolerance
        # Less is the rounding of sums.
        if early > 1e-6:
            return early
        if len(self._paid_until) >= _MOST_CALLERS:
            self._paid_until = {key: until for key, until in self._paid_until.items() if until > now}
        self._paid_until[key] = paid_until + rate.interval
        return 0.0

    def give_back(self, key: str, rate: Rate) -> None:
        """Count a call less, one that has turned out to cost nothing."""
        if key in self._paid_until:
            self._paid_until[key] -= rate.interval


class RateLimits:
    """The rates of the callers of one server, each with calls of a `Kind` of their own."""

    def __init__(self, rates: Mapping[Kind, Rate], seen: Rates) -> None:
        self._rates = rates
        self._seen = seen
        self.refused = Counter[Kind]()
        """How many calls of each kind were one too many."""

    async def admit(self, doing: str, kinds: Sequence[Kind]) -> None:
        """Count a call of the current caller. Raises RateLimitedError when there were too many."""
        for kind in kinds:
            rate = self._rates[kind]
            seconds = math.ceil(await self._seen.take(f"{kind}:{current_principal().id}", rate))
            if seconds > 0:
                self.refused[kind] += 1
                calls = "calls of this kind" if kind == "heavy" else "calls"
                raise RateLimitedError(
                    doing,
                    f"you may make {rate.per_minute:,} {calls} a minute, and {rate.burst:,} of them at once",
                    f"Call again in {counted(seconds, 'second')}",
                    retry_after=seconds,
                )
