"""The demo tells when the product does not do what it shows."""

import pytest

from sutro_mcp.demo.conversation import DemoFailedError, converse
from sutro_mcp.emulator import Emulator, Fault, Pace
from sutro_mcp.settings import Settings
from tests.support import talk

pytestmark = pytest.mark.anyio


def _failing_follow() -> Emulator:
    emulator = Emulator(pace=Pace.polls(3))
    # In memory a stream is read to its end, and with it the job.
    emulator.faults.add(Fault.json(404, "no stream"), path="/stream-job-progress/*", times=None)
    emulator.job(emulator.find("nightly-email-classify")).outcome = "FAILED"
    return emulator


def _failing_list() -> Emulator:
    emulator = Emulator()
    emulator.faults.add(Fault.json(403, "no"), times=None)
    return emulator


@pytest.mark.parametrize(
    ("emulator", "settings", "words"),
    [
        (Emulator(seed_jobs=False), Settings(), "two running jobs"),
        (Emulator(), Settings(cancel="allow"), "without consent"),
        (_failing_follow(), Settings(), "ended as FAILED"),
        (_failing_list(), Settings(), "summarize_jobs answered: Cannot list jobs"),
    ],
    ids=["no-jobs", "no-consent", "job-fails", "tool-fails"],
)
async def test_a_promise_that_is_not_kept_ends_the_demo(
    emulator: Emulator, settings: Settings, words: str
) -> None:
    """With the reason."""
    lines: list[str] = []
    async with talk(emulator, settings=settings) as chat:
        with pytest.raises(DemoFailedError, match=words):
            await converse(chat.client, lines.append)
