"""How much of a long proof this run makes (`--tries`), and from which seed (`--seed`)."""

import random
import re
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import pytest

# Both are set once, before any test module is imported.
share = 1.0
seed = 1


def some_of(count: int, least: int = 1) -> int:
    """So many tries of `count`."""
    return min(count, max(least, round(count * share)))


def sampled(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The items without most of the cases of each `hostile` function; the same at every run."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("hostile"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept: set[Any] = set()
    for name, found in cases.items():
        kept.update(random.Random(name).sample(found, some_of(len(found), least=8)))
    return [
        item for item in items if item in kept or not (item.get_closest_marker("hostile") or _is_twin(item))
    ]


def _is_twin(item: pytest.Item) -> bool:
    """Whether the test of a tool or resource is left to the other era: half of them are made in each."""
    eras = ("2026-era", "2025-era")
    era = next((each for each in eras if each in item.name), None)
    if era is None or share == 1 or not re.search("server/(tools|resources)/", item.nodeid):
        return False
    return crc32(item.nodeid.replace(era, "").encode()) % 2 != eras.index(era)
