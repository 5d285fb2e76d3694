"""MCP over stdin and stdout, with a life cycle that ends when it should.

The SDK's own runner refuses `initialize` after a `server/discover` probe, hangs on Ctrl-C, skips cleanup on
SIGTERM, can outlive its parent, and has no limits (mcp 2.3.0). This one answers probes without settling on a
protocol era, unwinds handlers and lifespan on every way out, leaves with the exit code that a shell expects,
reads with a bound (`jsonrpc_parsing`), stops reading while nobody reads what it writes, and writes nothing
once stdin has ended. It comes after `early_answers`, reads all that was read there, and answers the rest.
"""

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from io import StringIO
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import ObjectSendStream
from mcp.server.runner import serve_dual_era_loop
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse
from pydantic import RootModel

from sutro_mcp.concurrency import background
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.protocol.scrubbing import scrub_unasked

from .answer_recording import private_connection, record_answers, written
from .early_answers import EarlyAnswers
from .jsonrpc_parsing import BATCH_VERSION, Refusal, lines, read_batch, read_message

logger = logging.getLogger(__name__)

Incoming = SessionMessage | Exception

_CLEANUP_SECONDS = 2.0
_PARENT_POLL_SECONDS = 2.0
# Frames kept that came before the first request; the SDK's own loop keeps as many.
_LEAD_LIMIT = 8
# Above the calls that may run and wait, so that a reply to a question of ours is never stuck behind them.
_MAX_UNREAD = 256


def run_stdio(server: SutroServer, parent: int, early: EarlyAnswers) -> int:
    """Go on after `early` until stdin ends, a signal comes or the process `parent` is gone; the exit code."""
    try:
        anyio.run(_run, server, parent, early)
    except* (BrokenPipeError, anyio.BrokenResourceError):
        # The host closed its end of stdout: it has left, and that is no error of ours.
        logger.debug("stdout was closed")
    return 0


async def _run(server: SutroServer, parent: int, early: EarlyAnswers) -> None:
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
            await _serve(server, closed, early)


async def _on_signal(leave: Any) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            await leave(128 + number)


async def _on_orphaned(parent: int, leave: Any) -> None:
    # stdin ends with the parent, unless another process inherited the pipe's other end.
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of it
        await anyio.sleep(_PARENT_POLL_SECONDS)
    await leave(0)


async def _serve(server: SutroServer, closed: anyio.Event, early: EarlyAnswers) -> None:
    low = server._lowlevel_server  # pyright: ignore[reportPrivateUsage] - the SDK has no public way
    # The SDK's reader knows no limit, so it is given an empty file and this module reads. Its writer is used,
    # for it keeps whatever else is printed out of stdout.
    async with stdio_server(stdin=anyio.wrap_file(StringIO())) as (unused, wire):
        await unused.aclose()
        try:
            async with low.lifespan(low) as state:
                if early.recording is not None:
                    await record_answers(low, state, early.recording)
                early.end()
                await converse(low, state, early, wire)
        finally:
            closed.set()


async def converse(low: Any, state: Any, early: EarlyAnswers, wire: Any) -> None:
    """Answer on `wire` what `early` reads and has not answered, until there is nothing more to read."""
    outgoing = Outgoing(wire, early)
    incoming = _messages(outgoing, early)
    opening = await _open(low, state, incoming, outgoing)
    send, receive = anyio.create_memory_object_stream[Incoming](0)
    async with background() as tasks:
        tasks.start_soon(_relay, opening, incoming, send)
        options = low.create_initialization_options()
        await serve_dual_era_loop(low, receive, outgoing, lifespan_state=state, init_options=options)


class _Replies(RootModel[list[JSONRPCResponse | JSONRPCError]]):
    """The answer to a batch; the SDK writes it as it does a message."""


@dataclass
class _Batch:
    waiting: list[int | str]
    replies: list[JSONRPCResponse | JSONRPCError]


class Outgoing(ObjectSendStream[SessionMessage]):
    """The one way to stdout, for as long as stdin is open; `room` waits while too much of it is not read."""

    def __init__(self, wire: Any, early: EarlyAnswers) -> None:
        self._wire = wire
        self._early = early
        self._unread = 0
        self._is_over = False
        self._has_room = anyio.Event()
        self._batches: list[_Batch] = []

    async def send(self, item: SessionMessage) -> None:
        """Send one message, when the host reads it. What it has already is dropped, and all after `end`."""
        if self._is_over or self._was_given(item.message):
            return
        message = scrub_unasked(item.message)
        for batch in self._batches:
            if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id in batch.waiting:
                batch.waiting.remove(message.id)
                batch.replies.append(message)
                await self._send_complete()
                return
        await self._write(SessionMessage(message, item.metadata))

    async def gather(self, batch: list[JSONRPCMessage | Refusal]) -> None:
        """Send the replies to these messages as one, when all are there."""
        refused = [message.reply for message in batch if isinstance(message, Refusal)]
        asked = [message.id for message in batch if isinstance(message, JSONRPCRequest)]
        self._batches.append(_Batch(asked, [*refused]))
        await self._send_complete()

    async def expect_no(self, request_id: object) -> None:
        """Do not wait for the reply to a request that the client has cancelled."""
        for batch in self._batches:
            batch.waiting = [waiting for waiting in batch.waiting if waiting != request_id]
        await self._send_complete()

    async def _send_complete(self) -> None:
        complete = [batch for batch in self._batches if not batch.waiting]
        self._batches = [batch for batch in self._batches if batch.waiting]
        for batch in complete:
            if batch.replies:
                await self._write(SessionMessage(_Replies(batch.replies)))  # pyright: ignore[reportArgumentType]

    async def _write(self, item: SessionMessage) -> None:
        self._unread += 1
        try:
            await self._wire.send(item)
        finally:
            self._unread -= 1
            self._has_room.set()

    def end(self) -> None:
        """Send nothing more: hosts that close stdin crash on the late error of a call that was pending."""
        self._is_over = True

    def _was_given(self, message: JSONRPCMessage) -> bool:
        if not isinstance(message, JSONRPCResponse | JSONRPCError) or message.id not in self._early.given:
            return False
        if self._early.given.pop(message.id) != written(message):
            logger.error("what was answered at first is not what this server says; it is not kept")
            self._early.forget()
        self._has_room.set()
        return True

    async def room(self, last: int | str | None) -> None:
        """Wait until fewer than 256 messages are unread, and an early answer to `last` has been compared."""
        while self._unread >= _MAX_UNREAD or last in self._early.given:
            self._has_room = anyio.Event()
            await self._has_room.wait()

    async def aclose(self) -> None:
        await self._wire.aclose()


async def _messages(outgoing: Outgoing, early: EarlyAnswers) -> AsyncGenerator[SessionMessage]:
    """The messages that the host sends. Lines that are none are answered here."""

    async def read() -> bytes:
        return await anyio.to_thread.run_sync(early.read, abandon_on_cancel=True)

    last: int | str | None = None
    has_batches = False
    async for line in lines(read):
        await outgoing.room(last)
        found = read_batch(line) if has_batches else None
        if isinstance(found, list):
            await outgoing.gather(found)
            found = [message for message in found if not isinstance(message, Refusal)]
        else:
            found = [found or read_message(line)]
        for message in found:
            if isinstance(message, Refusal):
                await outgoing.send(SessionMessage(message.reply))
            elif message is not None:
                last = message.id if isinstance(message, JSONRPCRequest) else None
                if isinstance(message, JSONRPCRequest) and message.method == "initialize":
                    has_batches = (message.params or {}).get("protocolVersion") == BATCH_VERSION
                elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
                    await outgoing.expect_no((message.params or {}).get("requestId"))
                yield SessionMessage(message)
    outgoing.end()


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
            # On a connection of its own: it settles no era.
            async with private_connection(low, state) as ask:
                await outgoing.send(await ask(request))
            continue
        lead = [*lead[1 - _LEAD_LIMIT :], item]
        if isinstance(request, JSONRPCRequest):
            break
    return lead
