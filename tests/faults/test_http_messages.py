"""Generated MCP messages over HTTP: a request in order is answered once, and any other without harm."""

import sys
from collections.abc import Callable

import pytest

from tests import tries
from tests.support import Era

from .http_messages import run_http_messages

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process in /proc")
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_server_survives_generated_http_requests_and_answers_each_once(
    era: Era, record_property: Callable[[str, object], None]
) -> None:
    """5,000 in each era: odd verbs, headers and bodies among requests that are in order."""
    count = tries.some_of(5_000)
    tally = await run_http_messages(seed=tries.seed, count=count, era=era)
    record_property("tries", tally.sent)
    assert tally.wrong == []
    assert tally.sent == count
    assert tally.repeated < 5
    assert tally.answered > count * 0.4
    assert {200, 400, 403, 404, 405} <= tally.statuses.keys()
    assert tally.rss_growth < 32 * 2**20
