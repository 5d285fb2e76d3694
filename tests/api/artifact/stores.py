"""Object stores made to order, behind a deployment with links to them."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from sutro_mcp.api import ApiClient, RemoteArtifact
from sutro_mcp.errors import SutroError
from sutro_mcp.results_spec import ResultsSpec
from tests.api.wire import JOB, PARQUET, Script, client, reply

LINK = "https://bucket.s3.example.com/x.parquet?X-Amz-Signature=canary"
SIZE = len(PARQUET)
OTHER = bytes(reversed(PARQUET))

Answer = Callable[[httpx.Request], httpx.Response]


def span(request: httpx.Request) -> tuple[int, int]:
    """The first byte a request wants, and the one after the last."""
    if "range" not in request.headers:
        return 0, SIZE
    first, last = request.headers["range"].removeprefix("bytes=").split("-")
    return int(first), int(last) + 1


def serve(
    body: bytes = PARQUET,
    *,
    etag: str | None = '"v1"',
    cut: int | None = None,
    failure: Exception | None = None,
    headers: Mapping[str, str] | None = None,
    length: bool = True,
    code: int | None = None,
) -> Answer:
    """The bytes asked for, as a store with ranges sends it; `cut` ends it early with `failure`."""

    def answer(request: httpx.Request) -> httpx.Response:
        start, stop = span(request)
        part = body[start:stop]
        sent = {"content-length": str(len(part))} if length else {}
        if "range" in request.headers:
            sent["content-range"] = f"bytes {start}-{stop - 1}/{SIZE}"
        if etag:
            sent["etag"] = etag
        status = code or (206 if "range" in request.headers else 200)
        return reply(status, part[:cut], headers={**sent, **(headers or {})}, failure=failure, length=False)

    return answer


def cut(at: int, etag: str | None = '"v1"', failure: Exception | None = None) -> Answer:
    """The connection breaks after `at` bytes of what was asked for."""
    return serve(cut=at, etag=etag, failure=failure or httpx.ReadError(LINK))


def whole_again(cut: int | None = None, etag: str | None = '"v1"') -> Answer:
    """As a store without ranges answers anything; `cut` breaks the connection."""
    headers = {"content-length": str(SIZE), **({"etag": etag} if etag else {})}
    failure = httpx.ReadError(LINK) if cut else None
    return lambda _: reply(200, PARQUET[:cut], headers=headers, failure=failure, length=False)


def status(code: int) -> Answer:
    return lambda _: reply(code, b"<Error/>")


def unreachable(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError(f"no route to {LINK}")


def store(*answers: Answer, offers: list[Mapping[str, Any]] | None = None) -> Script:
    """A deployment whose store gives these answers in turn, then works; so does the deployment with links."""
    waiting = list(answers)
    links: list[Mapping[str, Any]] = list(offers or [])

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "sutro.example.com":
            fields: Mapping[str, Any] = links.pop(0) if links else {}
            if isinstance(code := fields.get("status"), int):
                return reply(code, {"detail": "no"})
            return reply(
                200, {"job_id": JOB, "artifact": {"size_bytes": SIZE}, "urls": {"get": LINK}, **fields}
            )
        return (waiting.pop(0) if waiting else serve())(request)

    return Script(handler)


async def opened(api: ApiClient) -> RemoteArtifact:
    artifact = await api.open_results(ResultsSpec(JOB))
    assert artifact is not None
    return artifact


async def read(
    artifact: RemoteArtifact, start: int, stop: int, etag: str | None = None, got: bytearray | None = None
) -> bytes:
    """Those bytes; `got` has what came if they do not."""
    got = bytearray() if got is None else got
    async with aclosing(artifact.chunks(start, stop, etag)) as chunks:
        async for chunk in chunks:
            got += chunk
    return bytes(got)


def asked(transport: Script) -> list[tuple[str | None, str | None]]:
    """Range and If-Match of every request to the store."""
    return [
        (request.headers.get("range"), request.headers.get("if-match"))
        for request in transport.seen
        if request.url.host != "sutro.example.com"
    ]


def links(transport: Script) -> int:
    """How often a link was asked for."""
    return sum(request.url.host == "sutro.example.com" for request in transport.seen)


async def part(transport: Script, start: int = 100, stop: int = 9000, etag: str | None = None) -> bytes:
    """Those bytes of an artifact that is opened for it."""
    async with client(transport) as api:
        return await read(await opened(api), start, stop, etag)


async def failed(
    transport: Script, kind: type[SutroError], start: int = 100, stop: int = 9000, etag: str | None = None
) -> str:
    """The text of the error, which is of exactly that kind."""
    with pytest.raises(SutroError) as caught:
        await part(transport, start, stop, etag)
    assert type(caught.value) is kind
    assert "canary" not in repr(caught.value)
    return caught.value.happened
