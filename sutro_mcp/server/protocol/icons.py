"""The icons that a host may show beside our name: as data, as no address can be relied on from every host."""

from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import Any


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
