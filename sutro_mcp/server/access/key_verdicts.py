"""Verdicts of Sutro on the keys that callers bring, so that keys which somebody makes up cost it little.

Only Sutro knows whether a key counts, and asking is a request. One that it refused is refused here for a
while, without asking; of those that it has not accepted yet, each address may bring only so many. A key that
is accepted counts against no address, so that many callers may share one.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sutro_mcp.api import ApiKey
from sutro_mcp.api.http_client import observers
from sutro_mcp.concurrency import LRU
from sutro_mcp.server.protocol.rate_limit import LocalRates, Rate

from .authentication import CredentialError

_MOST = 5_000
# Not for long: a key may be new.
_REFUSED_SECONDS = 30.0


@dataclass
class _Known:
    """A key: the address that brought it first, and what Sutro said of it since."""

    peer: str
    is_accepted: bool = False
    refusals: int = 0
    refused_until: float = -math.inf


class KeyVerdicts:
    """The keys that this process has seen. Hears of every request to Sutro from now on."""

    def __init__(self, rate: Rate, seen: LocalRates, now: Callable[[], float] = time.monotonic) -> None:
        """`rate` is that of new keys from one address, counted in `seen`."""
        self._rate = rate
        self._seen = seen
        self._now = now
        self._known = LRU[bytes, _Known](_MOST)
        observers.append(self._hear)

    def check(self, key: ApiKey) -> None:
        """Raises CredentialError for a key that Sutro refused a moment ago."""
        known = self._known.get(_digest(key))
        if known is not None and self._now() < known.refused_until:
            raise CredentialError("unknown", "Sutro does not accept this key")

    def admit(self, key: ApiKey, peer: str) -> int:
        """Let a key be tried; the seconds to wait where its address has brought too many new ones."""
        digest = _digest(key)
        known = self._known.get(digest)
        if known is not None and (known.is_accepted or not known.refusals):
            self._known.move_to_end(digest)
            return 0
        seconds = math.ceil(self._seen.take_now(_new(peer), self._rate))
        if seconds == 0:
            self._known[digest] = _Known(peer)
        return seconds

    def _hear(self, _route: str, status: int | None, _seconds: float, key: ApiKey) -> None:
        known = self._known.get(_digest(key))
        if known is None:
            return
        if status == 401:
            known.refusals += 1
            # Of a key that was accepted, the first one may be a fault of Sutro's.
            if known.refusals > known.is_accepted:
                known.refused_until = self._now() + _REFUSED_SECONDS
        elif status is not None and status < 300:
            known.refusals = 0
            if not known.is_accepted:
                known.is_accepted = True
                self._seen.give_back(_new(known.peer), self._rate)


def _digest(key: ApiKey) -> bytes:
    return hashlib.sha256(key.reveal().encode()).digest()


def _new(peer: str) -> str:
    return f"new key:{peer}"
