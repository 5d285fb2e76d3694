"""A bad line between a client and a server: slow, narrow, chopping, or cut after so many bytes.

It knows nothing of what passes; what is said on the line stays true.
"""

import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

import anyio
import anyio.abc


@dataclass
class Toxic:
    """Faults of the line towards the client. Defaults are those of a good one."""

    latency: float = 0.0
    """Seconds before each piece."""
    piece: int = 2**16
    """Bytes that travel together."""
    bytes_per_second: float | None = None
    reset_after: int | None = None
    """Bytes of a connection after which it is reset."""
    times: int = 10**9
    """Connections that `reset_after` still hits."""


async def relay(toxic: Toxic, port: int, client: anyio.abc.SocketStream) -> None:
    """Pass on between `client` and a port of this machine until either hangs up."""
    with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", port) as server,
            anyio.create_task_group() as both,
        ):

            async def requests() -> None:
                with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                    while True:
                        await server.send(await client.receive())
                both.cancel_scope.cancel()

            both.start_soon(requests)
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                await _replies(toxic, server, client)
            both.cancel_scope.cancel()


async def _replies(toxic: Toxic, server: anyio.abc.SocketStream, client: anyio.abc.SocketStream) -> None:
    passed = 0
    is_doomed = toxic.reset_after is not None and toxic.times > 0
    toxic.times -= is_doomed
    while True:
        data = await server.receive()
        for at in range(0, len(data), toxic.piece):
            piece = data[at : at + toxic.piece]
            if toxic.latency or toxic.bytes_per_second:
                await anyio.sleep(toxic.latency + len(piece) / (toxic.bytes_per_second or float("inf")))
            if is_doomed and toxic.reset_after is not None and passed + len(piece) >= toxic.reset_after:
                await client.send(piece[: toxic.reset_after - passed])
                hard_reset(client)
                return
            await client.send(piece)
            passed += len(piece)


def hard_reset(stream: anyio.abc.SocketStream) -> None:
    """Let the connection end with a reset rather than properly, when it is closed."""
    raw: socket.socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
