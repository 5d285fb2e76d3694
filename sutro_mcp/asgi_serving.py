"""ASGI apps on loopback sockets: the one use of uvicorn, which leaves signals to the process.

uvicorn is imported when something is served: neither the emulator's import nor a stdio server pays for it.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

logger = logging.getLogger(__name__)

_REQUEST_SECONDS = 25.0
# Longer than balancers and clients keep one (nginx: 60): where the server closes first, a request on its way
# is lost.
_IDLE_SECONDS = 75
_CONNECTIONS = 512
_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that its port is known before anything is served. Raises OSError."""
    listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    # asyncio does this for sockets that it makes; without it each answer waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _room() -> int:
    """Connections that leave half of the process's descriptors to everything else."""
    try:
        import resource
    except ImportError:  # Windows
        return _CONNECTIONS
    return min(_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


@contextlib.asynccontextmanager
async def serving(
    app: Any,
    *sockets: socket.socket,
    grace_seconds: int,
    request_seconds: float = _REQUEST_SECONDS,
    most_connections: int = 0,
    trusted_proxies: Sequence[str] = (),
    log_level: str | None = None,
) -> AsyncGenerator[Callable[[], None]]:
    """Serve `app` until the block ends, which begins when connections are taken.

    Yields a function that ends the taking of connections. What is open at the end of the block has
    `grace_seconds` to finish. A connection is closed when a request on it is not complete after
    `request_seconds`, or when it is one more than `most_connections` (0: as many as there is room for);
    uvicorn would wait for ever, and run out of descriptors. What `trusted_proxies` say of the address of a
    caller is believed.
    """
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    most = most_connections or _room()

    class Connection(H11Protocol):
        """Closes what is one too many, or does not come to the end of a request."""

        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.trailing_data[0]:  # the next request has begun
                self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
                self._forget()
            elif self.late is None:
                self.late = asyncio.get_running_loop().call_later(request_seconds, self._give_up)

        def _forget(self) -> None:
            if self.late is not None:
                self.late.cancel()
                self.late = None

        def _give_up(self) -> None:
            logger.warning("a request was not complete after %g seconds", request_seconds)
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.write(_LATE)
            self.transport.close()

    class Server(uvicorn.Server):
        """Leaves signals alone, and says when it is up."""

        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            self.up = asyncio.Event()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.up.set()

        def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
            return contextlib.nullcontext()

    config = uvicorn.Config(
        app,
        http=Connection,
        interface="asgi3",  # uvicorn would guess wrong for a bound method
        lifespan="off",
        ws="none",
        backlog=64,  # taken in one go, before those too many are closed
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        server_header=False,
        access_log=False,
        log_config=None,
        log_level=log_level,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )
    server = Server(config)

    def stop() -> None:
        server.should_exit = True

    running = asyncio.create_task(server.serve(list(sockets)))
    try:
        await server.up.wait()
        yield stop
    finally:
        stop()
        await running
