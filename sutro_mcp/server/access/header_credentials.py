"""Credentials in a header that hosts are configured with: tokens of ours, or the caller's own Sutro key."""

import hashlib
import logging
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from starlette.datastructures import Headers

from sutro_mcp.api import ApiKey
from sutro_mcp.server.context import Principal, Scope

from .authentication import Authenticated, CredentialError, bearer_token
from .token_file import TOKEN, digest_of, parse_tokens
from .watched_file import WatchedFile, reason

logger = logging.getLogger(__name__)

_SCOPES: dict[str, frozenset[Scope]] = {
    "sutro:read": frozenset({"read"}),
    "sutro:cancel": frozenset({"read", "cancel"}),
}
_KEY = re.compile(r"[\x21-\x7e]{8,512}")


class BearerTokens:
    """Tokens whose hashes are in a file."""

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, parse_tokens)

    async def is_ready(self) -> bool:
        with suppress(OSError, ValueError):
            self._file.value()
            return True
        return False

    async def __call__(self, headers: Headers) -> Authenticated:
        token = bearer_token(headers, 200)
        try:
            tokens = self._file.value()
        except (OSError, ValueError) as error:
            logger.error("nobody is let in, as the tokens file cannot be used: %s", reason(error))
            raise CredentialError("unavailable", "Tokens cannot be checked at the moment") from None
        # A look-up by the hash: its time says nothing of the token.
        line = tokens.get(digest_of(token)) if TOKEN.fullmatch(token) else None
        if line is None:
            raise CredentialError("unknown", "There is no such token. Ask the operator for one")
        if line.has_expired(datetime.now(UTC)):
            raise CredentialError("expired", "The token has expired. Ask the operator for another")
        return Authenticated(
            Principal(
                id=f"bearer {line.name}",
                label=line.name,
                kind="bearer",
                scopes=frozenset[Scope]().union(*(_SCOPES[scope] for scope in line.scopes)),
                token_id=line.token_id,
            ),
            line.expires.timestamp() if line.expires else None,
        )


class OwnKeys:
    """Callers with Sutro keys of their own. Whether a key counts, Sutro says."""

    async def is_ready(self) -> bool:
        return True

    async def __call__(self, headers: Headers) -> Authenticated:
        given = headers.getlist("x-sutro-key")
        if not given:
            raise CredentialError("missing", "Send your Sutro key in the header X-Sutro-Key")
        value, *more = given
        if more or not _KEY.fullmatch(value):
            raise CredentialError(
                "malformed", "Send one Sutro key in the header X-Sutro-Key, and nothing else"
            )
        key = ApiKey(value, "X-Sutro-Key", of_caller=True)
        # The same on every replica, and when the keys of replicas change; nobody guesses a key from it.
        name = hashlib.sha256(b"sutro-mcp principal\0" + value.encode()).hexdigest()[:32]
        return Authenticated(
            Principal(
                id=f"sutro-key {name}",
                label=name[:8],
                kind="sutro-key",
                scopes=frozenset({"read", "cancel"}),
                token_id=key.fingerprint,
                sutro_key=key,
            )
        )
