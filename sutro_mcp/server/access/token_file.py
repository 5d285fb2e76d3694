"""The file of hashed tokens: a line is the SHA-256 of a token, its owner, scopes, and when it expires.

A token has 256 random bits, so that a fast hash is enough. Nobody can learn a token from the file.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from stat import S_IMODE
from typing import TextIO

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.file_access import read_regular
from sutro_mcp.untrusted_text import quote

from .watched_file import reason

TOKEN = re.compile(r"smcp_[A-Za-z0-9_-]{43}")
SCOPES = ("sutro:read", "sutro:cancel")
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HEAD = "# Tokens of sutro-mcp: sha256 name scopes expires. Written by `sutro-mcp token`.\n"


@dataclass(frozen=True)
class TokenLine:
    """A token as the file knows it."""

    digest: str
    name: str
    scopes: tuple[str, ...]
    expires: datetime | None

    @property
    def token_id(self) -> str:
        """Eight hexadecimal digits that name the token in lists and logs."""
        return self.digest[:8]

    def has_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now

    def __str__(self) -> str:
        expires = self.expires.strftime("%Y-%m-%dT%H:%M:%SZ") if self.expires else "never"
        return f"{self.digest} {self.name} {','.join(self.scopes)} {expires}"


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def parse_tokens(text: str) -> dict[str, TokenLine]:
    """The tokens by their hash. Raises ValueError, which names the first line that is wrong."""
    return {token.digest: token for _, token in _lines(text) if token}


def _lines(text: str) -> Iterator[tuple[str, TokenLine | None]]:
    """Each line, and the token in it: comments and blank lines have none."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            yield line, None
            continue
        try:
            digest, name, scopes, expires = line.split()
            until = None if expires == "never" else datetime.fromisoformat(expires)
            token = TokenLine(digest, name, tuple(scopes.split(",")), until)
        except ValueError:
            token = None
        if (
            token is None
            or not _HASH.fullmatch(token.digest)
            or not set(token.scopes) <= set(SCOPES)
            or (token.expires is not None and token.expires.tzinfo is None)
        ):
            raise ValueError(f"line {number} is not: sha256 name scopes expires")
        yield line, token


def add_token(path: Path, name: str, scopes: Sequence[str], expires: datetime | None) -> str:
    """Add a token of `name` to the file, which is made if need be; the token, which nothing keeps."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "add a token",
            f"{quote(name, 100)} is no name",
            "Use up to 64 letters, digits and . _ @ -, and begin with a letter or digit",
        )
    token = f"smcp_{secrets.token_urlsafe(32)}"
    ordered = tuple(scope for scope in SCOPES if scope in scopes)
    line = TokenLine(digest_of(token), name, ordered, expires)
    with _rewriting(path, "add a token", missing=_HEAD) as (old, new):
        new.write("\n".join((*old.splitlines(), f"{line}\n")))
    return token


def revoke_tokens(path: Path, name: str, token_id: str | None = None) -> int:
    """Take the tokens of `name`, or of them the one `token_id`, out of the file: how many lines went."""
    gone = 0
    with _rewriting(path, "revoke a token") as (old, new):
        for line, token in _checked_lines(old, "revoke a token"):
            if token and token.name == name and token_id in (None, token.token_id):
                gone += 1
            else:
                new.write(f"{line}\n")
    return gone


def list_tokens(path: Path) -> list[TokenLine]:
    """The tokens in the order of the file. Raises ConfigurationError."""
    doing = "list the tokens"
    return [token for _, token in _checked_lines(_read(path, doing), doing) if token]


def _checked_lines(text: str, doing: str) -> list[tuple[str, TokenLine | None]]:
    try:
        return list(_lines(text))
    except ValueError as error:
        raise ConfigurationError(doing, str(error), "Correct or remove the line") from None


def _read(path: Path, doing: str, missing: str | None = None) -> str:
    try:
        return read_regular(path.resolve()).decode()
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise ConfigurationError(doing, f"there is no file {path}", "Say where it is with --file") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            doing, f"{path} cannot be read ({reason(error)})", "Choose another with --file"
        ) from None


@contextmanager
def _rewriting(path: Path, doing: str, missing: str | None = None) -> Generator[tuple[str, TextIO]]:
    """The text of the file, and a new file that replaces it whole: a server never reads half of it.

    The new file is made before the old one is read, and keeps other commands out, so that none of them writes
    back what this one takes out. A link to the file stays a link, and rights stay as they were.
    """
    path = path.resolve()
    new = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with ExitStack() as undo:
            undo.callback(new.unlink)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                yield _read(path, doing, missing), file
                _keep_rights(path, descriptor)
                file.flush()
                os.fsync(descriptor)
            new.replace(path)
            undo.pop_all()
    except FileExistsError:
        raise ConfigurationError(
            doing, f"another command is writing {path}", f"Try again, or remove {new} if none is"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            doing, f"{path} cannot be written ({reason(error)})", "Choose another with --file"
        ) from None


def _keep_rights(path: Path, descriptor: int) -> None:
    """Give a new file owner and mode of the old one: a server may run as another user than an operator.

    Raises OSError, if the owner cannot be kept: the server might not be able to read the file any more.
    """
    if not hasattr(os, "fchown"):  # Windows
        return
    with suppress(FileNotFoundError):
        old, new = path.stat(), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, S_IMODE(old.st_mode))
