"""Messages that leave the server can be encoded, hold no secrets, and are short where they are errors."""

from typing import Any

import anyio
import pytest
from mcp import Client, MCPError, types

from sutro_mcp.redaction import MASK
from sutro_mcp.server.protocol.scrubbing import scrub, scrub_error, scrub_result, scrub_unasked
from tests.faults.odd_server import Parking, odd_server
from tests.support import Era, text_of

pytestmark = pytest.mark.anyio

KEY = "sk_canary_0123456789"
SIGNED = f"https://bucket.example.com/x?X-Amz-Signature={MASK}"
LONG = "L" * 200_000


async def test_secrets_and_half_surrogate_pairs_do_not_leave(
    era: Era, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In answers, errors and progress, although a tool does its best to show them; the log says why."""
    monkeypatch.setenv("SUTRO_API_KEY", KEY)
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    with anyio.fail_after(60):
        async with Client(odd_server(Parking()), mode=era) as client:
            leak = await client.call_tool("leak", {}, progress_callback=hear)
            half = await client.call_tool("half_a_pair", {})
            error = await client.call_tool("half_a_pair_in_an_error", {})
            with pytest.raises(MCPError) as crash:
                await client.get_prompt("crash")
    assert text_of(leak) == f"text: {MASK} {SIGNED}"
    assert leak.structured_content == {
        "value": f"value: {MASK} {SIGNED}",
        "header": f"Authorization: Key {MASK}",
    }
    # What went through `notifier`; the other message is scrubbed by the writer of stdio only.
    assert heard[1:] == [f"progress: {MASK} https://bucket.example.com/x?{MASK} \ufffd"]
    assert text_of(half) == text_of(error) == "<\ufffd>"
    assert half.structured_content == {"k": ["v\ufffd", {"deep": "\ufffd"}]}
    assert crash.value.error == types.ErrorData(
        code=types.INTERNAL_ERROR,
        message="crash failed because of an error in sutro-mcp itself. Its log (stderr) says more.",
    )
    assert "crash failed" in caplog.text


def test_a_tool_error_that_is_too_long_says_how_long_it_was() -> None:
    """And a result is never cut: tools bound their own."""
    text = {"type": "text", "text": LONG}
    cut = scrub_result({"content": [text], "isError": True})["content"][0]["text"]
    assert (len(cut), cut[-17:]) == (1_500, "… [200,000 chars]")
    assert scrub_result({"content": [text], "isError": False})["content"] == [text]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"uri": "L" * 200}, {"uri": "L" * 200}),
        ({"uri": "L" * 201}, {"uri": "L" * 187 + "… [201 chars]"}),
        (["L" * 146, "L" * 146], ["L" * 146, "L" * 146]),
        (["L" * 146, "L" * 147], None),
    ],
    ids=["200 characters", "201 characters", "300 in all", "301 in all"],
)
def test_the_data_of_an_error_are_short_or_left_out(data: Any, expected: Any) -> None:
    """Each text by itself, and all together as JSON."""
    assert scrub_error(types.ErrorData(code=1, message="m", data=data)).data == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            types.JSONRPCNotification(jsonrpc="2.0", method="m", params={"a\ud800": ["\udfff"]}),
            types.JSONRPCNotification(jsonrpc="2.0", method="m", params={"a\ufffd": ["\ufffd"]}),
        ),
        (
            types.JSONRPCRequest(
                jsonrpc="2.0", id=1, method="m", params={"u": f"{SIGNED[:-10]}0123456789abc"}
            ),
            types.JSONRPCRequest(jsonrpc="2.0", id=1, method="m", params={"u": SIGNED}),
        ),
        (
            types.JSONRPCError(
                jsonrpc="2.0", id=1, error=types.ErrorData(code=1, message="\ud800", data=["L" * 301] * 2)
            ),
            types.JSONRPCError(jsonrpc="2.0", id=1, error=types.ErrorData(code=1, message="\ufffd")),
        ),
        # The middleware has done it.
        (
            types.JSONRPCResponse(jsonrpc="2.0", id=1, result={"a": "\ud800"}),
            types.JSONRPCResponse(jsonrpc="2.0", id=1, result={"a": "\ud800"}),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_writer_of_stdio_scrubs_what_the_middleware_did_not_see(
    message: types.JSONRPCMessage, expected: types.JSONRPCMessage
) -> None:
    """Each message once."""
    assert scrub_unasked(message) == expected


def test_other_values_pass_unchanged() -> None:
    """Numbers, truth values and nothing."""
    value = {"a": [1, 2.5, True, None, "text", ["x"]], "b": {"c": "é😀"}}
    assert scrub(value) == value
