"""Being told of changed resources, whatever the protocol era and the transport."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from mcp import Client, types
from mcp.client.session import IncomingMessage

MODERN = "2026-07-28"


class Updates:
    """The URIs that a client was told of. It has to be the message handler of that client."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._change = anyio.Event()

    async def __call__(self, message: IncomingMessage) -> None:
        """A notification, on a stream or on the connection."""
        if isinstance(message, types.ResourceUpdatedNotification):
            self._told.append(str(message.params.uri))
            self._change.set()
            self._change = anyio.Event()

    async def next(self) -> str:
        """The next URI; the test fails if none comes."""
        with anyio.fail_after(60):
            while not self._told:
                await self._change.wait()
        return self._told.pop(0)

    @property
    def waiting(self) -> int:
        """How many have come that nobody asked for."""
        return len(self._told)

    @asynccontextmanager
    async def watching(self, client: Client, *uris: str) -> AsyncGenerator[list[str]]:
        """Watches `uris` until the block ends; the ones that the server agreed to."""
        if client.protocol_version == MODERN:
            async with client.listen(resource_subscriptions=uris) as stream:
                yield stream.honored.resource_subscriptions or []
            return
        for uri in uris:
            request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
            await client.session.send_request(request, types.EmptyResult)
        yield list(uris)
        for uri in uris:
            ending = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
            await client.session.send_request(ending, types.EmptyResult)
