"""Many callers and a deployment in trouble, by a clock that keeps nobody waiting: requests are counted."""

from collections.abc import Generator

import anyio
import httpx
import pytest
import stamina

from sutro_mcp.api import ApiClient
from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.errors import AuthenticationError, ServiceUnavailableError, SutroError

from .clock import QUICK, pass_time
from .wire import Script, client, emulated, reply

pytestmark = [pytest.mark.anyio, QUICK]

CALLERS = 100


@pytest.fixture(autouse=True)
def real_waits(no_waiting: None) -> Generator[None]:
    """Attempts follow each other after their waits, by that clock."""
    with stamina.set_testing(False):
        yield


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


def troubled(emulator: Emulator, status: int, times: int = 10**6, **headers: str) -> None:
    """The next so many requests are answered as a gateway does."""
    emulator.faults.add(Fault(status, b"<html>", "text/html", headers), times=times)


async def call(api: ApiClient, errors: list[SutroError]) -> None:
    try:
        await api.list_jobs()
    except SutroError as error:
        errors.append(error)


async def all_at_once(api: ApiClient, callers: int = CALLERS) -> list[SutroError]:
    """How so many calls end that begin together."""
    errors: list[SutroError] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(call, api, errors)
    return errors


@pytest.mark.parametrize("status", [503, 524])
async def test_a_storm_of_callers_does_not_become_a_storm_of_requests(
    emulator: Emulator, status: int
) -> None:
    """Those under way fail, and all others are told when to come back."""
    troubled(emulator, status)
    async with emulated(emulator) as api:
        errors = await all_at_once(api)
        assert len(errors) == CALLERS
        assert len(emulator.requests) <= 20
    reason = {
        503: "the deployment or a gateway in front of it failed (503); it sent a web page",
        524: "a gateway gave up waiting for the deployment (524); it sent a web page",
    }[status]
    assert str(errors[-1]) == (
        f"Cannot list jobs: {reason}; that was failure 10 in a row, so nothing was sent now. "
        "Wait 5 seconds and call again."
    )


@pytest.mark.parametrize("status", [503, 524])
async def test_callers_that_come_one_by_one_are_held_back_too(emulator: Emulator, status: int) -> None:
    """A hundred in ten seconds: the one probe every five seconds finds out whether it is over."""
    troubled(emulator, status)
    errors: list[SutroError] = []
    async with emulated(emulator) as api:
        for _ in range(CALLERS):
            await call(api, errors)
            await pass_time(0.1)
    assert len(errors) == CALLERS
    assert len(emulator.requests) <= 12


async def test_callers_that_wait_as_long_as_they_are_told_are_answered(emulator: Emulator) -> None:
    """One of them finds out that it is over, and the circuit closes for all."""
    troubled(emulator, 503, times=10)
    async with emulated(emulator) as api:
        errors = await all_at_once(api, 20)
        waits = [error.retry_after for error in errors if isinstance(error, ServiceUnavailableError)]
        await pass_time(max(wait or 0.0 for wait in waits))
        assert await all_at_once(api) == []


async def test_a_pause_that_the_deployment_asks_for_is_kept(emulator: Emulator) -> None:
    """For all callers."""
    troubled(emulator, 503, times=10, **{"Retry-After": "20"})
    async with emulated(emulator) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(all_at_once, api, 10)
        await pass_time(19)
        assert [len(await all_at_once(api, 20)), len(emulator.requests)] == [20, 10]
        await pass_time(2)
        assert await all_at_once(api, 20) == []


async def test_an_open_circuit_is_probed_by_one_caller_at_a_time(emulator: Emulator) -> None:
    """The others are not kept waiting for how it ends."""
    troubled(emulator, 503)
    async with emulated(emulator) as api:
        await all_at_once(api, 20)
        for _ in range(3):
            seen = len(emulator.requests)
            await pass_time(5)
            await all_at_once(api)
            assert len(emulator.requests) == seen + 1


async def test_an_open_circuit_leaves_no_doubt_about_cancelling(emulator: Emulator) -> None:
    """Nothing was sent, so the outcome is not unknown."""
    troubled(emulator, 503)
    async with emulated(emulator) as api:
        await all_at_once(api, 20)
        with pytest.raises(ServiceUnavailableError, match="so nothing was sent now") as caught:
            await api.cancel_job("job-1")
    assert "UNKNOWN" not in str(caught.value)


async def test_when_failures_are_common_a_tenth_of_the_calls_is_repeated() -> None:
    """A deployment of which every second reply is an error works, and is not asked twice as often."""

    def second(_: httpx.Request) -> httpx.Response:
        return reply(503 if len(transport.seen) % 2 else 200, {"jobs": []})

    transport = Script(second)
    async with client(transport) as api:
        for _ in range(3):
            transport.seen.clear()
            await all_at_once(api)
    assert CALLERS < len(transport.seen) <= CALLERS * 1.1


async def test_errors_that_are_answers_do_not_open_the_circuit(emulator: Emulator) -> None:
    """A wrong key is refused as often as it is tried."""
    troubled(emulator, 401)
    async with emulated(emulator) as api:
        errors = await all_at_once(api, 20)
    assert {type(error) for error in errors} == {AuthenticationError}
    assert len(emulator.requests) == 20
