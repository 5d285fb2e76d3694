"""Clients that are told when a watched job changes, in both protocol eras.

A client of 2026 opens a stream (`subscriptions/listen`) and hears there of the resources that it named. An
older one subscribes to resources singly and hears of them on its connection, until it unsubscribes or goes.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp import MCPError, types
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated

from sutro_mcp.errors import SutroError, TemporaryError
from sutro_mcp.server.context import AppContext
from sutro_mcp.server.protocol.concurrency_limit import ConcurrencyLimit
from sutro_mcp.server.protocol.mcp_server import RESOURCE_NOT_FOUND, SutroServer, refusal
from sutro_mcp.server.uris import watchable_job

from .job_watcher import JobWatcher

logger = logging.getLogger(__name__)

RequestContext = ServerRequestContext[AppContext, Any]

# A connection that does not take a notification must not keep others from theirs.
_PATIENCE_SECONDS = 5.0
# As many as the SDK lets one handler have.
_MOST_STREAMS = 1024
# Each may cost a request at once, and more for as long as the stream is open.
_MOST_URIS = 50


class Subscribers:
    """The open streams and the subscribed connections of callers with one Sutro key."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self.stream = ListenHandler(self._bus)
        self.connections: dict[Connection, _Subscriber] = {}

    async def publish(self, uri: str) -> None:
        """Tell everyone who watches `uri` that it has changed."""
        await self._bus.publish(ResourceUpdated(uri))
        for subscriber in list(self.connections.values()):
            if uri in subscriber.uris:
                with anyio.move_on_after(_PATIENCE_SECONDS):
                    await subscriber.session.send_resource_updated(uri)


@dataclass
class _Subscriber:
    """A connection of an older version: how to reach it, and what it subscribed to."""

    session: ServerSession
    watcher: JobWatcher
    uris: set[str] = field(default_factory=set[str])

    def forget(self, uri: str) -> None:
        if uri in self.uris:
            self.uris.remove(uri)
            _release(self.watcher, [uri])

    def forget_all(self) -> None:
        for uri in list(self.uris):
            self.forget(uri)


class Subscriptions:
    """The requests by which clients begin and stop to watch. `serve` comes before all else."""

    def __init__(self, server: SutroServer, *, singly: bool) -> None:
        """Without `singly` older clients cannot subscribe: nothing would reach them."""
        self._server = server
        self._streams = ConcurrencyLimit(running=_MOST_STREAMS, queued=0, each=16)
        server.limits["subscriptions/listen"] = self._streams
        server.handle("subscriptions/listen", types.SubscriptionsListenRequestParams, self._listen)
        if singly:
            server.handle("resources/subscribe", types.SubscribeRequestParams, self._subscribe)
            server.handle("resources/unsubscribe", types.UnsubscribeRequestParams, self._unsubscribe)

    async def _listen(
        self, ctx: RequestContext, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """A stream, until the client ends it. What cannot be watched is missing in its acknowledgement.

        So is what comes after the first 50 resources.
        """
        app = ctx.lifespan_context
        wanted = list(dict.fromkeys(params.notifications.resource_subscriptions or []))[:_MOST_URIS]
        held: set[str] = set()

        async def hold(uri: str) -> None:
            try:
                await self._watch(app.watcher, uri)
            except SutroError as error:
                logger.info("a stream does without a resource: %s", error)
            else:
                held.add(uri)

        try:
            async with self._streams.slot("listen"):
                async with app.admitted("listen"), anyio.create_task_group() as tasks:
                    for uri in wanted:
                        tasks.start_soon(hold, uri)
                honoured = {"resource_subscriptions": [uri for uri in wanted if uri in held]}
                notifications = params.notifications.model_copy(update=honoured)
                stream = app.subscribers.stream
                return await stream(ctx, params.model_copy(update={"notifications": notifications}))
        except TemporaryError as error:
            raise MCPError(types.INTERNAL_ERROR, str(error)) from error
        finally:
            _release(app.watcher, held)

    async def _subscribe(
        self, ctx: RequestContext, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        watcher = ctx.lifespan_context.watcher
        connections = ctx.lifespan_context.subscribers.connections
        connection = _connection(ctx)
        if connection not in connections:
            connections[connection] = _Subscriber(ctx.session, watcher)
            connection.exit_stack.callback(lambda: connections.pop(connection).forget_all())
        subscriber = connections[connection]
        uri = str(params.uri)
        if uri not in subscriber.uris:
            try:
                async with ctx.lifespan_context.admitted("subscribe to this resource"):
                    await self._watch(watcher, uri)
            except SutroError as error:
                raise refusal(error, uri, RESOURCE_NOT_FOUND) from error
            if uri in subscriber.uris:
                # The same request again was faster.
                _release(watcher, [uri])
            subscriber.uris.add(uri)
        return types.EmptyResult()

    async def _unsubscribe(
        self, ctx: RequestContext, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        if subscriber := ctx.lifespan_context.subscribers.connections.get(_connection(ctx)):
            subscriber.forget(str(params.uri))
        return types.EmptyResult()

    async def _watch(self, watcher: JobWatcher, uri: str) -> None:
        """Watch a job. Other resources that are listed stay as they are: there is nothing to watch."""
        if watchable_job(uri) or uri not in {
            resource.uri for resource in await self._server.list_resources()
        }:
            await watcher.watch(uri)


def _connection(ctx: RequestContext) -> Connection:
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage] - the SDK has no public way


def _release(watcher: JobWatcher, uris: Iterable[str]) -> None:
    """Undo `_watch` once for each."""
    for uri in filter(watchable_job, uris):
        watcher.unwatch(uri)
