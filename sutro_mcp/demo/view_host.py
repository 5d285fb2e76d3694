"""Hosts the page of `show_jobs` in a browser, over the demo: a small MCP host, on this computer only.

The browser shows the page in a frame without rights and passes its requests on; a real MCP client puts them
to a real server.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

from mcp import Client, MCPError
from mcp.client.extension import advertise
from mcp.client.stdio import StdioServerParameters
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import TextResourceContents
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sutro_mcp.asgi_serving import listen, serving

_PAGE = "ui://sutro-mcp/jobs.html"


async def host_view(port: int, env: Mapping[str, str], look: Callable[[str], Awaitable[None]]) -> None:
    """Serve the host at `port` (0: a free one) while `look`, which gets its address, runs.

    `env` is where the server finds its deployment. Raises MCPError and OSError.
    """
    server = StdioServerParameters(command=sys.executable, args=["-m", "sutro_mcp", "serve"], env=dict(env))
    shows_pages = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
    with listen("127.0.0.1", port) as listening:
        async with (
            Client(server, extensions=[shows_pages]) as client,
            serving(host_app(client), listening, grace_seconds=1, log_level="error"),
        ):
            await look(f"http://127.0.0.1:{listening.getsockname()[1]}/")


def host_app(client: Client) -> Starlette:
    """The app that the browser talks to: the host's page, the view, and the tools."""

    async def show_host(_: Request) -> Response:
        return HTMLResponse(files("sutro_mcp.demo").joinpath("host.html").read_text("utf-8"))

    async def show_view(_: Request) -> Response:
        (content,) = (await client.read_resource(_PAGE)).contents
        text = content.text if isinstance(content, TextResourceContents) else ""
        return JSONResponse({"html": text})

    async def call(request: Request) -> Response:
        asked: dict[str, Any] = await request.json()
        try:
            result = await client.call_tool(str(asked["name"]), asked.get("arguments"))
        except MCPError as error:
            return JSONResponse({"error": {"code": error.error.code, "message": error.error.message}})
        return JSONResponse({"result": result.model_dump(mode="json", by_alias=True, exclude_none=True)})

    return Starlette(
        routes=[Route("/", show_host), Route("/view", show_view), Route("/call", call, methods=["POST"])],
        # Another site must not reach it under a name of its own.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )
