"""How long the pauses between two reads of a status are, and which errors end the reading."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from sutro_mcp import errors
from sutro_mcp.api.status_poller import WATCHED, PollSchedule, StatusPoller

pytestmark = pytest.mark.anyio

SAID = ("read", "it broke", "Call again")
BUSY = errors.RateLimitedError(*SAID, retry_after=77.0)


def test_pauses_grow_to_a_limit_and_heed_what_the_deployment_asks() -> None:
    """2, 3, 4.5 and so on to 30 seconds."""
    pauses = [WATCHED.first]
    while pauses[-1] < WATCHED.slowest:
        pauses.append(WATCHED.after(pauses[-1]))
    assert pauses == [2.0, 3.0, 4.5, 6.75, 10.125, 15.1875, 22.78125, 30.0]
    assert WATCHED.after(30.0) == 30.0
    assert WATCHED.after(2.0, BUSY) == 77.0
    assert WATCHED.after(2.0, errors.ConnectionFailedError(*SAID)) == 3.0


def raising(error: Exception) -> Callable[[], Awaitable[str]]:
    """A read that fails."""

    async def read() -> str:
        await anyio.lowlevel.checkpoint()
        raise error

    return read


async def test_an_error_that_passes_is_kept_and_any_other_is_raised_with_a_long_pause() -> None:
    """Neither a gateway nor a cut reply ends anything; a refused key is not tried every few seconds."""
    for error, pause in (
        (BUSY, 77.0),
        (errors.ConnectionFailedError(*SAID), 0.0015),
        (errors.IncompleteReplyError(*SAID), 0.0015),
    ):
        poller = StatusPoller(raising(error), PollSchedule(0.001, 1.0))
        assert await poller.next() is None
        assert (poller.trouble, poller.pause) == (error, pause)
    for error in (errors.AuthenticationError(*SAID), errors.UnexpectedReplyError(*SAID), ValueError()):
        poller = StatusPoller(raising(error), PollSchedule(0.001, 1.0))
        with pytest.raises(type(error)):
            await poller.next()
        assert poller.pause == 300.0
