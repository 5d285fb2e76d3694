"""Generated input: what must be answered is, once, and nothing happens that was not asked for."""

import sys
from collections.abc import Callable

import pytest

from tests.support import Era

from .artifacts import run_artifacts
from .http_messages import run_http_messages
from .ids import run_ids
from .messages import run_messages

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at the process in /proc")


@LINUX
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_server_survives_generated_messages_and_answers_every_request_once(
    era: Era, record_property: Callable[[str, object], None]
) -> None:
    """20,000 lines in each era, of which three quarters are requests."""
    tally = await run_messages(seed=1, lines=20_000, era=era)
    record_property("tries", tally.lines)
    assert tally.lines == 20_000
    assert tally.requests == tally.answered > 12_000
    assert tally.twice == []
    assert tally.refused_lines > 1_000
    assert tally.rss_growth < 32 * 2**20


@LINUX
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_server_survives_generated_http_requests_and_answers_each_once(
    era: Era, record_property: Callable[[str, object], None]
) -> None:
    """5,000 in each era: odd verbs, headers and bodies among requests that are in order."""
    tally = await run_http_messages(seed=1, count=5_000, era=era)
    record_property("tries", tally.sent)
    assert tally.wrong == []
    assert tally.sent == 5_000
    assert tally.repeated < 5
    assert tally.answered > 2_000
    assert {200, 400, 403, 404, 405} <= tally.statuses.keys()
    assert tally.rss_growth < 32 * 2**20


async def test_no_bad_job_id_is_ever_sent_anywhere(record_property: Callable[[str, object], None]) -> None:
    """20,000 of them, through every tool that takes one."""
    record_property("tries", 20_000)
    assert await run_ids(seed=1, count=20_000) == []


async def test_a_changed_artifact_is_read_or_refused_and_the_next_call_works(
    record_property: Callable[[str, object], None],
) -> None:
    """2,000 of them, through a worker process, as pages and as summaries."""
    tally = await run_artifacts(seed=1, count=2_000)
    record_property("tries", tally.read + tally.refused + tally.deaths)
    assert tally.wrong == []
    assert tally.read > 200
    assert tally.refused > 1_000
    assert tally.read + tally.refused + tally.deaths == 2_000
