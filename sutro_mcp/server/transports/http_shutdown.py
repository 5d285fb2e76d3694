"""What becomes of a request over HTTP when its client goes, or the server does.

Under the 2026 protocol the SDK drops the work of a client that hung up. Under the older ones it carries on,
for a client that may come back for the answer. Nothing here keeps answers to come back for, so the work is
dropped as well.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.streamable_http import REQUEST_CANCELLED
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEY = "sutro_mcp.exchange"
_TELLING_SECONDS = 0.3


class Exchange:
    """One HTTP request and what is being done about it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.scope = anyio.CancelScope()
        self._receive = receive
        self._send = send
        self._work: list[anyio.CancelScope] = []
        self._why_dropped = ""
        self._is_started = False

    async def receive(self) -> Message:
        """The next message of the client; that it hung up ends the work."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.drop("the client hung up")
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        self._is_started = True
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
        """End the work; its caller, if there still is one, gets an error that says why."""
        self._why_dropped = why
        for scope in self._work:
            scope.cancel()

    async def end(self) -> None:
        """Finish an answer that will not come, so that the client sees an end and not a broken connection."""
        with anyio.move_on_after(_TELLING_SECONDS):  # a client that does not read is not waited for
            if not self._is_started:
                headers = [(b"content-length", b"0"), (b"connection", b"close")]
                await self._send({"type": "http.response.start", "status": 503, "headers": headers})
            await self._send({"type": "http.response.body"})


class Exchanges:
    """An ASGI app that knows which of its requests are open."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[Exchange] = set()
        self._changed = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(receive, send)
        self._open.add(exchange)
        try:
            with exchange.scope:
                await self._app({**scope, _KEY: exchange}, exchange.receive, exchange.send)
            if exchange.scope.cancelled_caught:
                await exchange.end()
        finally:
            self._open.discard(exchange)
            self._changed.set()

    async def drain(self, seconds: float) -> None:
        """Give open requests so long to finish, then end what is done for them, then themselves."""
        await self._wait(seconds)
        for exchange in self._open:
            exchange.drop("the server is stopping")
        await self._wait(_TELLING_SECONDS)
        for exchange in self._open:
            exchange.scope.cancel()

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            while self._open:
                self._changed = anyio.Event()
                await self._changed.wait()


async def drop_with_the_client(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: what is done for a request over HTTP ends when its client hangs up."""
    exchange = ctx.request.scope.get(_KEY) if ctx.request is not None else None
    return await call_next(ctx) if exchange is None else await exchange.work(lambda: call_next(ctx))
