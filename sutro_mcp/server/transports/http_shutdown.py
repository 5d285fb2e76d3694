"""Requests over HTTP whose client hangs up, or whose server stops.

Under the 2026 protocol the SDK drops the work of a client that hung up. Under the older ones it carries on,
for a client that may come back for the answer. Nothing here keeps answers to come back for, so the work is
dropped as well.
"""

from collections.abc import Awaitable, Callable

import anyio
from mcp import MCPError
from mcp.server.context import HandlerResult
from mcp.server.streamable_http import REQUEST_CANCELLED
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sutro_mcp.server.protocol.middleware import HTTP_REQUEST

_TELLING_SECONDS = 0.3


class HttpRequest:
    """One request, from its headers to the end of its answer, and the work that is done for it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.lifetime = anyio.CancelScope()
        self._receive = receive
        self._send = send
        self._work: list[anyio.CancelScope] = []
        self._why_dropped = ""
        self._is_answered = False

    async def receive(self) -> Message:
        """The next message of the client; that it hung up ends the work."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.drop("the client hung up")
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        self._is_answered = True
        await self._send(message)

    async def work(self, call: Callable[[], Awaitable[HandlerResult]]) -> HandlerResult:
        """The result of `call`. Raises MCPError when it was dropped."""
        with anyio.CancelScope() as scope:
            self._work.append(scope)
            if self._why_dropped:
                scope.cancel()
            return await call()
        raise MCPError(code=REQUEST_CANCELLED, message=f"Request cancelled: {self._why_dropped}.")

    def drop(self, why: str) -> None:
        """End the work; a caller that is still there gets an error that says why."""
        self._why_dropped = why
        for scope in self._work:
            scope.cancel()

    async def end_early(self, why: str) -> None:
        """End the work, and then the answer, should there be more to come."""
        self.drop(why)
        await anyio.sleep(_TELLING_SECONDS)
        self.lifetime.cancel()

    async def end(self) -> None:
        """Finish an answer that will not come: the client sees an end, not a broken connection."""
        with anyio.move_on_after(_TELLING_SECONDS):  # a client that does not read is not waited for
            if not self._is_answered:
                headers = [(b"content-length", b"0"), (b"connection", b"close")]
                await self._send({"type": "http.response.start", "status": 503, "headers": headers})
            await self._send({"type": "http.response.body"})


class HttpRequests:
    """An ASGI app that knows which of its requests are open."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[HttpRequest] = set()
        self._changed = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(receive, send)
        self._open.add(request)
        try:
            with request.lifetime:
                await self._app({**scope, HTTP_REQUEST: request}, request.receive, request.send)
            if request.lifetime.cancelled_caught:
                await request.end()
        finally:
            self._open.discard(request)
            self._changed.set()

    async def drain(self, seconds: float) -> None:
        """Give open requests so long to finish, then end what is done for them, then themselves."""
        await self._wait(seconds)
        for request in self._open:
            request.drop("the server is stopping")
        await self._wait(_TELLING_SECONDS)
        for request in self._open:
            request.lifetime.cancel()

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            while self._open:
                self._changed = anyio.Event()
                await self._changed.wait()
