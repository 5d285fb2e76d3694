"""ASGI apps on loopback sockets: the one use of uvicorn, which leaves signals to the process.

uvicorn is imported when something is served: neither the emulator's import nor a stdio server pays for it.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that its port is known before anything is served. Raises OSError."""
    listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    # asyncio does this for sockets that it makes; without it each answer waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


@contextlib.asynccontextmanager
async def serving(
    app: Any, *sockets: socket.socket, grace_seconds: int, log_level: str | None = None
) -> AsyncGenerator[Callable[[], None]]:
    """Serve `app` until the block ends, which begins when connections are taken.

    Yields a function that ends the taking of connections. What is open at the end of the block has
    `grace_seconds` to finish.
    """
    import uvicorn

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
        interface="asgi3",  # uvicorn would guess wrong for a bound method
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level=log_level,
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
