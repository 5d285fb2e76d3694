"""A deployment and its store on raw sockets: the emulator's replies, damaged in every way a network can.

The emulator knows what is true; this server asks it and sends bytes of its own instead. What the emulator's
faults cannot do is done here: broken heads, wrong lengths, resets, silence, endless and exploding bodies.
"""

import gzip
import json
import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache, partial
from typing import Any

import anyio
import anyio.abc
import httpx
from mcp import Client

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import Emulator
from sutro_mcp.server.build import build_server
from sutro_mcp.settings import Settings
from tests.support import Era, Talk

from .toxic import Toxic, hard_reset, relay


class Act(Enum):
    """Acts of a server besides sending bytes. Each but `drip` is the end of the connection."""

    reset = "reset"
    close = "close"
    hang = "hang"
    endless = "send bytes for ever"


Step = bytes | Act | float
"""Bytes to send, something to do, or seconds to wait."""


@dataclass(frozen=True)
class Reply:
    """A true reply, about to be damaged."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def head(self) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {self.reason}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    def with_header(self, name: str, *values: str) -> "Reply":
        """The same with these values of one header, and no others of it."""
        kept = [pair for pair in self.headers if pair[0].lower() != name]
        return replace(self, headers=[*kept, *((name, value) for value in values)])

    def with_body(self, body: bytes, content_type: str = "application/json") -> "Reply":
        """The same with another body of the right length."""
        reply = replace(self, body=body).with_header("content-length", str(len(body)))
        return reply.with_header("content-type", content_type)


Fault = Callable[[Reply], Sequence[Step]]
"""From a true reply to what is done instead."""


def whole(reply: Reply) -> Sequence[Step]:
    """No fault."""
    return [reply.raw]


def edited(edit: Callable[[Reply], Reply]) -> Fault:
    """Another reply, sent properly."""
    return lambda reply: [edit(reply).raw]


def instead(*steps: Step) -> Fault:
    """Something else altogether."""
    return lambda _: steps


def cut(part: float, act: Act = Act.close) -> Fault:
    """This share of the reply, then the end of the connection."""
    return lambda reply: [reply.raw[: int(len(reply.raw) * part)], act]


def cut_body(part: float, act: Act = Act.close) -> Fault:
    """The head and this share of the body, then the end of the connection."""
    return lambda reply: [reply.head + reply.body[: int(len(reply.body) * part)], act]


def length(change: Callable[[int], str | None]) -> Fault:
    """A Content-Length made from the true one; None for none. The connection ends with the body."""

    def steps(reply: Reply) -> Sequence[Step]:
        value = change(len(reply.body))
        return [reply.with_header("content-length", *([] if value is None else [value])).raw, Act.close]

    return steps


def chunked(body: Callable[[bytes], bytes]) -> Fault:
    """The body in chunked coding, spelled by `body`."""

    def steps(reply: Reply) -> Sequence[Step]:
        bare = reply.with_header("content-length").with_header("transfer-encoding", "chunked")
        return [bare.head + body(reply.body), Act.close]

    return steps


def status(code: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> Fault:
    """A status and what comes with it."""

    def edit(reply: Reply) -> Reply:
        made = replace(reply, status=code, reason="X", headers=[]).with_body(body, content_type)
        for name, value in headers.items():
            made = made.with_header(name.replace("_", "-"), value)
        return made

    return edited(edit)


def body(content: bytes | Any, content_type: str = "application/json") -> Fault:
    """Status 200 and another body: bytes, or what JSON makes of anything else."""
    raw: bytes = content if isinstance(content, bytes) else json.dumps(content).encode()
    return status(200, raw, content_type)


def json_body(change: Callable[[Any], Any]) -> Fault:
    """The true JSON body, changed; other bodies stay."""

    def edit(reply: Reply) -> Reply:
        if not reply.body.startswith(b"{"):
            return reply
        return reply.with_body(json.dumps(change(json.loads(reply.body))).encode())

    return edited(edit)


def encoded(encoding: str, code: Callable[[bytes], bytes]) -> Fault:
    """The body in a content coding, or what claims to be one."""
    return edited(lambda reply: reply.with_body(code(reply.body)).with_header("content-encoding", encoding))


@cache
def bomb(megabytes: int) -> bytes:
    """A gzip body of about a thousandth of what it unpacks to."""
    packer = zlib.compressobj(wbits=31)
    return b"".join([packer.compress(bytes(2**20)) for _ in range(megabytes)]) + packer.flush()


def truncated_gzip(raw: bytes) -> bytes:
    """All but the end of it."""
    return gzip.compress(raw)[:-9]


def drip(pause: float, size: int = 1) -> Fault:
    """The reply in small pieces."""

    def steps(reply: Reply) -> Sequence[Step]:
        raw = reply.raw
        return [step for at in range(0, len(raw), size) for step in (raw[at : at + size], pause)]

    return steps


API, STORE = "/v1/", ".parquet"
"""Parts of the paths of the API's requests and of the store's."""


@dataclass
class Upstream:
    """The server. Each request takes the next fault that its path matches; without one it gets the truth."""

    emulator: Emulator
    faults: list[tuple[str, Fault, int]] = field(default_factory=list[tuple[str, Fault, int]])
    """Part of a path, what to do, and how many more times."""
    connections: int = 0
    paths: list[str] = field(default_factory=list[str])

    def add(self, fault: Fault, path: str = API, times: int = 10**9) -> None:
        """Let `fault` hit the next requests whose path contains `path`."""
        self.faults.append((path, fault, times))

    def take(self, path: str) -> Fault:
        """The treatment of this request."""
        for at, (part, fault, times) in enumerate(self.faults):
            if part in path:
                self.faults[at] = (part, fault, times - 1)
                if times <= 1:
                    del self.faults[at]
                return fault
        return whole


@asynccontextmanager
async def faulty_upstream(toxic: Toxic | None = None, **emulator_options: Any) -> AsyncGenerator[Upstream]:
    """An upstream on two loopback ports, gone when the block ends; behind bad lines if there is a `toxic`."""
    async with AsyncExitStack() as stack:
        listeners = [await _listener(stack) for _ in range(2)]
        inner = [_port(listener) for listener in listeners]
        outer = [await _listener(stack) for _ in inner] if toxic else listeners
        api, store = origins = [f"http://127.0.0.1:{_port(listener)}" for listener in outer]
        upstream = Upstream(Emulator(api_origin=api, store_origin=store, **emulator_options))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for listener, origin in zip(listeners, origins, strict=True):
            tasks.start_soon(listener.serve, _Connections(upstream, origin).serve)
        if toxic:
            for listener, port in zip(outer, inner, strict=True):
                tasks.start_soon(listener.serve, partial(relay, toxic, port))
        yield upstream
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def conversation(
    upstream: Upstream, era: Era = "auto", *, origin: str | None = None, **options: Any
) -> AsyncGenerator[Talk]:
    """A conversation with the product's server about this upstream, over its sockets."""

    def connect() -> ApiClient:
        connection = resolve_connection(
            origin or upstream.emulator.api_origin, upstream.emulator.api_key, env={}
        )
        return ApiClient(connection, **options)

    async with Client(build_server(Settings(), connect), mode=era) as client:
        yield Talk(client, upstream.emulator)


@asynccontextmanager
async def slow_handshake(steps: Sequence[Step]) -> AsyncGenerator[str]:
    """The https origin of a server that does `steps` over and over where its TLS handshake should be."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            async with stream:
                await stream.receive()
                while all([await _perform(stream, step) for step in steps]):
                    pass

    async with AsyncExitStack() as stack:
        listener = await _listener(stack)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(listener.serve, serve)
        yield f"https://127.0.0.1:{_port(listener)}"
        tasks.cancel_scope.cancel()


class _Connections:
    def __init__(self, upstream: Upstream, origin: str) -> None:
        self._upstream = upstream
        self._origin = origin
        self._truth = httpx.ASGITransport(app=upstream.emulator.app)

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        self._upstream.connections += 1
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            async with stream:
                while True:
                    head, content = await _request(stream)
                    reply = await self._ask(head, content)
                    for step in self._upstream.take(head.split(b" ")[1].decode())(reply):
                        if not await _perform(stream, step):
                            return

    async def _ask(self, head: bytes, content: bytes) -> Reply:
        method, target, *_ = head.decode("latin-1").split(" ", 2)
        self._upstream.paths.append(f"{method} {target.partition('?')[0]}")
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = [
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)
        ]
        request = httpx.Request(method, self._origin + target, headers=headers, content=content)
        response = await self._truth.handle_async_request(request)
        raw = await response.aread()
        kept = [
            (n, v) for n, v in response.headers.multi_items() if n not in ("content-length", "connection")
        ]
        return Reply(response.status_code, "OK", [*kept, ("content-length", str(len(raw)))], raw)


async def _request(stream: anyio.abc.SocketStream) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    head, _, content = received.partition(b"\r\n\r\n")
    announced = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while announced and len(content) < int(announced[0].partition(b":")[2]):
        content += await stream.receive()
    return head, content


async def _perform(stream: anyio.abc.SocketStream, step: Step) -> bool:
    """Do one step; whether the connection is still good for the next."""
    match step:
        case bytes():
            await stream.send(step)
        case Act.reset:
            hard_reset(stream)
            return False
        case Act.close:
            return False
        case Act.hang:
            await stream.receive()
            return False
        case Act.endless:
            while True:
                await stream.send(b" " * 2**16)
        case _:
            await anyio.sleep(step)
    return True


async def _listener(stack: AsyncExitStack) -> anyio.abc.Listener[anyio.abc.SocketStream]:
    return await stack.enter_async_context(await anyio.create_tcp_listener(local_host="127.0.0.1"))


def _port(listener: anyio.abc.Listener[Any]) -> int:
    return listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
