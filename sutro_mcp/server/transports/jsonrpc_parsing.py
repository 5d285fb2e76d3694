"""From bytes to messages, without trusting either; over stdio a line is a message, over HTTP a body.

The SDK reads lines of any length and drops what it cannot parse, so that the host waits for an answer that
never comes. Here a line has a limit, and whatever is refused is answered once: with its id if that can be
read, with null otherwise. A notification is never answered.
"""

import json
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from mcp import types
from pydantic import ValidationError
from pydantic_core import from_json

logger = logging.getLogger(__name__)

MAX_LINE = 4 * 1024 * 1024
BATCH_VERSION = "2025-03-26"
"""The one version of the protocol that has batches."""
_MAX_BATCH = 100

# Enough for the members beside `params`, which hosts write before or after it.
_END = 1024
_STRING = rb'"(?:[^"\\]|\\.){0,256}"'
_ID = rb'"id"\s*:\s*(?P<id>-?\d{1,18}|' + _STRING + rb")"
_OTHER = rb'"(?:jsonrpc|method)"\s*:\s*' + _STRING
_HEAD_ID = re.compile(rb"\s*\{(?:\s*" + _OTHER + rb"\s*,)*\s*" + _ID + rb"\s*[,}]")
# A member right before the last brace is one of the message itself; in a text the quotes would be escaped.
_TAIL_ID = re.compile(rb"[,{]\s*" + _ID + rb"(?:\s*,\s*" + _OTHER + rb")*\s*\}\s*\Z")
_DIGITS = 4_000

_NOT_JSON = "Parse error: this is not valid JSON"
_UNUSABLE = (
    "Invalid request: it holds a number, a nesting or a text that JSON between systems may not have "
    "(thousands of digits, hundreds of levels, NaN, half a surrogate pair, bytes that are not UTF-8)"
)
NO_MESSAGE = "Invalid request: this is not a JSON-RPC 2.0 message"
_BATCH = "Invalid request: send one message at a time; batches are not part of this protocol"
_EMPTY_BATCH = "Invalid request: this batch is empty"
_LONG_BATCH = "Invalid request: a batch holds at most 100 messages"
_IN_BATCH = "Invalid request: initialize cannot be part of a batch"
_BAD_ID = "Invalid request: an id is a string or a whole number"


@dataclass(frozen=True)
class Oversized:
    """The two ends of a line that was too long to keep."""

    head: bytes
    tail: bytes


@dataclass(frozen=True)
class Refusal:
    """The answer to a line that is not handled."""

    reply: types.JSONRPCError


async def lines(
    read: Callable[[], Awaitable[bytes]], limit: int = MAX_LINE
) -> AsyncGenerator[bytes | Oversized]:
    """The lines in what `read` yields until it yields nothing; holds `limit` bytes and a chunk at most."""
    kept = bytearray()
    head: bytes | None = None  # set while a line that is too long goes by
    while data := await read():
        *ends, rest = data.split(b"\n")
        for end in ends:
            kept += end
            yield _line(kept, head, limit)
            kept, head = bytearray(), None
        kept += rest
        if len(kept) > limit or head is not None:
            head = bytes(kept[:_END]) if head is None else head
            del kept[:-_END]
    if kept:
        yield _line(kept, head, limit)


def read_message(line: bytes | Oversized) -> types.JSONRPCMessage | Refusal | None:
    """The message in a line, the answer to a line that is none, or nothing where no answer is due."""
    if isinstance(line, Oversized):
        return refuse(_id_of(line), f"Invalid request: the line is longer than {MAX_LINE:,} bytes")
    if not line.strip():
        return None
    try:
        value: object = from_json(line, allow_inf_nan=False)
    except ValueError:
        return _unusable(line)
    return _message(value)


def read_batch(line: bytes | Oversized) -> list[types.JSONRPCMessage | Refusal] | Refusal | None:
    """The messages of a batch, and the answers to what is none in it; None if the line is no batch."""
    if isinstance(line, Oversized) or not line.lstrip().startswith(b"["):
        return None
    try:
        values = cast("list[object]", from_json(line, allow_inf_nan=False))
    except ValueError:
        return None
    if not values or len(values) > _MAX_BATCH:
        return refuse(None, _LONG_BATCH if values else _EMPTY_BATCH)
    found = [_message(value) for value in values]
    return [
        refuse(message.id, _IN_BATCH)
        if isinstance(message, types.JSONRPCRequest) and message.method == "initialize"
        else message
        for message in found
        if message is not None
    ]


def _line(kept: bytearray, head: bytes | None, limit: int) -> bytes | Oversized:
    if head is None and len(kept) <= limit:
        return bytes(kept)
    return Oversized(bytes(kept[:_END]) if head is None else head, bytes(kept[-_END:]))


def _message(value: object) -> types.JSONRPCMessage | Refusal | None:
    members = _members(value)
    if isinstance(members, Refusal):
        return members
    if "method" in members and "id" in members and _readable(members["id"]) is None:
        # To the SDK it would be a notification.
        return refuse(None, _BAD_ID)
    try:
        return types.jsonrpc_message_adapter.validate_python(members, by_name=False)
    except ValidationError:
        return _answer(members, NO_MESSAGE)


def _unusable(line: bytes) -> types.JSONRPCMessage | Refusal | None:
    """For a line that the strict parser refuses: a lenient one may still find out whom to tell."""
    try:
        value: object = json.loads(line.decode("utf-8", "replace"), parse_int=_int)
    except (ValueError, RecursionError):
        return refuse(None, _NOT_JSON, types.PARSE_ERROR)
    members = _members(value)
    return members if isinstance(members, Refusal) else _answer(members, _UNUSABLE)


def _members(value: object) -> dict[str, Any] | Refusal:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return refuse(None, _BATCH if isinstance(value, list) else NO_MESSAGE)


def _answer(members: dict[str, Any], why: str) -> types.JSONRPCMessage | Refusal | None:
    """The refusal of an object that is no message, if one is due."""
    found = _readable(members.get("id"))
    if "method" not in members and ("result" in members or "error" in members):
        # A reply to a request of ours. Its waiter has to learn that it is useless.
        return None if found is None else _error(found, why, types.INVALID_REQUEST)
    if "id" not in members and isinstance(members.get("method"), str) and members.get("jsonrpc") == "2.0":
        logger.debug("dropped a malformed notification")
        return None
    return refuse(found, why)


def _readable(value: object) -> int | str | None:
    """`value` as an id that can be sent back, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if any("\ud800" <= char <= "\udfff" for char in value) else value
    return value if isinstance(value, int) else None


def _id_of(line: Oversized) -> int | str | None:
    match = _HEAD_ID.match(line.head) or _TAIL_ID.search(line.tail)
    if match is None:
        return None
    try:
        return _readable(json.loads(match["id"]))
    except ValueError:
        return None


def _int(digits: str) -> int | float:
    # Python refuses to read more than 4,300 digits; a float is no id, which is what such a number cannot be.
    return int(digits) if len(digits) <= _DIGITS else 0.0


def refuse(request_id: int | str | None, why: str, code: int = types.INVALID_REQUEST) -> Refusal:
    """The refusal of a request, as far as its id is known."""
    return Refusal(_error(request_id, why, code))


def _error(request_id: int | str | None, why: str, code: int) -> types.JSONRPCError:
    return types.JSONRPCError(jsonrpc="2.0", id=request_id, error=types.ErrorData(code=code, message=why))
