"""The demo tells when the product does not do what it shows."""

from collections.abc import Iterable

import pytest
from inline_snapshot import snapshot

from sutro_mcp.demo.conversation import DemoFailedError, converse
from sutro_mcp.emulator import Emulator, Fault, Pace
from sutro_mcp.settings import Settings
from tests.support import talk

pytestmark = pytest.mark.anyio


def _without_streams() -> Emulator:
    """In memory a stream is read to its end, and with it the job."""
    emulator = Emulator(pace=Pace.polls(3))
    emulator.faults.add(Fault.json(404, "no stream"), path="/stream-job-progress/*", times=None)
    return emulator


def _say_nothing(_: str) -> None:
    """Nobody reads."""


def _draw_nothing(name: str, top: Iterable[tuple[object, int, float]], more: int | None) -> None:
    """Nobody looks."""


def _failing_follow() -> Emulator:
    emulator = _without_streams()
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
            await converse(chat.client, lines.append, _draw_nothing)


async def test_the_demo_draws_each_field_of_the_results_that_it_shows() -> None:
    """From the answer to the question before."""
    drawn: list[object] = []

    def draw(name: str, top: Iterable[tuple[object, int, float]], more: int | None) -> None:
        drawn.append((name, next(iter(top))[0], more))

    async with talk(_without_streams()) as chat:
        await converse(chat.client, _say_nothing, draw)
    assert drawn == snapshot([("folder", "needs_reply", None), ("needs_human", False, None)])
