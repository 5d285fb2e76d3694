"""Connections that are too many, or do not come to the end of a request, are closed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream
from starlette.responses import PlainTextResponse

from sutro_mcp.asgi_serving import listen, serving

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def served(most: int = 9) -> AsyncGenerator[int]:
    """A server's port; a request has a tenth of a second to come whole."""
    listening = listen("127.0.0.1", 0)
    with listening:
        async with serving(
            PlainTextResponse("well"),
            listening,
            grace_seconds=1,
            request_seconds=0.1,
            most_connections=most,
        ):
            yield listening.getsockname()[1]


async def said(stream: SocketStream) -> bytes:
    """All that the server says until it hangs up."""
    heard = b""
    with anyio.fail_after(60):
        try:
            async for part in stream:
                heard += part
        except anyio.BrokenResourceError:
            pass
    return heard


@pytest.mark.parametrize(
    ("sent", "start"),
    [
        (b"", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: a", b"HTTP/1.1 408 "),
        (b"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{", b"HTTP/1.1 200 "),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n", b"HTTP/1.1 200 "),
    ],
    ids=["silence", "head", "body", "second-head"],
)
async def test_a_request_that_does_not_end_is_given_up(sent: bytes, start: bytes) -> None:
    """Wherever it stops; an answer that was begun is not broken into."""
    async with served() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        if sent:
            await stream.send(sent)
        heard = await said(stream)
    assert heard.startswith(start)
    assert heard.count(b"HTTP/1.1") <= 2


async def test_a_connection_too_many_is_closed_and_the_others_are_answered() -> None:
    """A program that opens thousands leaves room for the rest."""
    async with served(most=1) as port, await anyio.connect_tcp("127.0.0.1", port) as first:
        await first.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        async with await anyio.connect_tcp("127.0.0.1", port) as second:
            assert await said(second) == b""
        await first.send(b"\r\n")
        assert (await first.receive()).startswith(b"HTTP/1.1 200 ")
