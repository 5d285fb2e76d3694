"""Access tokens of an issuer, checked as RFC 9068 and RFC 8725 want: a resource server's part in OAuth."""

import hashlib
from contextlib import suppress
from typing import Any, cast

import jwt
from starlette.datastructures import Headers

from sutro_mcp.errors import SutroError
from sutro_mcp.server.context import Principal, Scope
from sutro_mcp.settings import Settings

from .authentication import Authenticated, CredentialError, bearer_token
from .issuer_keys import IssuerKeys

_LONGEST = 8 * 1024
_LEEWAY_SECONDS = 30
_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")
_NOT_ACCEPTED = "The token is not one that this server accepts. Get an access token for it"


class AccessTokens:
    """Tokens of one issuer for one of our audiences."""

    def __init__(self, settings: Settings, keys: IssuerKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._audience = list(settings.oidc_audience or (settings.public_url or "",))

    async def is_ready(self) -> bool:
        with suppress(SutroError):
            await self._keys.find(None)
            return True
        return False

    async def __call__(self, headers: Headers) -> Authenticated:
        token = bearer_token(headers, _LONGEST)
        claims = await self._verified(token)
        _refuse_other_kinds(claims)
        subject = claims.get(self._settings.oidc_principal_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= 256 or not subject.isprintable():
            raise CredentialError("not for us", "The token does not say in the configured claim who you are")
        issuer = self._settings.oidc_issuer or ""
        client = claims.get("azp") or claims.get("client_id") or claims.get("appid")
        return Authenticated(
            Principal(
                id=f"{issuer} {subject}",
                label=subject,
                kind="oauth",
                scopes=self._scopes(claims),
                groups=tuple(_words(claims.get(self._settings.oidc_group_claim or ""))),
                issuer=issuer,
                client_id=client if isinstance(client, str) else None,
                token_id=hashlib.sha256(token.encode()).hexdigest()[:8],
            ),
            float(claims["exp"]) + _LEEWAY_SECONDS,
        )

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            kind, key_id = header.get("typ"), header.get("kid")
            if (kind if kind is None else str(kind).lower()) not in _TYPES:
                raise CredentialError("not for us", _NOT_ACCEPTED)
            key = await self._keys.find(key_id)
            if key is None:
                raise CredentialError(
                    "unknown", "The token is signed with a key that its issuer does not have"
                )
            if header.get("alg") not in key.algorithms:
                raise CredentialError("not for us", _NOT_ACCEPTED)
            return jwt.decode(
                token,
                key.key,
                algorithms=key.algorithms,
                audience=self._audience,
                issuer=self._settings.oidc_issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except SutroError:
            raise CredentialError("unavailable", "Tokens cannot be checked at the moment") from None
        except jwt.ExpiredSignatureError:
            raise CredentialError("expired", "The token has expired") from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise CredentialError(
                "not for us", "The token is for another server, or of another issuer"
            ) from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise CredentialError("malformed", _NOT_ACCEPTED) from None

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        claim = self._settings.oidc_scope_claim
        names = _words(claims.get(claim) if claim else claims.get("scope", claims.get("scp")))
        if self._settings.scope_cancel in names:
            return frozenset({"read", "cancel"})
        return frozenset({"read"} if self._settings.scope_read in names else ())


def _refuse_other_kinds(claims: dict[str, Any]) -> None:
    """Refuse an ID token, which tells a client who logged in, and what else an issuer signs."""
    kind = claims.get("typ")
    client = claims.get("azp") or claims.get("client_id")
    is_for_its_client = claims["aud"] in (client, [client])
    if {"nonce", "at_hash", "c_hash"} & claims.keys() or is_for_its_client or kind not in (None, "Bearer"):
        raise CredentialError("not for us", "This is no access token, but an ID token or another kind")


def _words(value: object) -> list[str]:
    """The words of a claim: a text with blanks, or a list."""
    if isinstance(value, str):
        return value.split()
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]
