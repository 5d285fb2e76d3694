"""Nothing that a handler raises ends the server, and the log tells what was called."""

import logging
import re
import time
from dataclasses import dataclass
from typing import Any, cast

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import INTERNAL_ERROR
from pydantic import ValidationError

from sutro_mcp.server.protocol.middleware import contain_and_scrub, is_failure
from tests.faults.odd_server import NativePanic, Parking, odd_server
from tests.support import Era, text_of

pytestmark = pytest.mark.anyio

LOGGER = "sutro_mcp.server.protocol.middleware"


async def test_whatever_a_tool_raises_is_a_tool_error_and_the_next_call_works(
    era: Era, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A panic in a native library is not even an Exception; the log names the tool and no argument."""
    monkeypatch.setenv("SUTRO_API_KEY", "sk_canary_0123456789")
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    calls: list[tuple[str, dict[str, str]]] = [
        ("panic", {}),
        ("panic_in_a_group", {}),
        ("leak_in_a_crash", {}),
        ("exhaust", {"kind": "stack"}),
        ("exhaust", {"kind": "memory"}),
    ]
    with anyio.fail_after(60):
        async with Client(odd_server(Parking()), mode=era) as client:
            for tool, arguments in calls:
                result = await client.call_tool(tool, arguments)
                assert result.is_error
                assert text_of(result) == (
                    f"{tool} failed because of an error in sutro-mcp itself. Its log (stderr) says more."
                )
                assert f"{tool} failed" in caplog.text
            assert (await client.list_tools()).tools
    shown = [line.getMessage() for line in caplog.records if line.name == LOGGER]
    assert [line.split(" done in ")[0] for line in shown if "tools/call" in line] == [
        f"tools/call {tool}" for tool, _ in calls
    ]
    assert "memory" not in str(shown)


@dataclass
class Called:
    """The parts of a request that the middleware looks at."""

    method: str
    params: dict[str, Any] | None = None


async def around(called: Called, made: dict[str, Any] | BaseException, seconds: float = 0.0) -> Any:
    """The result of the middleware around a handler that returns or raises after so long."""
    until = time.perf_counter() + seconds

    async def handle(_: Any) -> dict[str, Any]:
        while time.perf_counter() < until:
            pass
        if isinstance(made, BaseException):
            raise made
        return made

    return await contain_and_scrub(cast("Any", called), cast("Any", handle))


async def test_a_failure_of_a_handler_is_an_error_without_its_text() -> None:
    """A request to stop passes, and what the SDK finds wrong with parameters is left to it."""
    with pytest.raises(MCPError) as caught:
        await around(Called("ping"), RuntimeError("canary"))
    assert caught.value.error.code == INTERNAL_ERROR
    assert "canary" not in str(caught.value)
    for error in (GeneratorExit(), ValidationError.from_exception_data("x", [])):
        with pytest.raises(type(error)):
            await around(Called("tools/call"), error)


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        (Called("tools/call", {"name": "get_job"}), "tools/call get_job"),
        (Called("tools/list", {"name": "canary"}), "tools/list"),
        (Called("prompts/get", {"name": "canary"}), "prompts/get"),
        (Called("x" * 61), "x" * 48 + "… [61 chars]"),
        (Called("x" * 60), "x" * 60),
    ],
    ids=lambda value: getattr(value, "method", ""),
)
async def test_the_log_names_methods_and_tools(
    called: Called, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the time that they took, in milliseconds."""
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    began = time.perf_counter()
    await around(called, {}, seconds=0.002)
    most = (time.perf_counter() - began) * 1000
    line = re.fullmatch(r"(.+) done in (\d+) ms", caplog.messages[-1])
    assert line is not None
    assert line[1] == shown
    assert 2 <= int(line[2]) <= most + 0.5


async def test_a_request_to_stop_is_no_failure() -> None:
    """Cancellation, Ctrl-C and exit pass, alone and in groups."""
    stops = [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), anyio.get_cancelled_exc_class()()]
    for stop in stops:
        assert not is_failure(stop)
        assert not is_failure(BaseExceptionGroup("", [ValueError(), stop]))
    for failure in (ValueError(), MemoryError(), NativePanic()):
        assert is_failure(failure)
        assert is_failure(BaseExceptionGroup("", [failure]))
