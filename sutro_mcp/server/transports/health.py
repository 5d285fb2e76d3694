"""Whether the server answers: a question of each protocol era, sent the way that a client's would go.

A route that only says "ok" says it also when every MCP request fails.
"""

import json
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.types import LATEST_PROTOCOL_VERSION
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

_SECONDS = 5.0
_SESSION = "mcp-session-id"
_CLIENT = {"name": "healthz", "version": "1"}


async def answers_in_both_eras(mcp: ASGIApp, authority: str) -> bool:
    """Whether `mcp`, asked under the Host `authority`, lists its tools and opens a session in 5 seconds."""
    try:
        with anyio.fail_after(_SECONDS):
            return await _lists_tools(mcp, authority) and await _opens_a_session(mcp, authority)
    except Exception:  # whatever is broken, the answer is no; its log says why
        return False


async def _lists_tools(mcp: ASGIApp, authority: str) -> bool:
    meta = {
        "io.modelcontextprotocol/protocolVersion": LATEST_PROTOCOL_VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": _CLIENT,
    }
    headers = {"mcp-protocol-version": LATEST_PROTOCOL_VERSION, "mcp-method": "tools/list"}
    answer = await _ask(mcp, authority, "POST", headers, "tools/list", {"_meta": meta})
    return '"inputSchema"' in answer.text


async def _opens_a_session(mcp: ASGIApp, authority: str) -> bool:
    opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": _CLIENT}
    answer = await _ask(mcp, authority, "POST", {}, "initialize", opening)
    session = answer.headers.get(_SESSION)
    if session is not None:
        await _ask(mcp, authority, "DELETE", {_SESSION: session})
    return '"serverInfo"' in answer.text


class _Answer:
    """What an ASGI app sends, collected."""

    def __init__(self) -> None:
        self.headers = Headers()
        self.text = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.headers = Headers(raw=message["headers"])
        self.text += message.get("body", b"").decode()


async def _ask(
    mcp: ASGIApp,
    authority: str,
    verb: str,
    headers: Mapping[str, str],
    method: str = "",
    params: Mapping[str, Any] | None = None,
) -> _Answer:
    sent = {
        "host": authority,
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        **headers,
    }
    scope = {
        "type": "http",
        "method": verb,
        "path": "/mcp",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    waiting = [json.dumps(request).encode()]

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()  # this client does not hang up
        return {"type": "http.request", "body": waiting.pop()}

    answer = _Answer()
    await mcp(scope, receive, answer.send)
    return answer
