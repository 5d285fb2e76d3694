"""MCP over Streamable HTTP for hosts on this computer, at `/mcp`; `/healthz` is for whoever watches over it.

There is no authentication, so only loopback addresses are served, and Host and Origin are checked on each: a
web page in the user's browser must not reach the server through a name of its own. The SDK's own runner waits
for open streams without limit (mcp 2.3.0); this one gives them a moment and ends them.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sutro_mcp.concurrency import background
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.settings import Settings

from .health import answers_in_both_eras
from .http_shutdown import Exchanges, drop_with_the_client

_NAMES = ("127.0.0.1", "localhost", "[::1]")
# No honest call comes near: the longest argument is a query.
_BODY_BYTES = 1024 * 1024
_SESSIONS = 500
# Calls may finish in the first; the second is when the process goes, whatever still runs.
_GRACE_SECONDS = 1.5
_EXIT_SECONDS = 3.5


def run_http(server: SutroServer, settings: Settings, announce: Callable[[str], None]) -> int:
    """Serve until a signal arrives; the exit code. `announce` gets the URL when it can be used.

    Raises ConfigurationError when the address cannot be had.
    """
    return anyio.run(_run, HttpServer(server, settings, announce))


class HttpServer:
    """A server and its address, taken at once; raises ConfigurationError when it cannot be had."""

    def __init__(self, server: SutroServer, settings: Settings, announce: Callable[[str], None]) -> None:
        self._server = server
        self._listening = _listening(settings.host, settings.port)
        host, port = self._listening.getsockname()[:2]
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.url = f"http://{authority}/mcp"
        self._uvicorn = _Uvicorn(http_app(server, authority), lambda: announce(self.url))
        # It logs every part of every answer at DEBUG.
        logging.getLogger("sse_starlette").setLevel(logging.INFO)

    async def serve(self) -> None:
        """Answer until `stop`, and then for as long as open requests get to finish: 1.5 seconds."""
        # Around uvicorn and not inside it: should sessions break, the process ends, and does not linger as
        # one that refuses everything.
        with self._listening:
            async with self._server.session_manager.run():
                await self._uvicorn.serve([self._listening])

    def stop(self) -> None:
        """Take no more connections, let open requests finish, and end those that do not."""
        self._uvicorn.should_exit = True


def http_app(server: SutroServer, authority: str) -> Exchanges:
    """The ASGI app. Its requests need `server.session_manager.run()` around them.

    `authority` is the Host under which the server reaches itself.
    """
    security = TransportSecuritySettings(
        # Any port: a forwarded one is not ours.
        allowed_hosts=[authority, *_NAMES, *(f"{name}:*" for name in _NAMES)],
        allowed_origins=[f"http://{name}:*" for name in _NAMES],
    )
    guard = TransportSecurityMiddleware(security)

    async def healthz(request: Request) -> Response:
        if refusal := await guard.validate_request(request):
            return refusal
        if await answers_in_both_eras(server.session_manager.handle_request, authority):
            return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
        return JSONResponse({"status": "unavailable"}, 503, headers={"Cache-Control": "no-store"})

    server.custom_route("/healthz", methods=["GET"])(healthz)
    server.middleware.append(drop_with_the_client)
    # Streams, not single JSON bodies, which lose progress and do not notice a client that hangs up.
    return Exchanges(
        server.streamable_http_app(
            transport_security=security, max_request_body_size=_BODY_BYTES, max_sessions=_SESSIONS
        )
    )


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us, says when it listens, and ends what is open when it stops."""

    def __init__(self, exchanges: Exchanges, on_start: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                exchanges,
                interface="asgi3",
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=round(_EXIT_SECONDS),
            )
        )
        self._exchanges = exchanges
        self._on_start = on_start

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return contextlib.nullcontext() if sys.platform != "win32" else super().capture_signals()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._exchanges.drain, _GRACE_SECONDS)
            await super().shutdown(sockets)


async def _run(http: HttpServer) -> int:
    code = 0

    async def on_signal() -> None:
        nonlocal code
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            code = 128 + await anext(signals)
            http.stop()
            await anyio.sleep(_EXIT_SECONDS)
            os._exit(code)

    async with background() as watchers:
        if sys.platform != "win32":
            watchers.start_soon(on_signal)
        await http.serve()
    return code


def _listening(host: str, port: int) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"serve HTTP on {host} port {port}",
            os.strerror(error.errno or 0).lower(),
            "Choose another with --port or SUTRO_MCP_PORT, or --host or SUTRO_MCP_HOST",
        ) from None
    # asyncio does this for sockets that it makes; without it each answer waits 40 ms for a delayed ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
