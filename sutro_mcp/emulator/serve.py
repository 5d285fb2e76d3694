"""The emulator on real sockets: the API and the store on two loopback ports.

Logs errors to stderr and nothing to stdout. Connections the emulator cuts on purpose are not errors.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, Generator
from typing import Any

from anyio.from_thread import start_blocking_portal

from sutro_mcp.asgi_serving import listen, serving

from .api_errors import ConnectionDroppedError
from .app import Emulator

_HOST = "127.0.0.1"
_GRACE = 1  # seconds a client that does not read may delay the shutdown


@contextlib.asynccontextmanager
async def serve(*, port: int = 0, store_port: int = 0, **emulator_kwargs: Any) -> AsyncGenerator[Emulator]:
    """Serve an emulator on 127.0.0.1; port 0 takes a free one. Its origins are the real ones.

    Signals stay with the caller: cancel the task, or leave the block.
    """
    with listen(_HOST, port) as api_socket, listen(_HOST, store_port) as store_socket:
        emulator = Emulator(
            api_origin=_origin(api_socket), store_origin=_origin(store_socket), **emulator_kwargs
        )
        logging.getLogger("uvicorn.error").addFilter(_worth_telling)
        async with serving(emulator.app, api_socket, store_socket, grace_seconds=_GRACE, log_level="error"):
            try:
                yield emulator
            finally:
                emulator.account.closing = True


@contextlib.contextmanager
def serve_in_thread(**options: Any) -> Generator[Emulator]:
    """The same for synchronous callers: the servers run in a thread until the block is left."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve(**options)) as emulator:
        yield emulator


def _origin(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


def _worth_telling(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ConnectionDroppedError | asyncio.CancelledError) and not str(
        record.msg
    ).startswith("Cancel ")
