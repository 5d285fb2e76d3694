"""A host that does not read is not read either."""

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCNotification

from sutro_mcp.server.transports.early_answers import EarlyAnswers
from sutro_mcp.server.transports.stdio import Outgoing

pytestmark = pytest.mark.anyio

NOTE = SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/x"))


async def test_there_is_no_room_while_too_many_messages_are_unread() -> None:
    """Unread messages stay in memory, so no more are asked for."""
    send, receive = anyio.create_memory_object_stream[SessionMessage](0)
    async with receive, Outgoing(send, EarlyAnswers(None)) as outgoing, anyio.create_task_group() as tasks:
        for _ in range(255):
            tasks.start_soon(outgoing.send, NOTE)
        await anyio.wait_all_tasks_blocked()
        await outgoing.room(None)
        for _ in range(2):
            tasks.start_soon(outgoing.send, NOTE)
        await anyio.wait_all_tasks_blocked()
        has_room = anyio.Event()

        async def wait() -> None:
            await outgoing.room(None)
            has_room.set()

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not has_room.is_set()
        for _ in range(2):
            await receive.receive()
            await anyio.wait_all_tasks_blocked()
        assert has_room.is_set()
        for _ in range(255):
            await receive.receive()


async def test_a_message_that_is_given_up_takes_no_room() -> None:
    """A call may be cancelled while its answer waits."""
    send, receive = anyio.create_memory_object_stream[SessionMessage](0)
    async with receive, Outgoing(send, EarlyAnswers(None)) as outgoing:
        for _ in range(300):
            with anyio.move_on_after(0):
                await outgoing.send(NOTE)
        await outgoing.room(None)
