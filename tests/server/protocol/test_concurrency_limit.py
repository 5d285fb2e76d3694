"""Some calls run, more wait, and the rest are told to come back."""

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from sutro_mcp.errors import TemporaryError
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from tests.faults.odd_server import Parking, odd_server
from tests.support import Era, text_of

pytestmark = pytest.mark.anyio

FULL = "too many calls are running and waiting. Wait for their answers and call again"


async def test_sixteen_calls_run_sixty_four_wait_and_the_rest_come_back(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was told so can be made again."""
    monkeypatch.setenv("SUTRO_API_KEY", "sk_any_0123456789")
    answers: list[CallToolResult] = []
    enough = anyio.Event()
    parking = Parking()

    async def call(client: Client) -> None:
        answers.append(await client.call_tool("park", {}))
        if len(answers) == 20:
            enough.set()

    with anyio.fail_after(60):
        async with Client(odd_server(parking), mode=era) as client:
            async with anyio.create_task_group() as calls:
                for _ in range(100):
                    calls.start_soon(call, client)
                await enough.wait()
                assert parking.parked == 16
                assert {(answer.is_error, text_of(answer)) for answer in answers} == {
                    (True, f"Cannot call park: {FULL}.")
                }
                parking.let_go()
            assert parking.most == 16
            assert [text_of(answer) for answer in answers[20:]] == ["left"] * 80
            assert text_of(await client.call_tool("park", {})) == "left"


async def test_without_a_queue_all_slots_are_used_and_the_next_call_is_refused() -> None:
    """As for waits."""
    limit = ConcurrencyLimit(running=2, queued=0)
    async with limit.slot("first"), limit.slot("second"):
        with pytest.raises(TemporaryError, match="too many calls"):
            async with limit.slot("third"):
                pytest.fail("there was no room")
    async with limit.slot("fourth"):
        pass


async def test_a_call_that_is_cancelled_in_the_queue_leaves_its_place() -> None:
    """Or the queue would fill with the dead."""
    limit = ConcurrencyLimit(running=1, queued=1)
    async with limit.slot("first"):
        for doing in ("second", "third"):
            with anyio.move_on_after(0) as waiting:
                async with limit.slot(doing):
                    pytest.fail("there was no room")
            assert waiting.cancelled_caught
    async with anyio.create_task_group() as tasks, limit.slot("fourth"):

        async def wait() -> None:
            async with limit.slot("fifth"):
                pass

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(TemporaryError):
            async with limit.slot("sixth"):
                pytest.fail("the queue was full")
