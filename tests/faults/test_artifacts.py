"""Artifacts with changed bytes, through a worker process, as pages and as summaries."""

from collections.abc import Callable

import pytest

from tests import tries

from .artifacts import run_artifacts

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]


async def test_a_changed_artifact_is_read_or_refused_and_the_next_call_works(
    record_property: Callable[[str, object], None],
) -> None:
    """2,000 of them."""
    count = tries.some_of(2_000)
    tally = await run_artifacts(seed=tries.seed, count=count)
    record_property("tries", count)
    assert tally.wrong == []
    assert tally.read > count / 10
    assert tally.refused > count / 2
    assert tally.read + tally.refused + tally.deaths == count
