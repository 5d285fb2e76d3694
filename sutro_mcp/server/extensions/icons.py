"""The icons that a host may show beside our name.

They come as data, as no address can be relied on from every host; so they are told once, when a connection
is opened. As a part of the server's info they would come with every result of the 2026 protocol.
"""

from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import Any, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import SERVER_INFO_META_KEY

_SINCE = "2025-11-25"


async def show_icons(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: adds the icons to what opens a connection, in both protocol eras."""
    result = await call_next(ctx)
    if isinstance(result, dict):
        if ctx.method == "server/discover":
            _add_icons(result.get("_meta", {}).get(SERVER_INFO_META_KEY))
        elif ctx.method == "initialize" and result["protocolVersion"] >= _SINCE:
            _add_icons(result.get("serverInfo"))
    return result


def _add_icons(info: object) -> None:
    if isinstance(info, dict):
        cast("dict[str, Any]", info)["icons"] = icons()


@cache
def icons() -> list[dict[str, Any]]:
    """For light and for dark surroundings."""
    return [
        {"src": _data_uri(f"{theme}.png"), "mimeType": "image/png", "sizes": ["96x96"], "theme": theme}
        for theme in ("light", "dark")
    ]


def _data_uri(file: str) -> str:
    image = files("sutro_mcp.server").joinpath(f"icons/{file}").read_bytes()
    return f"data:image/png;base64,{b64encode(image).decode()}"
