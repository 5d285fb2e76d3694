"""What leaves the server can be encoded and holds no secret, and nothing a handler raises ends it."""

import logging
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import INTERNAL_ERROR, CallToolResult, ResourceLink, TextContent
from pydantic import ValidationError

from sutro_mcp.errors import TemporaryError
from sutro_mcp.redaction import MASK
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from sutro_mcp.server.protocol.middleware import is_failure, outbound, scrub, scrub_result
from tests.faults.odd_server import NativePanic, Parking, odd_server
from tests.support import Era, text_of

pytestmark = pytest.mark.anyio

KEY = "sk_canary_0123456789"


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the server to use and the tools to give away."""
    monkeypatch.setenv("SUTRO_API_KEY", KEY)


@pytest.fixture
def parking() -> Parking:
    """Calls that stay."""
    return Parking()


@pytest.fixture
async def odd(era: Era, parking: Parking) -> AsyncIterator[Client]:
    """A client of a server with misbehaving tools."""
    async with Client(odd_server(parking), mode=era) as client:
        with anyio.fail_after(20):
            yield client


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("panic", {}),
        ("panic_in_a_group", {}),
        ("exhaust", {"kind": "memory"}),
        ("exhaust", {"kind": "stack"}),
        ("leak_in_a_crash", {}),
    ],
)
async def test_whatever_a_tool_raises_is_a_tool_error_and_the_next_call_works(
    odd: Client, tool: str, arguments: dict[str, str]
) -> None:
    """A panic in a native library is not even an Exception."""
    result = await odd.call_tool(tool, arguments)
    assert result.is_error
    assert text_of(result) == (
        f"{tool} failed because of an error in sutro-mcp itself. Its log (stderr) says more."
    )
    assert (await odd.list_tools()).tools


async def test_half_a_surrogate_pair_in_an_answer_is_replaced(odd: Client) -> None:
    """In texts, values and keys."""
    result = await odd.call_tool("half_a_pair", {})
    assert text_of(result) == "<\ufffd>"
    assert result.structured_content == {"k\ufffd": ["v\ufffd", {"deep": "\ufffd"}]}
    assert text_of(await odd.call_tool("half_a_pair_in_an_error", {})) == "<\ufffd>"


async def test_secrets_are_masked_in_answers_and_progress(odd: Client) -> None:
    """Although the tool does its best to show them."""
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    result = await odd.call_tool("leak", {}, progress_callback=hear)
    signed = f"https://bucket.example.com/x?X-Amz-Signature={MASK}"
    assert text_of(result) == f"text: {MASK} {signed}"
    assert result.structured_content == {
        "value": f"value: {MASK} {signed}",
        "header": f"Authorization: Key {MASK}",
    }
    # The second one went through `reporter`; the first is scrubbed by the stdio runner only.
    assert heard[1:] == [f"progress: {MASK} https://bucket.example.com/x?{MASK} \ufffd"]


async def test_a_crash_outside_a_tool_is_an_error_without_its_text(odd: Client) -> None:
    """The SDK would show it to older clients."""
    with pytest.raises(MCPError) as caught:
        await odd.get_prompt("crash")
    assert caught.value.message.startswith("crash failed because of an error in sutro-mcp itself")
    assert KEY not in str(caught.value.error)
    assert (await odd.list_tools()).tools


async def test_the_log_tells_how_long_a_call_took_and_none_of_its_arguments(
    odd: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Arguments are customers' data."""
    caplog.set_level(logging.DEBUG, logger="sutro_mcp.server.protocol.middleware")
    await odd.call_tool("exhaust", {"kind": "memory"})
    lines = [
        line.getMessage() for line in caplog.records if line.name == "sutro_mcp.server.protocol.middleware"
    ]
    (line,) = [line for line in lines if "tools/call" in line]
    assert line.startswith("tools/call exhaust done in ")
    assert "memory" not in line


async def test_sixteen_calls_run_sixty_four_wait_and_the_rest_come_back(
    odd: Client, parking: Parking
) -> None:
    """And a call that was told so can be made again."""
    answers: list[CallToolResult] = []

    async def call() -> None:
        answers.append(await odd.call_tool("park", {}))

    async with anyio.create_task_group() as calls:
        for _ in range(100):
            calls.start_soon(call)
        while len(answers) < 20:  # noqa: ASYNC110 - the client tells nobody
            await anyio.sleep(0.01)
        assert parking.parked == 16
        assert {text_of(answer) for answer in answers} == {
            "Cannot call park: too many calls are running and waiting. Wait for their answers and call again."
        }
        assert all(answer.is_error for answer in answers)
        parking.let_go()
    assert parking.most == 16
    assert [text_of(answer) for answer in answers[20:]] == ["left"] * 80
    assert text_of(await odd.call_tool("park", {})) == "left"


async def test_where_nobody_may_wait_all_places_are_used_and_the_next_is_refused() -> None:
    """As for those who wait for jobs."""
    gate = ConcurrencyLimit(running=2, queued=0)
    async with gate.turn("first"), gate.turn("second"):
        with pytest.raises(TemporaryError, match="too many calls"):
            async with gate.turn("third"):
                pytest.fail("there was no room")
    async with gate.turn("fourth"):
        pass


async def test_a_call_that_is_given_up_while_it_waits_leaves_its_place() -> None:
    """Or the queue would fill with the dead."""
    gate = ConcurrencyLimit(running=1, queued=1)
    async with gate.turn("first"):
        with anyio.move_on_after(0):
            async with gate.turn("second"):
                pytest.fail("there was no room")
        with anyio.move_on_after(0) as waiting:
            async with gate.turn("third"):
                pytest.fail("there was no room")
        assert waiting.cancelled_caught
    async with gate.turn("fourth"):
        pass
    async with anyio.create_task_group() as tasks, gate.turn("fifth"):

        async def wait() -> None:
            async with gate.turn("sixth"):
                pass

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(TemporaryError):
            async with gate.turn("seventh"):
                pytest.fail("the queue was full")


@dataclass
class Called:
    """What the middleware looks at of a request."""

    method: str
    params: dict[str, Any] | None = None


async def around(called: Called, made: CallToolResult | BaseException, seconds: float = 0.0) -> Any:
    """What the middleware makes of what a handler returns or raises after so long."""
    until = time.perf_counter() + seconds

    async def handle(_: Any) -> CallToolResult:
        while time.perf_counter() < until:
            pass
        if isinstance(made, BaseException):
            raise made
        return made

    return await outbound(cast("Any", called), cast("Any", handle))


async def test_an_answer_is_written_as_the_protocol_has_it() -> None:
    """Names of the wire, and nothing that is not there."""
    result = CallToolResult(content=[], structured_content={"a": None}, is_error=True)
    assert await around(Called("tools/call"), result) == {
        "content": [],
        "structuredContent": {"a": None},
        "isError": True,
        "resultType": "complete",
    }


async def test_what_the_sdk_finds_wrong_with_a_request_is_left_to_it() -> None:
    """It answers that the parameters are invalid."""
    with pytest.raises(ValidationError):
        await around(Called("tools/call"), ValidationError.from_exception_data("x", []))


async def test_a_failure_of_a_handler_is_an_error_without_its_text() -> None:
    """And a request to stop is passed on."""
    with pytest.raises(MCPError) as caught:
        await around(Called("ping"), RuntimeError("canary"))
    assert caught.value.error.code == INTERNAL_ERROR
    assert "canary" not in str(caught.value)
    with pytest.raises(GeneratorExit):
        await around(Called("ping"), GeneratorExit())


def test_a_result_is_scrubbed_in_both_channels() -> None:
    """Half a surrogate pair cannot be written down; a link has no text, and stays."""
    link = ResourceLink(uri="sutro://jobs", name="jobs")
    result = CallToolResult(
        content=[TextContent(text="\ud83d"), link], structured_content={"\udc00": ["\udfff"]}
    )
    assert scrub_result(result) == CallToolResult(
        content=[TextContent(text="\ufffd"), link], structured_content={"\ufffd": ["\ufffd"]}
    )


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        (Called("tools/call", {"name": "get_job"}), "tools/call get_job"),
        (Called("tools/list", {"name": "canary"}), "tools/list"),
        (Called("prompts/get", {"name": "canary"}), "prompts/get"),
        (Called("ping"), "ping"),
        (Called("x" * 61), "x" * 48 + "… [61 chars]"),
        (Called("x" * 60), "x" * 60),
    ],
    ids=lambda value: getattr(value, "method", ""),
)
async def test_the_log_names_methods_and_tools(
    called: Called, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the time that they took, in milliseconds."""
    caplog.set_level(logging.DEBUG, logger="sutro_mcp.server.protocol.middleware")
    began = time.perf_counter()
    await around(called, CallToolResult(content=[]), seconds=0.002)
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


async def test_other_values_pass_unchanged() -> None:
    """Numbers, truth values and nothing."""
    value = {"a": [1, 2.5, True, None, "text", ["x"]], "b": {"c": "é😀"}}
    assert scrub(value) == value
