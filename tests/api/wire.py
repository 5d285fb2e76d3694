"""Replies made to order, and a socket that breaks every rule: both beyond the emulator."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import httpx
import pytest

from sutro_mcp.api import ApiClient, ApiKey, Connection
from sutro_mcp.emulator import DEMO_KEY, Emulator
from sutro_mcp.errors import SutroError

KEY = "sk_live_canary_0123456789"
ORIGIN = "https://sutro.example.com"
JOB = "job-11111111-2222-4333-8444-555555555555"
OTHER_JOB = "job-99999999-2222-4333-8444-555555555555"
PARQUET = b"PAR1" + bytes(range(256)) * 40 + b"PAR1"

Handler = Callable[[httpx.Request], httpx.Response]


class Body(httpx.AsyncByteStream):
    """Chunks of a body, and optionally the failure it ends with."""

    def __init__(self, chunks: Sequence[bytes], failure: Exception | None = None) -> None:
        self._chunks = chunks
        self._failure = failure
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._failure:
            raise self._failure

    async def aclose(self) -> None:
        self.closed = True


class Script(httpx.AsyncBaseTransport):
    """A transport that answers with `handler` and remembers what was asked."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        return self.handler(request)

    @property
    def targets(self) -> list[str]:
        """Method and path of every request, in order."""
        return [f"{request.method} {request.url.path}" for request in self.seen]


def reply(
    status: int = 200,
    body: object = b"",
    *,
    headers: Mapping[str, str] | None = None,
    failure: Exception | None = None,
    length: bool = True,
) -> httpx.Response:
    """A streamed reply: JSON unless `body` is bytes or a list of byte chunks."""
    if isinstance(body, bytes):
        chunks = [body]
    elif isinstance(body, list) and body and all(isinstance(chunk, bytes) for chunk in body):  # pyright: ignore[reportUnknownVariableType]
        chunks = [bytes(chunk) for chunk in body]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    else:
        chunks = [json.dumps(body).encode()]
    sent = {"content-length": str(sum(map(len, chunks)))} if length else {}
    return httpx.Response(status, headers=sent | dict(headers or {}), stream=Body(chunks, failure))


def answering(*replies: httpx.Response | Exception | Callable[[], httpx.Response]) -> Script:
    """A transport that gives these replies in turn, the last one for ever if it is a function."""
    waiting = list(replies)

    def handler(_: httpx.Request) -> httpx.Response:
        found = waiting[0] if len(waiting) == 1 and callable(waiting[0]) else waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, httpx.Response) else found()

    return Script(handler)


def client(
    transport: httpx.AsyncBaseTransport | None,
    *,
    origin: str = ORIGIN,
    timeout: float = 30.0,
    results_timeout: float = 300.0,
    blob_transport: httpx.AsyncBaseTransport | None = None,
) -> ApiClient:
    """A client of a deployment that exists only in this test."""
    connection = Connection(f"{origin}/v1", ApiKey(KEY), "argument", "argument")
    return ApiClient(
        connection,
        transport=transport,
        blob_transport=blob_transport,
        timeout=timeout,
        results_timeout=results_timeout,
    )


def emulated(emulator: Emulator, *, results_timeout: float = 300.0) -> ApiClient:
    """A client of the emulator, in this process."""
    transport = httpx.ASGITransport(app=emulator.app)
    connection = Connection(f"{emulator.api_origin}/v1", ApiKey(DEMO_KEY), "argument", "argument")
    return ApiClient(connection, transport=transport, results_timeout=results_timeout)


async def error_of(
    transport: httpx.AsyncBaseTransport,
    call: Callable[[ApiClient], Awaitable[object]] = lambda api: api.get_job(JOB),
) -> SutroError:
    """The error of a call of a client of that deployment."""
    async with client(transport) as api:
        with pytest.raises(SutroError) as caught:
            await call(api)
    return caught.value


def job(job_id: object = JOB, **fields: object) -> dict[str, object]:
    """A job object as the API sends it."""
    return {"job_id": job_id, "status": "SUCCEEDED", "model": "gpt-oss-20b", "num_rows": 3, **fields}


@asynccontextmanager
async def socket_server(*scripts: bytes | Sequence[bytes | float]) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server on loopback that answers its n-th request with the n-th script, byte for byte, and hangs up.

    A script is bytes, or bytes and pauses in seconds. Yields the origin and the requests it got.
    """
    waiting = list(scripts)
    requests: list[bytes] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head and not head.startswith(b"\x16"):  # 0x16: a TLS greeting
                head += await stream.receive()
            requests.append(head)
            script = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            for step in [script] if isinstance(script, bytes) else script:
                if isinstance(step, bytes):
                    await stream.send(step)
                else:
                    await anyio.sleep(step)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no database here

    async def quietly(stream: anyio.abc.SocketStream) -> None:
        try:
            await serve(stream)
        except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            return

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, quietly)
        yield f"http://127.0.0.1:{port}", requests
        tasks.cancel_scope.cancel()


def names_in(directory: Path) -> list[str]:
    """The files in a directory."""
    return sorted(path.name for path in directory.iterdir())
