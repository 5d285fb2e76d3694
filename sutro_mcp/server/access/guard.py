"""The guard in front of MCP over HTTP: it lets known callers through, and tells others how to get in.

It stands outside of everything that reads a body. What a caller may do is decided here as well, before an
answer begins: only then can HTTP say that a scope is missing.
"""

import math
import time
from collections.abc import Collection

import anyio
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sutro_mcp.concurrency import background
from sutro_mcp.server.context import Principal, principal_in
from sutro_mcp.server.operations.audit import Audit
from sutro_mcp.server.protocol.middleware import HTTP_REQUEST
from sutro_mcp.server.protocol.rate_limit import LocalRates, Rate
from sutro_mcp.settings import Settings

from .authentication import Authenticate, Authenticated, Caller, CredentialError
from .key_verdicts import KeyVerdicts
from .protected_resource_metadata import metadata_paths, metadata_url

UNKNOWN = Principal("unknown", "unknown", "local", frozenset())
"""The caller in a line about somebody who was not let in."""
_RETRY_SECONDS = 5
# How long a person who was locked out may go on with what is open.
_RECHECK_SECONDS = 60.0
# Lines of the audit log about one caller or address, so that nobody fills the disk.
_LINES = Rate(10, 10)


class Guard:
    """An ASGI app in front of `app`, which serves nothing but /mcp and what is open to all."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        authenticate: Authenticate,
        cancelling: Collection[str],
        audit: Audit | None = None,
        *,
        recheck_seconds: float = _RECHECK_SECONDS,
        seen: LocalRates | None = None,
    ) -> None:
        """`cancelling` are the tools that need more than the right to read; `audit` hears who is refused, and
        `seen` how often.
        """
        self._audit = audit
        self._app = app
        self._cancelling = cancelling
        self._settings = settings
        self._open = {"/healthz", *(metadata_paths(settings) if settings.auth == "oauth" else ())}
        self._authenticate = authenticate
        self._recheck_seconds = recheck_seconds
        self._seen = LocalRates() if seen is None else seen
        self._rate = Rate(*settings.anonymous_rate)
        self._verdicts = KeyVerdicts(self._rate, self._seen)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        if scope["path"] != "/mcp":
            # Decided here: what routes a request may find "/mcp" in more than this.
            await Response(status_code=404)(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            found = await self._known(headers)
        except CredentialError as error:
            refusal = await self._refuse(error, scope)
            await refusal(scope, receive, send)
            return
        key = found.principal.sutro_key
        if key is not None and (seconds := self._verdicts.admit(key, _peer(scope))):
            await self._write_down("caller_refused", "unknown", UNKNOWN, _peer(scope), is_due=False)
            await _too_many("new keys", seconds)(scope, receive, send)
            return

        async def send_uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() != b"cache-control"]
                message = {**message, "headers": [*kept, (b"cache-control", b"no-store, no-transform")]}
            await send(message)

        async with background() as tasks:
            tasks.start_soon(self._end_with_the_credential, scope, headers, found)
            await self._app({**scope, "user": Caller(found.principal)}, receive, send_uncached)

    async def _known(self, headers: Headers) -> Authenticated:
        found = await self._authenticate(headers)
        if found.principal.sutro_key is not None:
            self._verdicts.check(found.principal.sutro_key)
        return found

    async def _refuse(self, error: CredentialError, scope: Scope) -> Response:
        """Refuse a caller and write it down; where its address has had too many, say when to come back.

        Only refusals count, and only they are replaced: behind one address there may be callers whose
        credentials are good. The address is that of the connection, or what a trusted proxy says it is.
        """
        peer = _peer(scope)
        if error.reason == "unavailable":
            is_due = self._is_line_due(f"address {peer}")
            await self._write_down("caller_refused", error.reason, UNKNOWN, peer, is_due=is_due)
            return self._refusal(error)
        seconds = math.ceil(self._seen.take_now(f"refusal:{peer}", self._rate))
        await self._write_down("caller_refused", error.reason, UNKNOWN, peer, is_due=seconds == 0)
        if seconds > 0:
            return _too_many("refusals", seconds)
        return self._refusal(error)

    def _is_line_due(self, about: str) -> bool:
        return self._seen.take_now(f"line:{about}", _LINES) == 0

    async def _write_down(
        self, event: str, outcome: str, caller: Principal, peer: str, *, is_due: bool
    ) -> None:
        """Put a line into the audit log where one is due; count the event in any case."""
        if self._audit is None:
            return
        if is_due:
            await self._audit.record_if_possible(event, outcome, caller=caller, peer=peer)
        else:
            self._audit.counts[event, outcome] += 1

    async def _end_with_the_credential(self, scope: Scope, headers: Headers, found: Authenticated) -> None:
        """End a request that is still open when its credential no longer counts as it did."""
        request = scope[HTTP_REQUEST]
        while True:
            left = (found.expires or float("inf")) - time.time()
            # A credential may be past its end already: between two looks at the clock, or within a leeway.
            await anyio.sleep(max(min(self._recheck_seconds, left), 0))
            try:
                if left <= self._recheck_seconds:
                    raise CredentialError("expired", "it has expired")
                again = await self._known(headers)
                if again.principal != found.principal:
                    break  # perhaps with other scopes
                found = again
            except CredentialError as error:
                if error.reason != "unavailable":
                    break
        await request.end_early("your credential no longer counts as it did")

    async def refusal_of(
        self, scope: Scope, message: JSONRPCRequest | JSONRPCResponse | JSONRPCError
    ) -> Response | None:
        """The refusal of `message`, which names the scope that is missing, if one is; it is in the audit log.

        Only who cancels is asked something, so that an answer needs what cancelling needs.
        """
        if "user" not in scope:  # the server asks itself how it is
            return None
        caller = principal_in(scope)
        if ("cancel" if (cancels := self._cancels(message)) else "read") in caller.scopes:
            return None
        is_due = self._is_line_due(caller.id)
        await self._write_down("scope_refused", "insufficient_scope", caller, _peer(scope), is_due=is_due)
        wanted = [self._settings.scope_read, *([self._settings.scope_cancel] if cancels else [])]
        why = f"Your token lacks the scope {wanted[-1]}"
        request_id = message.id if isinstance(message, JSONRPCRequest) else None
        body = {"jsonrpc": "2.0", "id": request_id, "error": {"code": -32600, "message": why}}
        challenge = self._challenge(error="insufficient_scope", scope=" ".join(wanted))
        return JSONResponse(body, 403, headers={"www-authenticate": challenge, "cache-control": "no-store"})

    def _cancels(self, message: JSONRPCRequest | JSONRPCResponse | JSONRPCError) -> bool:
        if not isinstance(message, JSONRPCRequest):
            return True
        name = (message.params or {}).get("name")
        return message.method == "tools/call" and isinstance(name, str) and name in self._cancelling

    def _refusal(self, error: CredentialError) -> Response:
        body = {"error": "invalid_token" if error.reason != "missing" else "unauthorized"}
        body["error_description"] = error.why
        if error.reason == "unavailable":
            body["error"] = "temporarily_unavailable"
            return JSONResponse(body, 503, headers={"retry-after": str(_RETRY_SECONDS)})
        details: dict[str, str] = {}
        if self._settings.auth == "oauth":
            details["scope"] = self._settings.scope_read
        if error.reason != "missing":
            details |= {"error": "invalid_token", "error_description": error.why}
        headers = {"www-authenticate": self._challenge(**details), "cache-control": "no-store"}
        return JSONResponse(body, 401, headers=headers)

    def _challenge(self, **details: str) -> str:
        if self._settings.auth == "oauth":
            details["resource_metadata"] = metadata_url(self._settings)
        parts = {"realm": "sutro-mcp", **details}
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parts.items())


def _too_many(what: str, seconds: int) -> Response:
    return PlainTextResponse(f"Too many {what}.\n", 429, {"Retry-After": str(seconds)})


def _peer(scope: Scope) -> str:
    return (scope.get("client") or ("",))[0]
