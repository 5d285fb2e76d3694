"""Scrub every text on its way out: it can be encoded, holds no secret, and as an error is short.

A lone surrogate would end a stdio server: no JSON writer can encode it. A secret may stand in any text that a
deployment sends, in successful replies too. Results pass once, in the middleware; the writer of stdio scrubs
the rest: what the server says unasked, and the SDK's own errors.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from mcp.types import ErrorData, JSONRPCError, JSONRPCMessage, JSONRPCResponse

from sutro_mcp.redaction import redact, redact_line
from sutro_mcp.server.context import Ctx
from sutro_mcp.untrusted_text import shorten

Notify = Callable[[float, float | None, str], Awaitable[None]]
"""`progress`, `total` and `message` of MCP."""

_SURROGATE = re.compile("[\ud800-\udfff]")
# Together with its place in a message, an error stays under 2,000 characters.
ERROR_CHARS = 1_500
_DATA_CHARS = 300
_QUOTED_CHARS = 200


def scrub(value: Any, clean: Callable[[str], str] = redact) -> Any:
    """A JSON value whose every string, keys included, can be encoded and holds no secret."""
    if isinstance(value, str):
        return clean(value if value.isascii() else _SURROGATE.sub("\ufffd", value))
    if isinstance(value, Mapping):
        return {scrub(k, clean): scrub(v, clean) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [scrub(item, clean) for item in cast("list[Any]", value)]
    return value


def scrub_result(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a request. A tool error is short, whatever it quotes."""
    scrubbed = scrub(result)
    if scrubbed.get("isError"):
        scrubbed["content"] = scrub(scrubbed["content"], lambda text: shorten(text, ERROR_CHARS)[0])
    return scrubbed


def scrub_error(error: ErrorData) -> ErrorData:
    """An error of the protocol; what it quotes is shortened, and data that stay long are left out."""
    data = scrub(error.data, lambda text: shorten(redact_line(text), _QUOTED_CHARS)[0])
    return ErrorData(
        code=error.code,
        message=shorten(scrub(error.message, redact_line), ERROR_CHARS)[0],
        data=data if len(json.dumps(data)) <= _DATA_CHARS else None,
    )


def scrub_unasked(message: JSONRPCMessage) -> JSONRPCMessage:
    """A message as it is written, if the middleware has not scrubbed it before: anything but a result."""
    if isinstance(message, JSONRPCResponse):
        return message
    if isinstance(message, JSONRPCError):
        return message.model_copy(update={"error": scrub_error(message.error)})
    return message.model_copy(update={"params": scrub(message.params)}) if message.params else message


def notifier(ctx: Ctx) -> Notify:
    """`report_progress` of a request, with its message scrubbed: over HTTP no writer of ours does it."""

    async def notify(progress: float, total: float | None, message: str) -> None:
        await ctx.report_progress(progress, total, scrub(message, redact_line))

    return notify
