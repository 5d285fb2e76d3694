"""Callers and their credentials: what the modes have in common."""

import re
from typing import Literal, NamedTuple, Protocol

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers

from sutro_mcp.server.context import Principal

Reason = Literal["missing", "malformed", "unknown", "expired", "not for us", "unavailable"]

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class CredentialError(Exception):
    """A credential does not count. `why` is for the caller, and repeats nothing of it."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason: Reason = reason
        self.why = why


class Authenticated(NamedTuple):
    """A caller, and until when the credential counts, in seconds since 1970."""

    principal: Principal
    expires: float | None = None


class Authenticate(Protocol):
    """Finds the caller of a request."""

    async def __call__(self, headers: Headers, /) -> Authenticated:
        """The caller, by the headers of a request. Raises CredentialError."""
        ...

    async def is_ready(self) -> bool:
        """Whether callers can be found at the moment."""
        ...


class Caller(AuthenticatedUser):
    """A principal in the form by which the SDK keeps sessions apart. It holds no credential."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(
            AccessToken(
                token="-",  # noqa: S106 - the SDK wants one
                client_id=principal.client_id or principal.kind,
                scopes=sorted(principal.scopes),
                subject=principal.id,
            )
        )
        self.principal = principal


def bearer_token(headers: Headers, longest: int) -> str:
    """The one token in the header Authorization. Raises CredentialError."""
    given = headers.getlist("authorization")
    if not given:
        raise CredentialError("missing", "Send a token in the header Authorization: Bearer …")
    first, *more = given
    if more or len(first) > longest or not (match := _BEARER.fullmatch(first.strip())):
        raise CredentialError("malformed", "Send one header Authorization, with Bearer and a token")
    return match[1]
