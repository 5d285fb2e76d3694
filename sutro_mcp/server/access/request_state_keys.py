"""The keys that seal what a question to a person remembers, the same on every replica."""

from pathlib import Path

from mcp.server.context import ServerRequestContext
from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState, RequestStateSecurity

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.context import principal_in

from .watched_file import WatchedFile, reason

_SHORTEST = 32


def request_state_security(path: Path | None) -> RequestStateSecurity:
    """Sealing for the caller alone: with the keys in the file `path`, or with one that nobody else has.

    The first line seals and every line opens, so that keys can be changed replica by replica. Raises
    ConfigurationError when the file cannot be used.
    """
    if path is None:
        return RequestStateSecurity.ephemeral()
    ring = _KeyRing(path)
    try:
        ring.codec()
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "share keys with other replicas",
            f"the file named by SUTRO_MCP_STATE_KEYS_FILE cannot be used ({reason(error)})",
            "Put at least 32 random characters on each of its lines",
        ) from None
    return RequestStateSecurity(codec=ring, bind_principal=_principal)


class _KeyRing:
    """A codec of the SDK whose keys are read again when they change."""

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, _codec)

    def codec(self) -> AESGCMRequestStateCodec:
        return self._file.value()

    def seal(self, payload: bytes) -> str:
        return self.codec().seal(payload)

    def unseal(self, token: str) -> bytes:
        try:
            return self.codec().unseal(token)
        except (OSError, ValueError) as error:
            raise InvalidRequestState(f"no keys: {reason(error)}") from None


def _codec(text: str) -> AESGCMRequestStateCodec:
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    if not keys or min(map(len, keys)) < _SHORTEST:
        raise ValueError("a key is missing or too short")
    return AESGCMRequestStateCodec(keys)


def _principal(ctx: ServerRequestContext) -> str | None:
    if ctx.request is None:
        return None
    principal = principal_in(ctx.request.scope)
    return f"{principal.client_id} {principal.id}"
