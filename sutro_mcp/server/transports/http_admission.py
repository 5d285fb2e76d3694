"""What a request over HTTP has to be before the SDK sees it, and how long the SDK's refusal of it may be.

The SDK (mcp 2.3.0) logs a traceback for a body that ends early, waits for ever for one that does not end,
answers only the second of two requests with one id, refuses new sessions for half an hour while old ones lie
idle, and repeats what it refuses.
"""

import logging
import math
from typing import Any, cast

import anyio
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.types import INVALID_REQUEST, ErrorData, JSONRPCError
from pydantic_core import from_json
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sutro_mcp.server.protocol.scrubbing import ERROR_CHARS, scrub_error

logger = logging.getLogger(__name__)

# No honest call comes near: the longest argument is a query.
_BODY_BYTES = 1024 * 1024
_BODY_SECONDS = 20.0
SESSIONS = 500


class Admission:
    """An ASGI app that lets whole and lawful requests through to `app`, which serves `sessions`."""

    def __init__(
        self, app: ASGIApp, sessions: StreamableHTTPSessionManager, security: TransportSecuritySettings
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._guard = TransportSecurityMiddleware(security)
        self._running: set[tuple[str, str]] = set()
        self._opening = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, send = Request(scope), _shortening(send)
        if refusal := await self._guard.validate_request(request):
            await refusal(scope, receive, send)
        elif request.method != "POST":
            await self._app(scope, receive, send)
        elif isinstance(body := await _body(receive), Response):
            await body(scope, receive, send)
        else:
            await self._post(request, body, receive, send)

    async def _post(self, request: Request, body: bytes, receive: Receive, send: Send) -> None:
        unread = [body]

        async def replay() -> Message:
            return {"type": "http.request", "body": unread.pop()} if unread else await receive()

        session = request.headers.get(MCP_SESSION_ID_HEADER, "")
        method, request_id = _method_and_id(body)
        if not session and method == "initialize":
            self._opening += 1
            try:
                self._make_room()
                await self._app(request.scope, replay, send)
            finally:
                self._opening -= 1
        elif session and request_id is not None:
            # Like the SDK, which files 1 and "1" in one place.
            key = (session, str(request_id))
            if key in self._running:
                why = "a request with this id is still running in this session"
                await _refusal(400, why, request_id)(request.scope, replay, send)
                return
            self._running.add(key)
            try:
                await self._app(request.scope, replay, send)
            finally:
                self._running.discard(key)
        else:
            await self._app(request.scope, replay, send)

    def _make_room(self) -> None:
        """Let the sessions that are idle for longest end as if their time were up; never one in use."""
        sessions = self._sessions._server_instances  # pyright: ignore[reportPrivateUsage] - the SDK has no public way
        while len(sessions) + self._opening > SESSIONS:
            # The SDK gives an idle session a deadline, and takes it back for each request.
            idle = {
                name: scope.deadline
                for name, transport in sessions.items()
                if (scope := transport.idle_scope) is not None and scope.deadline < math.inf
            }
            if not idle:
                return
            scope = sessions.pop(min(idle, key=idle.__getitem__)).idle_scope
            if scope is not None:
                scope.cancel()


async def _body(receive: Receive) -> bytes | Response:
    """The whole body, or the refusal of one that is cut short, too long or too slow."""
    body = bytearray()
    with anyio.move_on_after(_BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                logger.info("a client hung up before its request was complete")
                return _refusal(400, "the body ended early")
            body += message.get("body", b"")
            if len(body) > _BODY_BYTES:
                return _refusal(413, f"the body is longer than {_BODY_BYTES:,} bytes")
            if not message.get("more_body", False):
                return bytes(body)
    logger.warning("a request was not complete after %.0f seconds", _BODY_SECONDS)
    return _refusal(408, f"the body was not complete after {_BODY_SECONDS:.0f} seconds")


def _shortening(send: Send) -> Send:
    """`send`, with JSON-RPC errors as short as the middleware makes its own."""
    held: Message | None = None

    async def forward(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and message["status"] >= 400:
            held = message
            return
        if held is not None:
            start, held = held, None
            body: bytes = message.get("body", b"")
            if len(body) > ERROR_CHARS:
                error = JSONRPCError.model_validate_json(body)
                message = {**message, "body": _json(error.id, scrub_error(error.error))}
                MutableHeaders(raw=start["headers"])["content-length"] = str(len(message["body"]))
            await send(start)
        await send(message)

    return forward


def _method_and_id(body: bytes) -> tuple[object, object]:
    """Of a request, as far as it can be read; what is wrong with it is for the SDK to say."""
    try:
        message: object = from_json(body)
    except ValueError:
        return None, None
    if not isinstance(message, dict) or "method" not in message:
        return None, None
    members = cast("dict[str, Any]", message)
    return members["method"], members.get("id")


def _refusal(status: int, why: str, request_id: object = None) -> Response:
    known = request_id if isinstance(request_id, int | str) else None
    return Response(
        _json(known, ErrorData(code=INVALID_REQUEST, message=f"Invalid request: {why}.")),
        status,
        # Where a body is unread, no other request can follow.
        headers={} if status == 400 else {"connection": "close"},
        media_type="application/json",
    )


def _json(request_id: int | str | None, error: ErrorData) -> bytes:
    message = JSONRPCError(jsonrpc="2.0", id=request_id, error=error)
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode()
