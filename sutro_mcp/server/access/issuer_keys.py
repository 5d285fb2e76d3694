"""The signing keys of an issuer of access tokens, as it publishes them.

They are kept for an hour. A token with a key that is not among them makes them be fetched anew, twice a
minute at most, so that unknown keys cannot make this server a weapon. While the issuer does not answer, the
last keys count.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import anyio
from jwt import PyJWK, PyJWTError

from sutro_mcp.errors import SutroError, UnexpectedReplyError
from sutro_mcp.settings import is_loopback

logger = logging.getLogger(__name__)

Fetch = Callable[[str, str], Awaitable[dict[str, object]]]
"""A JSON object from an address; the second argument says what for, in the words of an error."""

_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_KEPT_SECONDS = 3600.0
_PAUSE_SECONDS = 30.0
_DOING = "learn the issuer's signing keys"


class SigningKey(NamedTuple):
    """A key, and what it may sign with, which is not for a token to say."""

    key: Any
    algorithms: tuple[str, ...]


class IssuerKeys:
    """Keys by their id. `jwks_url` is looked up in the issuer's metadata if it is not given."""

    def __init__(
        self, issuer: str, jwks_url: str | None, fetch: Fetch, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._url = jwks_url
        self._fetch = fetch
        self._now = now
        self._keys: dict[str | None, SigningKey] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = anyio.Lock()

    @property
    def age_seconds(self) -> float | None:
        """How long ago they were fetched; None before that."""
        return self._now() - self._fetched if self._keys else None

    async def find(self, key_id: str | None) -> SigningKey | None:
        """The key `key_id`, or for None the only one. Raises SutroError before there are any."""
        began = self._now()
        is_needed = key_id not in self._keys
        is_old = began - self._fetched > _KEPT_SECONDS
        # Who could do with the old keys does not wait for those who fetch new ones.
        if is_needed or (is_old and not self._fetching.locked()):
            async with self._fetching:
                if began - self._tried > _PAUSE_SECONDS:
                    await self._renew()
        if not self._keys:
            raise UnexpectedReplyError(_DOING, "they could not be fetched")
        return self._keys.get(key_id)

    async def _renew(self) -> None:
        self._tried = self._now()
        try:
            url = self._url or await self._discover()
            keys = _read((await self._fetch(url, _DOING)).get("keys"))
        except SutroError as error:
            logger.warning("%s The last ones still count, if there are any.", error)
        else:
            self._keys, self._fetched = keys, self._now()

    async def _discover(self) -> str:
        """The address of the keys, in the metadata of OpenID Connect or of RFC 8414."""
        parts = urlsplit(self._issuer)
        path = parts.path.rstrip("/")
        try:
            url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            metadata = await self._fetch(url, _DOING)
        except SutroError:
            url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}"
            metadata = await self._fetch(url, _DOING)
        if metadata.get("issuer") != self._issuer:
            raise UnexpectedReplyError(_DOING, "its metadata name another issuer than SUTRO_MCP_OIDC_ISSUER")
        found = metadata.get("jwks_uri")
        if not isinstance(found, str) or not _is_safe(found, parts.hostname or ""):
            raise UnexpectedReplyError(_DOING, "its metadata have no HTTPS address of them")
        self._url = found
        return found


def _is_safe(url: str, issuer_host: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" or (
        parts.scheme == "http" and is_loopback(host) and is_loopback(issuer_host)
    )


def _read(found: object) -> dict[str | None, SigningKey]:
    """The keys that verify signatures; under None as well, where there is only one."""
    keys: dict[str | None, SigningKey] = {}
    for each in cast("list[object]", found) if isinstance(found, list) else []:
        if isinstance(each, dict) and cast("dict[str, object]", each).get("use", "sig") == "sig":
            fields = cast("dict[str, object]", each)
            key_id = fields.get("kid")
            try:
                key = PyJWK.from_dict(fields)
            except (PyJWTError, AttributeError):  # of a kind that the library does not know, or no key at all
                continue
            # A key of RSA that names no algorithm serves both.
            names = (
                ("RS256", "PS256")
                if key.algorithm_name == "RS256" and "alg" not in fields
                else (key.algorithm_name,)
            )
            if isinstance(key_id, str | None) and set(names) <= set(_ALGORITHMS):
                keys[key_id] = SigningKey(key.key, names)
    if not keys:
        raise UnexpectedReplyError(_DOING, "the issuer publishes none that can be used")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys
