"""MCP over stdin and stdout, with a life cycle that ends when it should.

The SDK's own runner refuses `initialize` after a `server/discover` probe, hangs on Ctrl-C, skips cleanup on
SIGTERM, can outlive its parent, and has no limits (mcp 2.3.0). This one answers probes without settling on a
protocol era, unwinds handlers and lifespan on every way out, leaves with the exit code that a shell expects,
reads with a bound (`jsonrpc_lines`), stops reading while nobody reads what it writes, and writes nothing once
stdin has ended.
"""

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from io import StringIO
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import ObjectSendStream
from mcp.server.runner import serve_dual_era_loop
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest

from sutro_mcp.concurrency import background
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.protocol.scrubbing import scrub_unasked

from .jsonrpc_lines import Refusal, lines, read_message

logger = logging.getLogger(__name__)

Incoming = SessionMessage | Exception

_CLEANUP_SECONDS = 2.0
_PARENT_POLL_SECONDS = 2.0
# Frames kept that came before the first request; the SDK's own loop keeps as many.
_LEAD_LIMIT = 8
_STDIN = 0
_CHUNK = 64 * 1024
# Above the calls that may run and wait, so that a reply to a question of ours is never stuck behind them.
_MAX_UNREAD = 256


def run_stdio(server: SutroServer, parent: int) -> int:
    """Serve until stdin ends, a signal arrives or the process `parent` is gone; the exit code."""
    try:
        anyio.run(_run, server, parent)
    except* (BrokenPipeError, anyio.BrokenResourceError):
        # The host closed its end of stdout: it has left, and that is no error of ours.
        logger.debug("stdout was closed")
    return 0


async def _run(server: SutroServer, parent: int) -> None:
    closed = anyio.Event()
    with anyio.CancelScope() as serving:

        async def leave(code: int) -> None:
            serving.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLEANUP_SECONDS):
                await closed.wait()
            # The thread that reads stdin sits in a system call and can never be joined. stdout is not
            # flushed: nobody may be reading it any more.
            os._exit(code)

        async def leave_behind_a_reader_that_stopped() -> None:
            # A host that no longer reads leaves the thread that writes stdout in a system call, too.
            await closed.wait()
            await anyio.sleep(_CLEANUP_SECONDS)
            os._exit(0)

        async with background() as watchers:
            watchers.start_soon(leave_behind_a_reader_that_stopped)
            if sys.platform != "win32":
                watchers.start_soon(_on_signal, leave)
                watchers.start_soon(_on_orphaned, parent, leave)
            await _serve(server, closed)


async def _on_signal(leave: Any) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            await leave(128 + number)


async def _on_orphaned(parent: int, leave: Any) -> None:
    # stdin ends with the parent, unless another process inherited the pipe's other end.
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of it
        await anyio.sleep(_PARENT_POLL_SECONDS)
    await leave(0)


async def _serve(server: SutroServer, closed: anyio.Event) -> None:
    low = server._lowlevel_server  # pyright: ignore[reportPrivateUsage] - the SDK has no public way
    options = low.create_initialization_options()
    # The SDK's reader knows no limit, so it is given an empty file and this module reads. Its writer is used,
    # for it keeps whatever else is printed out of stdout.
    async with stdio_server(stdin=anyio.wrap_file(StringIO())) as (unused, wire):
        await unused.aclose()
        outgoing = Outgoing(wire)
        incoming = _messages(outgoing)
        try:
            async with low.lifespan(low) as state:
                opening = await _open(low, state, incoming, outgoing)
                send, receive = anyio.create_memory_object_stream[Incoming](0)
                async with background() as tasks:
                    tasks.start_soon(_relay, opening, incoming, send)
                    await serve_dual_era_loop(
                        low, receive, outgoing, lifespan_state=state, init_options=options
                    )
        finally:
            closed.set()


class Outgoing(ObjectSendStream[SessionMessage]):
    """The one way to stdout, for as long as stdin is open; `room` waits while too much of it is not read."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self._unread = 0
        self._is_over = False
        self._has_room = anyio.Event()

    async def send(self, item: SessionMessage) -> None:
        """Send one message, when the host reads it. After `end` it is dropped."""
        if self._is_over:
            return
        self._unread += 1
        try:
            await self._wire.send(SessionMessage(scrub_unasked(item.message), item.metadata))
        finally:
            self._unread -= 1
            self._has_room.set()

    def end(self) -> None:
        """Send nothing more: hosts that close stdin crash on the late error of a call that was pending."""
        self._is_over = True

    async def room(self) -> None:
        """Wait until fewer than 256 messages are unread."""
        while self._unread >= _MAX_UNREAD:
            self._has_room = anyio.Event()
            await self._has_room.wait()

    async def aclose(self) -> None:
        await self._wire.aclose()


async def _messages(outgoing: Outgoing) -> AsyncGenerator[SessionMessage]:
    """The messages that the host sends. Lines that are none are answered here."""
    async for line in lines(_read):
        await outgoing.room()
        message = read_message(line)
        if isinstance(message, Refusal):
            await outgoing.send(SessionMessage(message.reply))
        elif message is not None:
            yield SessionMessage(message)
    outgoing.end()


async def _read() -> bytes:
    return await anyio.to_thread.run_sync(os.read, _STDIN, _CHUNK, abandon_on_cancel=True)


async def _relay(opening: list[Incoming], incoming: AsyncIterator[Incoming], send: Any) -> None:
    async with send:
        for item in opening:
            await send.send(item)
        async for item in incoming:
            await send.send(item)


async def _open(low: Any, state: Any, incoming: AsyncIterator[Incoming], outgoing: Any) -> list[Incoming]:
    """Answer probes until the first real request; that request and what came with it."""
    lead: list[Incoming] = []
    async for item in incoming:
        request = item.message if isinstance(item, SessionMessage) else None
        if isinstance(request, JSONRPCRequest) and request.method == "server/discover":
            await outgoing.send(await _probe(low, state, item))
            continue
        lead = [*lead[1 - _LEAD_LIMIT :], item]
        if isinstance(request, JSONRPCRequest):
            break
    return lead


async def _probe(low: Any, state: Any, request: Incoming) -> SessionMessage:
    """The reply to one `server/discover`, on a connection that nothing else will use."""
    to_server, from_client = anyio.create_memory_object_stream[Incoming](1)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](8)
    async with to_server, from_client, to_client, from_server, background() as tasks:
        tasks.start_soon(partial(serve_dual_era_loop, low, from_client, to_client, lifespan_state=state))
        await to_server.send(request)
        return await from_server.receive()
