"""Whether the server answers: a question of each protocol era, sent the way that a client's would go.

A route that only says "ok" says it also when every MCP request fails.
"""

import json
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.types import LATEST_PROTOCOL_VERSION
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

_SECONDS = 5.0
KEPT_SECONDS = 10.0
_CLIENT = {"name": "healthz", "version": "1"}
_META = {
    "io.modelcontextprotocol/protocolVersion": LATEST_PROTOCOL_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _CLIENT,
}
_HEADERS = {"mcp-protocol-version": LATEST_PROTOCOL_VERSION, "mcp-method": "tools/list"}
_OPENING = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": _CLIENT}


class Health:
    """Whether `app` answers; that it does is believed for 10 seconds, as each look costs it two requests."""

    def __init__(self, app: ASGIApp, authority: str) -> None:
        self._app = app
        self._authority = authority
        self._looking = anyio.Lock()
        self._well_until = float("-inf")

    async def is_well(self) -> bool:
        """Callers at the same time share one look."""
        async with self._looking:
            if anyio.current_time() < self._well_until:
                return True
            is_well = await answers_in_both_eras(self._app, self._authority)
            if is_well:
                self._well_until = anyio.current_time() + KEPT_SECONDS
            return is_well


async def answers_in_both_eras(app: ASGIApp, authority: str) -> bool:
    """Whether `app`, asked under the Host `authority`, lists its tools and opens a session in 5 seconds."""
    try:
        with anyio.fail_after(_SECONDS):
            _, tools = await _ask(app, authority, _HEADERS, "tools/list", {"_meta": _META})
            headers, server = await _ask(app, authority, {}, "initialize", _OPENING)
            if session := headers.get(MCP_SESSION_ID_HEADER):
                await _ask(app, authority, {MCP_SESSION_ID_HEADER: session}, verb="DELETE")
            return '"inputSchema"' in tools and '"serverInfo"' in server
    except Exception:  # whatever is broken, the answer is no; its log says why
        return False


async def _ask(
    app: ASGIApp,
    authority: str,
    headers: Mapping[str, str],
    method: str = "",
    params: Mapping[str, Any] | None = None,
    verb: str = "POST",
) -> tuple[Headers, str]:
    """Headers and text of the answer to a request."""
    accept = "application/json, text/event-stream"
    sent = {"host": authority, "content-type": "application/json", "accept": accept, **headers}
    raw_headers = [(name.encode(), value.encode()) for name, value in sent.items()]
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    unsent = [json.dumps(request).encode()]
    answer = bytearray()
    answer_headers = Headers()

    async def receive() -> Message:
        if not unsent:
            await anyio.sleep_forever()  # this client does not hang up
        return {"type": "http.request", "body": unsent.pop()}

    async def send(message: Message) -> None:
        nonlocal answer_headers
        if message["type"] == "http.response.start":
            answer_headers = Headers(raw=message["headers"])
        answer.extend(message.get("body", b""))

    await app({"type": "http", "method": verb, "path": "/mcp", "headers": raw_headers}, receive, send)
    return answer_headers, answer.decode()
