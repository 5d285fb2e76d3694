"""Conditions that a request over HTTP meets before the SDK sees it.

The SDK (mcp 2.3.0) logs a traceback for a body that ends early, waits for ever for one that does not end,
repeats what it refuses at any length, answers only the second of two requests with one id, and refuses new
sessions for half an hour while old ones lie idle, be they all of one caller.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext, authorization_context
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .http_batches import answer_batch, batch_of
from .jsonrpc_parsing import NO_MESSAGE, Refusal, read_message, refuse

logger = logging.getLogger(__name__)

RefusalOf = Callable[[Scope, JSONRPCRequest | JSONRPCResponse | JSONRPCError], Awaitable[Response | None]]

SESSIONS = 500
_OWN_SESSIONS = 16
_BODY_BYTES = 1024 * 1024
_BODY_SECONDS = 20.0
_VERSION_CHARS = 100
_ONLY_STREAMABLE = (
    "This server has no HTTP+SSE transport. Use Streamable HTTP: POST to /mcp"
    ' (in the host\'s settings the type "http" or "streamable-http", and a URL that ends in /mcp)'
)


class Admission:
    """An ASGI app that lets whole and lawful requests through to `app`, which serves `sessions`."""

    def __init__(
        self,
        app: ASGIApp,
        sessions: StreamableHTTPSessionManager,
        security: TransportSecuritySettings,
    ) -> None:
        self.refusal_of: RefusalOf | None = None
        """Decides what a caller may ask for; None lets all callers do all."""
        self._app = app
        self._sessions = sessions
        self._guard = TransportSecurityMiddleware(security)
        # By session and id, which the SDK compares as text.
        self._running: set[tuple[str, str]] = set()
        # The owners of sessions that are being opened.
        self._opening: list[AuthorizationContext | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        response = await self._guard.validate_request(request)
        if response is None and len(request.headers.get(MCP_PROTOCOL_VERSION_HEADER, "")) > _VERSION_CHARS:
            response = _refusal(400, refuse(None, "Invalid request: there is no such protocol version"))
        if response is None and request.method == "GET" and _is_sse_alone(request):
            response = _refusal(405, refuse(None, _ONLY_STREAMABLE), {"allow": "POST"})
        elif response is None and request.method == "POST" and scope["path"] == "/mcp":
            body = await _body(receive)
            response = body if isinstance(body, Response) else await self._admit(request, body, receive, send)
        elif response is None:
            await self._app(scope, receive, send)
        if response is not None:
            await response(scope, receive, send)

    async def _admit(self, request: Request, body: bytes, receive: Receive, send: Send) -> Response | None:
        """Have a message or a batch answered; the refusal of what cannot be."""
        batch = None
        # There is no batch before there is a version.
        if self._session(request) is not None:
            batch = batch_of(request, body)
        if isinstance(batch, Refusal):
            return _refusal(400, batch)
        if batch is None:
            return await self._post(request, body, receive, send)

        async def post(message: bytes, send: Send) -> Response | None:
            return await self._post(request, message, receive, send)

        await answer_batch(batch, post, send)
        return None

    async def _post(self, request: Request, body: bytes, receive: Receive, send: Send) -> Response | None:
        """Have a message answered by the SDK, or the refusal of one that it would not answer well."""
        message = read_message(body)
        if message is None or isinstance(message, Refusal):
            return _refusal(400, message or refuse(None, NO_MESSAGE))
        if self.refusal_of is not None and not isinstance(message, JSONRPCNotification):
            refused = await self.refusal_of(request.scope, message)
            if refused is not None:
                return refused
        unread = [body]

        async def replay() -> Message:
            return {"type": "http.request", "body": unread.pop()} if unread else await receive()

        session = self._session(request)
        if not isinstance(message, JSONRPCRequest):
            await self._app(request.scope, replay, send)
        elif session is not None:
            key = (session, str(message.id))
            if key in self._running:
                why = "Invalid request: a request with this id is still running in this session"
                return _refusal(400, refuse(message.id, why))
            self._running.add(key)
            try:
                await self._app(request.scope, replay, send)
            finally:
                self._running.discard(key)
        elif (
            message.method != "initialize"
            or self._sessions.stateless
            or MCP_SESSION_ID_HEADER in request.headers
        ):
            await self._app(request.scope, replay, send)
        else:
            owner = _owner(request.scope)
            self._opening.append(owner)
            try:
                if not self._make_room(owner):
                    why = (
                        f"You have {_OWN_SESSIONS} sessions with open calls. Open another when one has ended"
                    )
                    return _refusal(429, refuse(message.id, why), {"retry-after": "5"})
                await self._app(request.scope, replay, send)
            finally:
                self._opening.remove(owner)
        return None

    def _session(self, request: Request) -> str | None:
        """The session that a request names, if it is the caller's own; another's is as good as none."""
        session = request.headers.get(MCP_SESSION_ID_HEADER)
        if session not in self._sessions._server_instances:  # pyright: ignore[reportPrivateUsage]
            return None
        owner = self._sessions._session_owners.get(session)  # pyright: ignore[reportPrivateUsage]
        return session if owner == _owner(request.scope) else None

    def _make_room(self, owner: AuthorizationContext | None) -> bool:
        """Let the sessions that are idle for longest end as if their time were up; never one with a call.

        Those of `owner`, who wants another, end first. False where its own would still be too many.
        """
        sessions = self._sessions._server_instances  # pyright: ignore[reportPrivateUsage] - the SDK has no public way
        owners = self._sessions._session_owners  # pyright: ignore[reportPrivateUsage] - likewise
        calling = {session for session, _ in self._running}
        own = {name for name in sessions if owners.get(name) == owner}
        # The SDK gives an idle session a deadline, and takes it back for each request. So those that hold
        # only a stream open come last, the oldest first.
        idle = sorted(
            (
                (name not in own, scope.deadline, name, scope)
                for name, transport in sessions.items()
                if name not in calling and (scope := transport.idle_scope) is not None
            ),
            key=lambda session: session[:2],
        )
        too_many = len(sessions) + len(self._opening) - SESSIONS
        if owner is not None:
            own_too_many = len(own) + self._opening.count(owner) - _OWN_SESSIONS
            if own_too_many > len(own - calling):
                return False
            own_idle = sum(not is_others for is_others, *_ in idle)
            too_many = max(too_many, min(own_too_many, own_idle))
        for _, _, name, scope in idle[: max(too_many, 0)]:
            del sessions[name]
            scope.cancel()
        return True


def _owner(scope: Scope) -> AuthorizationContext | None:
    """The caller as the SDK tells whose a session is; None where callers are not told apart."""
    return authorization_context(scope["user"]) if "user" in scope else None


async def _body(receive: Receive) -> bytes | Response:
    """The whole body, or the refusal of one that is cut short, too long or too slow."""
    body = bytearray()
    with anyio.move_on_after(_BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                logger.info("a client hung up before its request was complete")
                return _refusal(400, refuse(None, "Invalid request: the body ended early"))
            body += message.get("body", b"")
            if len(body) > _BODY_BYTES:
                why = f"Invalid request: the body is longer than {_BODY_BYTES:,} bytes"
                return _refusal(413, refuse(None, why))
            if not message.get("more_body", False):
                return bytes(body)
    logger.warning("a request was not complete after %.0f seconds", _BODY_SECONDS)
    return _refusal(408, refuse(None, "Invalid request: the body was not complete in time"))


def _is_sse_alone(request: Request) -> bool:
    """Whether a client begins as the HTTP+SSE transport of 2024 does, which is not served."""
    path = request.scope["path"]
    return path == "/sse" or (path == "/mcp" and MCP_SESSION_ID_HEADER not in request.headers)


def _refusal(status: int, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    if headers is None:
        # Where a body may be unread, no other request can follow.
        headers = {} if status == 400 else {"connection": "close"}
    content = refusal.reply.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(content, status, headers, media_type="application/json")
