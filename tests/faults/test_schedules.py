"""Whatever goes wrong, in whatever order: an answer is right, or it is an explicit error."""

from collections.abc import Callable

import pytest

from .schedules import run_schedules

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(150)]


@pytest.mark.parametrize("seed", range(4))
async def test_a_wrong_answer_never_looks_like_a_right_one(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    """250 calls each; none hangs. `scripts/fuzz` makes more."""
    tally = await run_schedules(seed, 250)
    record_property("tries", tally.right + tally.failed)
    assert tally.wrong == []
    assert tally.right > 100
    assert tally.failed > 50
