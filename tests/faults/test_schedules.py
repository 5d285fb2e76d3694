"""Whatever goes wrong, in whatever order: an answer is right, or it is an explicit error."""

from collections.abc import Callable

import pytest

from tests import tries

from .schedules import run_schedules

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]


@pytest.mark.parametrize("number", range(4))
async def test_a_wrong_answer_never_looks_like_a_right_one(
    number: int, record_property: Callable[[str, object], None]
) -> None:
    """250 calls each; none hangs. `scripts/fuzz` makes more."""
    count = tries.some_of(250, least=50)
    tally = await run_schedules(4 * tries.seed + number, count)
    record_property("tries", tally.right + tally.failed)
    assert tally.wrong == []
    assert tally.right > count * 0.3
    assert tally.failed > count / 10
