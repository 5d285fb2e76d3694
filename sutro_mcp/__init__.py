"""Sutro batch inference (sutro.sh) over MCP, and as a typed Python client."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .library.sutro_client import SutroClient

__all__ = ["SutroClient"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `import sutro_mcp` stands at the start of every command, also of `--version`.
    if name == "SutroClient":
        from .library.sutro_client import SutroClient

        return SutroClient
    raise AttributeError(name)
