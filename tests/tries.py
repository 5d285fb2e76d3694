"""How much of a long proof this run makes (`--tries`), and from which seed (`--seed`)."""

import random
from collections.abc import Sequence
from typing import Any

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
    return [item for item in items if item in kept or not item.get_closest_marker("hostile")]
