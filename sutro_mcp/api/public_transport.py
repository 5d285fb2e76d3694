"""HTTP transports: no proxy from the environment, no socket left behind, and for links public addresses only.

A link is checked as text before (`check_artifact_url`); a name is judged here, by what it stands for at the
moment of connecting, and the connection goes to the very address that was judged.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import anyio
import httpcore
import httpx

from .addresses import is_loopback, is_public

# As much as asyncio takes from a socket at once.
_READ = 256 * 1024
# Those of httpx itself.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)

Resolve = Callable[[str], Awaitable[Sequence[str]]]


class Transport(httpx.AsyncHTTPTransport):
    """Reads much at a time, and closes the socket of each handshake that is not finished: see `_Stream`."""

    def __init__(self, tls: ssl.SSLContext, limits: httpx.Limits = _LIMITS) -> None:
        super().__init__(trust_env=False, verify=tls)
        # httpx has no parameter for the backend.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )


class _Network(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._backend.connect_tcp(*args, **kwargs))


class _Stream(httpcore.AsyncNetworkStream):
    """A connection of httpcore's that gives all that has come, and that no handshake leaves open.

    Each read passes eight layers. httpcore 1.0.9 asks for 64 KiB at a time, and TLS gives one record, 16 KiB.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._tls: ssl.SSLObject | None = stream.get_extra_info("ssl_object")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max(max_bytes, _READ), timeout)
        if self._tls is None or not data:
            return data
        size, records = len(data), [data]
        # Until the next record has yet to come. Another error comes again with the next read.
        with suppress(ssl.SSLError):
            while size < _READ and (record := self._tls.read(_READ)):
                records.append(record)
                size += len(record)
        return b"".join(records)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            # httpcore 1.0.9 closes the socket of a handshake that fails. Of one that is cancelled, by a
            # deadline or by who asked, it would stay open until the other side closes it, and one that
            # keeps silent never does.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class SharedTransport(httpx.AsyncBaseTransport):
    """A transport that outlives the clients that send through it."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.transport.handle_async_request(request)


class PrivateAddressError(Exception):
    """The host of a link has an address that downloads may not go to."""


class PublicTransport(httpx.AsyncBaseTransport):
    """Sends requests to hosts all of whose addresses are public.

    The name stays in the Host header and is what the certificate has to be for.
    """

    def __init__(self, tls: ssl.SSLContext, *, loopback: bool, resolve: Resolve | None = None) -> None:
        """With `loopback`, addresses of this machine are allowed as well."""
        self._tls = tls
        self._loopback = loopback
        self._resolve = resolve or _resolve
        # One for each name: a connection whose certificate was checked for one must not serve another.
        self._transports: dict[str, Transport] = {}
        self._pinned: dict[str, str] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Tries each address in turn until one accepts the connection, and stays with that one."""
        host = request.url.raw_host.decode("ascii")
        timeout: dict[str, Any] = request.extensions.get("timeout", {})
        limit: float | None = timeout.get("connect")
        pinned = self._pinned.get(host)
        *others, last = [pinned] if pinned else await self._checked(host, limit)
        timeout = timeout | {"connect": limit and limit / (len(others) + 1)}
        for address in others:
            try:
                return await self._send(request, host, address, timeout)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._send(request, host, last, timeout)

    async def _send(
        self, request: httpx.Request, host: str, address: str, timeout: dict[str, Any]
    ) -> httpx.Response:
        sent = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions | {"timeout": timeout, "sni_hostname": host},
        )
        try:
            response = await self._transport(host).handle_async_request(sent)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self._pinned.pop(host, None)
            raise
        self._pinned[host] = address
        return response

    async def aclose(self) -> None:
        while self._transports:
            await self._transports.popitem()[1].aclose()

    def allows(self, address: str) -> bool:
        """Whether a connection to `address` may be made."""
        return is_public(address) or (self._loopback and is_loopback(address))

    def _transport(self, host: str) -> Transport:
        if host not in self._transports:
            self._transports[host] = Transport(self._tls)
        return self._transports[host]

    async def _checked(self, host: str, limit: float | None) -> list[str]:
        """All addresses of `host`, if all may be connected to."""
        try:
            with anyio.fail_after(limit):
                found = list(dict.fromkeys(await self._resolve(host)))
        except TimeoutError:
            raise httpx.ConnectTimeout("the name was not resolved in time") from None
        except OSError as error:
            raise httpx.ConnectError("the name could not be resolved") from error
        if not all(map(self.allows, found)):
            raise PrivateAddressError
        return found


async def _resolve(host: str) -> list[str]:
    return [str(entry[4][0]) for entry in await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
