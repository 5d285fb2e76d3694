"""Generated MCP messages over stdio: what must be answered is, once."""

import sys
from collections.abc import Callable

import pytest

from tests import tries
from tests.support import Era

from .messages import run_messages

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process in /proc")
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_server_survives_generated_messages_and_answers_every_request_once(
    era: Era, record_property: Callable[[str, object], None]
) -> None:
    """20,000 lines in each era, of which three quarters are requests."""
    lines = tries.some_of(20_000)
    tally = await run_messages(seed=tries.seed, lines=lines, era=era)
    record_property("tries", tally.lines)
    assert tally.lines == lines
    assert tally.requests == tally.answered > lines * 0.6
    assert tally.twice == []
    assert tally.refused_lines > lines / 20
    assert tally.rss_growth < 32 * 2**20
