"""HTTP transports: no proxy from the environment, no socket left behind, and for links public addresses only.

A link is checked as text before (`check_artifact_url`); a name is judged here, by what it stands for at the
moment of connecting, and the connection goes to the very address that was judged.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import httpx

from .addresses import is_loopback, is_public

# Those of httpx itself.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)

Resolve = Callable[[str], Awaitable[Sequence[str]]]


class Transport(httpx.AsyncHTTPTransport):
    """Closes the socket also when a TLS handshake is cancelled, by a deadline or by who asked.

    httpcore 1.0.9 closes it when the handshake fails. Cancelled, it would stay open until the other side
    closes it, and one that keeps silent never does.
    """

    def __init__(self, tls: ssl.SSLContext, limits: httpx.Limits = _LIMITS) -> None:
        super().__init__(verify=tls, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        connected: Any = None
        in_handshake = False

        async def trace(event: str, info: dict[str, Any]) -> None:
            nonlocal connected, in_handshake
            match event:
                case "connection.connect_tcp.complete":
                    connected = info["return_value"]
                case "connection.start_tls.started":
                    in_handshake = True
                case "connection.start_tls.complete":
                    in_handshake = False
                case _:
                    pass

        request.extensions["trace"] = trace
        try:
            return await super().handle_async_request(request)
        except BaseException:
            if in_handshake:
                with anyio.CancelScope(shield=True):
                    await connected.aclose()
            raise
        finally:
            # Reading the body makes an event of each part.
            del request.extensions["trace"]


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
