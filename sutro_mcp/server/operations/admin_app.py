"""The operator's own port: probes, and the page that Prometheus reads. It asks for no credentials.

A probe says what its reader does next. Livez: whether to kill this process, so a slow upstream must not make
it fail. Readyz: whether to send calls here. Startupz: whether it has begun.
"""

import logging
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sutro_mcp.server.protocol.mcp_server import SutroServer

logger = logging.getLogger(__name__)

Page = Callable[[], tuple[bytes, str]]
"""Makes the page of the metrics: its text, and its media type."""

_UNCACHED = {"Cache-Control": "no-store"}


def metrics_of(server: SutroServer) -> Page | None:
    """The page about `server`, which is measured from now on; None where the library is not installed."""
    try:
        from .metrics import Metrics
    except ImportError:
        logger.warning("there are no metrics: install sutro-mcp[telemetry] for them")
        return None
    return Metrics(server).page


def admin_app(is_ready: Callable[[], Awaitable[bool]], page: Page | None) -> Starlette:
    """An ASGI app to be served once calls are; without `page` it says what would make one."""

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n", headers=_UNCACHED)

    async def readyz(_: Request) -> Response:
        ready = await is_ready()
        return PlainTextResponse("ok\n" if ready else "not ready\n", 200 if ready else 503, _UNCACHED)

    async def metrics(_: Request) -> Response:
        if page is None:
            return PlainTextResponse("Metrics need the extra: install sutro-mcp[telemetry].\n", 501)
        text, media_type = page()
        return Response(text, headers=_UNCACHED | {"Content-Type": media_type})

    return Starlette(
        routes=[
            Route("/livez", alive),
            Route("/readyz", readyz),
            Route("/startupz", alive),
            Route("/metrics", metrics),
        ]
    )
