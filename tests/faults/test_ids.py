"""Generated job ids that are none."""

from collections.abc import Callable

import pytest

from tests import tries

from .ids import run_ids

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]


async def test_no_bad_job_id_is_ever_sent_anywhere(record_property: Callable[[str, object], None]) -> None:
    """20,000 of them, through every tool that takes one."""
    count = tries.some_of(20_000)
    record_property("tries", count)
    assert await run_ids(seed=tries.seed, count=count) == []
