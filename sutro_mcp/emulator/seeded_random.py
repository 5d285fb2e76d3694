"""Deterministic choices, cheap enough for a hundred thousand rows while somebody waits.

`random.Random` costs a seeding per row; this costs a multiplication per choice and depends on nothing but
(seed, index), so that any row can be created alone.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


def seed_of(text: str) -> int:
    """A 64-bit seed that stays the same in every process, which `hash()` does not."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


class SeededRandom:
    """The random choices of one row, in the order of the calls."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, index: int) -> None:
        state = (seed ^ (index * 0x9E3779B97F4A7C15)) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        self._state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK

    def below(self, limit: int) -> int:
        """An integer from 0 to limit - 1."""
        self._state = state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return ((state >> 33) * limit) >> 31

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def fraction(self, low: float = 0.0, high: float = 1.0, digits: int = 4) -> float:
        """A number from low to high, rounded as a service would send it."""
        return round(low + (high - low) * self.below(1 << 20) / (1 << 20), digits)
