"""Clients for many keys of one deployment, over the same network connections.

A key is put into each request and never into a connection, so a connection that one key used serves the next;
a TLS context and idle connections for each key would cost a hundred times what the rest of a client does.
"""

import httpx

from .client import ApiClient
from .credentials import Connection
from .public_transport import PublicTransport, Transport

# Each client limits itself; httpx would let six busy ones keep all others waiting.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)


class ClientPool:
    """Makes clients that need no closing. Close the pool after the last of them."""

    def __init__(self) -> None:
        self._transports: dict[bool, tuple[_Shared, _Shared]] = {}

    def client(self, connection: Connection) -> ApiClient:
        """A client with budget, breaker and limits of its own."""
        loopback = connection.on_loopback
        if loopback not in self._transports:
            tls = httpx.create_ssl_context(trust_env=False)
            public = PublicTransport(tls, loopback=loopback)
            self._transports[loopback] = _Shared(Transport(tls, _LIMITS)), _Shared(public)
        transport, blob_transport = self._transports[loopback]
        return ApiClient(connection, transport=transport, blob_transport=blob_transport)

    async def aclose(self) -> None:
        """Close all connections."""
        for transports in self._transports.values():
            for each in transports:
                await each.transport.aclose()


class _Shared(httpx.AsyncBaseTransport):
    """A transport that outlives the clients that send through it."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.transport.handle_async_request(request)
