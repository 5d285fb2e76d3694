"""A JSON-RPC batch over HTTP, which one version of the protocol has and the SDK does not (mcp 2.3.0).

Each message goes through the server as a request of its own; the streams that answer them become one.
"""

from collections.abc import Awaitable, Callable

from mcp import types
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from sutro_mcp.concurrency import task_group

from .jsonrpc_parsing import BATCH_VERSION, Refusal, read_batch

Post = Callable[[bytes, Send], Awaitable[Response | None]]
"""Answers a message: by sending, or by what it returns."""


def batch_of(request: Request, body: bytes) -> list[types.JSONRPCMessage | Refusal] | Refusal | None:
    """The messages of a batch, where the version of the request has batches; None if there are none.

    Clients of that version do not name it: the header came with the next one.
    """
    named = request.headers.get(MCP_PROTOCOL_VERSION_HEADER, BATCH_VERSION)
    return read_batch(body) if named == BATCH_VERSION else None


async def answer_batch(batch: list[types.JSONRPCMessage | Refusal], post: Post, send: Send) -> None:
    """Answer the messages of `batch` by `post`, at once, on a stream that ends with the last reply."""
    if any(isinstance(message, types.JSONRPCRequest | Refusal) for message in batch):
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-transform")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with task_group() as tasks:
            for message in batch:
                tasks.start_soon(_answer, message, post, send)
    else:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        for message in batch:
            await _answer(message, post, send)
    await send({"type": "http.response.body", "body": b""})


async def _answer(message: types.JSONRPCMessage | Refusal, post: Post, send: Send) -> None:
    """Pass on the events of a stream, and make one of any other body that answers a request."""
    is_stream = False
    rest = bytearray()

    async def pass_on(part: Message) -> None:
        nonlocal is_stream
        if part["type"] == "http.response.start":
            kind = dict(part.get("headers", [])).get(b"content-type", b"")
            is_stream = kind.startswith(b"text/event-stream")
        elif is_stream:
            await send({"type": "http.response.body", "body": part.get("body", b""), "more_body": True})
        else:
            rest.extend(part.get("body", b""))

    if isinstance(message, Refusal):
        rest += message.reply.model_dump_json(by_alias=True, exclude_unset=True).encode()
    else:
        refused = await post(message.model_dump_json(by_alias=True, exclude_unset=True).encode(), pass_on)
        rest += bytes(refused.body) if refused is not None else b""
    if rest and isinstance(message, types.JSONRPCRequest | Refusal):
        event = b"event: message\r\ndata: " + bytes(rest) + b"\r\n\r\n"
        await send({"type": "http.response.body", "body": event, "more_body": True})
