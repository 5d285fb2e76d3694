"""Long work: joined by all who ask for the same, and not lost when a caller gives up."""

from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.abc import TaskGroup

from sutro_mcp.errors import StillWorkingError
from sutro_mcp.results.single_flight import ProgressCallback, SingleFlight

pytestmark = pytest.mark.anyio


@pytest.fixture
async def group() -> AsyncIterator[TaskGroup]:
    """Where work runs."""
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            yield group
            group.cancel_scope.cancel()


class Work:
    """Counts how often it was begun, and ends when it is let."""

    def __init__(self, result: str | Exception = "done") -> None:
        self.begun = self.cancelled = 0
        self.may_end = anyio.Event()
        self._result = result

    async def __call__(self, report: ProgressCallback) -> str:
        self.begun += 1
        report(0.5, "half of it")
        try:
            await self.may_end.wait()
        except BaseException:
            self.cancelled += 1
            raise
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


async def test_all_who_ask_for_the_same_get_what_was_found_once(group: TaskGroup) -> None:
    """And each is told how far it is."""
    flights, work, found, told = SingleFlight(group, 20), Work(), list[str](), list[str]()

    async def call() -> None:
        found.append(await flights.run("a", "work", work, lambda _, words: told.append(words)))

    async with anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        work.may_end.set()

    assert (work.begun, found, told) == (1, ["done"] * 3, ["half of it"] * 3)


async def test_who_gives_up_is_told_and_finds_the_result_later(group: TaskGroup) -> None:
    """Once: then it is forgotten."""
    flights, work = SingleFlight(group, 0), Work()
    with pytest.raises(StillWorkingError, match="it goes on in the background: "):
        await flights.run("a", "work", work)
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(StillWorkingError, match="half of it; about 50% of the work is done, 50% is left"):
        await flights.run("a", "work", work)
    work.may_end.set()
    await anyio.wait_all_tasks_blocked()
    assert await flights.run("a", "work", work) == "done"
    assert work.begun == 1
    with pytest.raises(StillWorkingError):
        await flights.run("a", "work", Work())


async def test_a_failure_is_everybodys(group: TaskGroup) -> None:
    """The next call tries again."""
    flights, work = SingleFlight(group, 20), Work(ValueError("broken"))
    work.may_end.set()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await flights.run("a", "work", work)
    assert work.begun == 2


async def test_work_ends_with_the_last_caller_that_is_cancelled(group: TaskGroup) -> None:
    """Not with the first of two."""
    flights, work = SingleFlight(group, 20), Work()
    async with anyio.create_task_group() as last:
        async with anyio.create_task_group() as first:
            first.start_soon(flights.run, "a", "work", work)
            last.start_soon(flights.run, "a", "work", work)
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert work.cancelled == 0
        last.cancel_scope.cancel()
    await anyio.wait_all_tasks_blocked()
    assert work.cancelled == 1


async def test_what_nobody_collects_is_forgotten_at_last(group: TaskGroup) -> None:
    """The oldest first; sixteen are kept."""
    flights, works = SingleFlight(group, 0), [Work(str(number)) for number in range(18)]
    for number, work in enumerate(works):
        with pytest.raises(StillWorkingError):
            await flights.run(number, "work", work)
        work.may_end.set()
        await anyio.wait_all_tasks_blocked()
    assert await flights.run(17, "work", works[17]) == "17"
    with pytest.raises(StillWorkingError):
        await flights.run(0, "work", Work())


async def test_work_that_was_cancelled_is_begun_anew_by_who_asks_meanwhile(group: TaskGroup) -> None:
    """There is nothing to be had of it."""
    flights, work, again = SingleFlight(group, 20), Work(), Work("again")
    again.may_end.set()
    async with anyio.create_task_group() as calls:
        calls.start_soon(flights.run, "a", "work", work)
        await anyio.wait_all_tasks_blocked()
        calls.cancel_scope.cancel()
    assert await flights.run("a", "work", again) == "again"
