"""MCP over Streamable HTTP at `/mcp`; `/healthz` is for monitoring.

Without authentication only loopback addresses are served, for hosts on this computer. The SDK's own runner
waits for open streams without limit (mcp 2.3.0); this one gives them a moment and ends them.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from hashlib import sha256

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sutro_mcp.asgi_serving import listen, serving
from sutro_mcp.concurrency import background
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.operations.admin_app import admin_app, metrics_of
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.settings import Settings

from .allowed_hosts import allowed_hosts
from .health import Health
from .http_admission import SESSIONS, Admission
from .open_requests import HttpRequests

# Calls may finish in the first; the second is when the process goes, whatever still runs.
_GRACE_SECONDS = 1.5
_EXIT_SECONDS = 3.5


def run_http(server: SutroServer, settings: Settings, announce: Callable[[str], None]) -> int:
    """Serve until a signal arrives; the exit code. `announce` gets a sentence with the URL when it works.

    Raises ConfigurationError when the address cannot be had.
    """
    return anyio.run(_run, HttpServer(server, settings, announce))


class HttpServer:
    """A server and its address, taken at once; raises ConfigurationError when it cannot be had."""

    def __init__(self, server: SutroServer, settings: Settings, announce: Callable[[str], None]) -> None:
        self._server = server
        self._announce = announce
        self._stopped = anyio.Event()
        self._drained = anyio.Event()
        self.drains_for = settings.drains_for
        self._trusted_proxies = settings.trusted_proxies
        self._digest = sha256(settings.model_dump_json().encode()).hexdigest()[:12]
        self._listening = _listen(settings.host, settings.port, "")
        authority = _authority(self._listening)
        self.url = f"http://{authority}/mcp"
        self.admin_url: str | None = None
        if settings.admin_port is not None:
            self._admin_listening = _listen(settings.admin_host, settings.admin_port, "ADMIN_")
            self.admin_url = f"http://{_authority(self._admin_listening)}"
            self._metrics = metrics_of(server)
        self._requests = http_app(server, settings, authority)
        # It logs every part of every answer at DEBUG.
        logging.getLogger("sse_starlette").setLevel(logging.INFO)

    async def serve(self) -> None:
        """Answer until `stop`, and then while it drains and open requests get to finish: 1.5 seconds."""
        grace = round(_EXIT_SECONDS)
        if self._server.audit is not None:
            await self._server.audit.record("serve MCP over HTTP", "start", "started", settings=self._digest)
        async with AsyncExitStack() as stack:
            # Sessions around uvicorn and not inside it: should they break, the process ends, and does not
            # linger as one that refuses everything.
            await stack.enter_async_context(self._server.session_manager.run())
            stack.enter_context(self._listening)
            close = await stack.enter_async_context(
                serving(
                    self._requests,
                    self._listening,
                    grace_seconds=grace,
                    trusted_proxies=self._trusted_proxies,
                )
            )
            said = f"Serving MCP at {self.url}. "
            if self.admin_url is not None:
                stack.enter_context(self._admin_listening)
                admin = admin_app(self._requests.is_ready, self._metrics)
                await stack.enter_async_context(serving(admin, self._admin_listening, grace_seconds=grace))
                said += f"Probes and metrics are at {self.admin_url}. "
            self._announce(f"{said}Stop it with Ctrl-C.")
            await self._stopped.wait()
            self._requests.is_draining = True
            with anyio.move_on_after(self.drains_for):
                await self._drained.wait()
            close()
            self._server.end_waits()
            await self._requests.finish(_GRACE_SECONDS)

    def stop(self) -> None:
        """Drain, take no more connections, let open requests finish, and end those that do not.

        Called again, it ends the draining.
        """
        if self._stopped.is_set():
            self._drained.set()
        self._stopped.set()


def http_app(server: SutroServer, settings: Settings, authority: str) -> HttpRequests:
    """The ASGI app. Its requests need `server.session_manager.run()` around them.

    `authority` is the Host under which the server reaches itself.
    """
    security = allowed_hosts(settings, authority)

    async def healthz(_: Request) -> Response:
        is_well = not requests.is_draining and await health.is_well()
        return JSONResponse(
            {"status": "ok" if is_well else "unavailable"},
            200 if is_well else 503,
            headers={"Cache-Control": "no-store"},
        )

    server.custom_route("/healthz", methods=["GET"])(healthz)
    if settings.auth == "oauth":
        from sutro_mcp.server.access.protected_resource_metadata import serve_metadata

        serve_metadata(server, settings)
    # Streams, not single JSON bodies, which lose progress and do not notice a client that hangs up.
    app = server.streamable_http_app(
        transport_security=security, max_sessions=SESSIONS, stateless_http=not settings.has_sessions
    )
    admission = Admission(app, server.session_manager, security)
    health = Health(admission, authority)
    if not settings.for_a_team:
        requests = HttpRequests(admission, health.is_well)
        return requests
    from sutro_mcp.server.access.authentication_modes import authenticate_by
    from sutro_mcp.server.access.guard import Guard

    authenticate = authenticate_by(settings, server)
    guard = Guard(admission, settings, authenticate, server.cancelling, server.audit)
    admission.refusal_of = guard.refusal_of
    could_authenticate = False

    async def is_well() -> bool:
        """Once callers could be known, an issuer that is down is no reason to turn them away."""
        nonlocal could_authenticate
        could_authenticate = could_authenticate or await authenticate.is_ready()
        return could_authenticate and await health.is_well()

    requests = HttpRequests(guard, is_well)
    return requests


def _authority(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int, which: str) -> socket.socket:
    try:
        return listen("127.0.0.1" if host == "localhost" else host, port)
    except OSError as error:
        raise ConfigurationError(
            f"serve HTTP on {host} port {port}",
            os.strerror(error.errno or 0).lower(),
            f"Choose another with SUTRO_MCP_{which}PORT or SUTRO_MCP_{which}HOST",
        ) from None


async def _run(http: HttpServer) -> int:
    code = 0

    async def on_signal() -> None:
        nonlocal code
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            code = 128 + await anext(signals)
            http.stop()
            with anyio.move_on_after(http.drains_for):
                await anext(signals)  # somebody does not want to wait for that
                http.stop()
            await anyio.sleep(_EXIT_SECONDS)
            os._exit(code)

    async with background() as watchers:
        if sys.platform != "win32":
            watchers.start_soon(on_signal)
        await http.serve()
    return code
