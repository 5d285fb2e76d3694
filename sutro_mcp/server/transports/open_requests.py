"""Requests over HTTP whose client hangs up, or whose server stops.

A server that will stop is not ready for more, but answers what comes: a balancer notices only after a while.
Each answer then asks its client to connect anew, which leads it to another replica.

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
_CLOSE = (b"connection", b"close")


class HttpRequest:
    """One request, from its headers to the end of its answer, and the work that is done for it."""

    def __init__(self, receive: Receive, send: Send, *, is_last: bool = False) -> None:
        """`is_last`: the connection ends with the answer."""
        self.lifetime = anyio.CancelScope()
        self._is_last = is_last
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
        if self._is_last and message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), _CLOSE]}
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
                headers = [(b"content-length", b"0"), _CLOSE]
                await self._send({"type": "http.response.start", "status": 503, "headers": headers})
            await self._send({"type": "http.response.body"})


class HttpRequests:
    """An ASGI app that knows which of its requests are open."""

    def __init__(self, app: ASGIApp, is_well: Callable[[], Awaitable[bool]]) -> None:
        """`is_well` says whether `app` answers."""
        self.is_draining = False
        """Whether the server will stop soon."""
        self._app = app
        self._is_well = is_well
        self._open: set[HttpRequest] = set()
        self._changed = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(receive, send, is_last=self.is_draining)
        self._open.add(request)
        try:
            with request.lifetime:
                await self._app({**scope, HTTP_REQUEST: request}, request.receive, request.send)
            if request.lifetime.cancelled_caught:
                await request.end()
        finally:
            self._open.discard(request)
            self._changed.set()

    async def is_ready(self) -> bool:
        """Whether the server wants more requests, and would answer them."""
        return not self.is_draining and await self._is_well() and not self.is_draining

    async def finish(self, seconds: float) -> None:
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
