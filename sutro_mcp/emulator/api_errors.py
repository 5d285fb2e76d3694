"""An answer that is not a success, raised where it is noticed and shaped in one place (`sutro-api.md` §8)."""

from typing import Any

GONE = (
    "Direct Sutro Batch API access is no longer supported by the Sutro SDK. "
    "Upgrade the sutro package, then set SUTRO_API_URL to your Sutro "
    "single-tenant deployment URL and use an API key from that deployment's "
    "API Keys panel."
)
"""The service's own words; the official SDK recognises exactly these (§8, 410)."""


class ApiError(Exception):
    """Becomes a JSON answer with this status; `detail` is a string, or a list for validation errors."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


class ConnectionDroppedError(ConnectionResetError):
    """Leaves the app in the middle of a body: a server closes the socket, an in-process client sees this."""


def invalid(place: str, name: str, message: str, kind: str) -> ApiError:
    """A 422 in the framework's list form."""
    return ApiError(422, [{"type": kind, "loc": [place, name], "msg": message}])
