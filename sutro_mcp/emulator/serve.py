"""The emulator on real sockets: the API and the store on two loopback ports. The only importer of uvicorn.

Logs errors to stderr and nothing to stdout. Connections the emulator cuts on purpose are not errors.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from .api_errors import ConnectionDroppedError
from .app import Emulator

if TYPE_CHECKING:
    import uvicorn

_GRACE = 1  # seconds a client that does not read may delay the shutdown


@contextlib.asynccontextmanager
async def serve(*, port: int = 0, store_port: int = 0, **emulator_kwargs: Any) -> AsyncGenerator[Emulator]:
    """Serve an emulator on 127.0.0.1; port 0 takes a free one. Its origins are the real ones.

    Signals stay with the caller: cancel the task, or leave the block.
    """
    with _listening(port) as api_socket, _listening(store_port) as store_socket:
        emulator = Emulator(
            api_origin=_origin(api_socket), store_origin=_origin(store_socket), **emulator_kwargs
        )
        server, up = _server(emulator)
        running = asyncio.create_task(server.serve([api_socket, store_socket]))
        try:
            await up.wait()
            yield emulator
        finally:
            emulator.account.closing = True
            server.should_exit = True
            await running


@contextlib.contextmanager
def serve_in_thread(*, port: int = 0, store_port: int = 0, **emulator_kwargs: Any) -> Generator[Emulator]:
    """The same for synchronous callers: the servers run in a thread until the block is left."""
    ready = threading.Event()
    leave = asyncio.Event()
    made: list[tuple[Emulator, asyncio.AbstractEventLoop]] = []
    failures: list[BaseException] = []

    async def run() -> None:
        async with serve(port=port, store_port=store_port, **emulator_kwargs) as emulator:
            made.append((emulator, asyncio.get_running_loop()))
            ready.set()
            await leave.wait()

    def body() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()  # a failed start must not leave the caller waiting

    thread = threading.Thread(target=body, name="sutro-emulator", daemon=True)
    thread.start()
    ready.wait()
    if failures:
        raise failures[0]
    emulator, loop = made[0]
    try:
        yield emulator
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join()


def _listening(port: int) -> socket.socket:
    listening = socket.create_server(("127.0.0.1", port))
    # asyncio does this for sockets that it makes; without it each answer waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _origin(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


def _server(emulator: Emulator) -> "tuple[uvicorn.Server, asyncio.Event]":
    import uvicorn

    class Server(uvicorn.Server):
        """Leaves signals to whoever started us, and says when it is up."""

        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            self.up = asyncio.Event()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.up.set()

        def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
            return contextlib.nullcontext()

    logging.getLogger("uvicorn.error").addFilter(_worth_telling)
    config = uvicorn.Config(
        emulator.app,
        interface="asgi3",  # uvicorn would guess wrong for a bound method
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
    )
    server = Server(config)
    return server, server.up


def _worth_telling(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ConnectionDroppedError | asyncio.CancelledError) and not str(
        record.msg
    ).startswith("Cancel ")
