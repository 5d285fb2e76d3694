"""The Sutro key that serves a caller: the one that was brought, the person's, a group's, or the server's."""

import os
import string
from collections.abc import Callable, Iterator

from sutro_mcp.api import Connection, deployment_url, key_of_caller
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.context import Principal
from sutro_mcp.settings import Settings

_PLAIN = frozenset(string.ascii_letters + string.digits + ".-")


class SutroKeys:
    """Finds keys as the settings say; the URL is the operator's. Raises ConfigurationError."""

    def __init__(self, settings: Settings, shared: Callable[[], Connection]) -> None:
        """`shared` is the server's own key, with its URL."""
        self._shared = shared if settings.shared_key or settings.demo else None
        self._folder = settings.keys_dir and settings.keys_dir.expanduser()
        self._url = shared().base_url if settings.demo else deployment_url(os.environ)

    def __call__(self, principal: Principal) -> Connection:
        if (key := principal.sutro_key) is not None:
            return Connection(self._url, key, "the operator", "the caller")
        for name in _file_names(principal):
            if self._folder and (key := key_of_caller(self._folder / name)) is not None:
                return Connection(self._url, key, "the operator", name)
        if self._shared is not None:
            return self._shared()
        raise ConfigurationError(
            "use Sutro for you",
            f"this server has no Sutro key for {principal.label}",
            f"Ask its operator to put one into the file {next(_file_names(principal))} of its keys folder",
        )


def _file_names(principal: Principal) -> Iterator[str]:
    """The names that files with a caller's key may have, the first one best."""
    yield f"principal-{_escaped(principal.label)}"
    yield from (f"group-{_escaped(group)}" for group in sorted(principal.groups))


def _escaped(name: str) -> str:
    """`name` as the key of a Kubernetes Secret can be spelled, no two names alike."""
    return "".join(
        char if char in _PLAIN else "".join(f"_{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in name
    )
