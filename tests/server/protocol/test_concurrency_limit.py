"""Some calls run, more wait, and the rest are told to come back."""

from collections import Counter

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from sutro_mcp.errors import TemporaryError
from sutro_mcp.server.context import Principal, acting_for
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from tests.faults.odd_server import Parking, odd_server
from tests.support import Era, text_of

pytestmark = pytest.mark.anyio

FULL = "too many calls are running and waiting. Wait for their answers and call again"


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


async def test_a_caller_takes_a_part_of_the_slots_and_of_the_queue() -> None:
    """More of its calls come back, and another caller does not notice; nobody is remembered afterwards."""
    limit = ConcurrencyLimit(running=6)
    leave = anyio.Event()
    seen: Counter[str] = Counter()

    async def call(name: str) -> None:
        with acting_for(Principal(name, name, "bearer", frozenset({"read"}))):
            try:
                async with limit.slot("list jobs"):
                    seen[f"{name} runs"] += 1
                    await leave.wait()
            except TemporaryError:
                seen[f"{name} is refused"] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(22):
            tasks.start_soon(call, "alice")
        await anyio.wait_all_tasks_blocked()
        assert (seen, limit.running, limit.refused) == ({"alice runs": 4, "alice is refused": 2}, 4, 2)
        for _ in range(2):
            tasks.start_soon(call, "bob")
        await anyio.wait_all_tasks_blocked()
        assert (seen["bob runs"], limit.running, len(vars(limit)["_own"])) == (2, 6, 2)
        leave.set()
    assert seen == {"alice runs": 20, "alice is refused": 2, "bob runs": 2}
    assert (limit.running, vars(limit)["_own"]) == (0, {})


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
