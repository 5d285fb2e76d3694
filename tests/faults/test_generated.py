"""Generated input: what must be answered is, once, and nothing happens that was not asked for."""

import sys
from collections.abc import Callable

import pytest

from tests.support import Era

from .messages import run_ids, run_messages

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process in /proc")
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_server_survives_generated_messages_and_answers_every_request_once(
    era: Era, record_property: Callable[[str, object], None]
) -> None:
    """25,000 lines in each era, of which three quarters are requests."""
    tally = await run_messages(seed=1, lines=25_000, era=era)
    record_property("tries", tally.lines)
    assert tally.lines == 25_000
    assert tally.requests == tally.answered > 15_000
    assert tally.twice == []
    assert tally.refused_lines > 1_000
    assert tally.rss_growth < 32 * 2**20


async def test_no_bad_job_id_is_ever_sent_anywhere(record_property: Callable[[str, object], None]) -> None:
    """20,000 of them, through every tool that takes one."""
    record_property("tries", 20_000)
    assert await run_ids(seed=1, count=20_000) == []
