"""`sutro-mcp token`: add, list and revoke the tokens of a server for a team."""

import argparse
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sutro_mcp.console import say, tell
from sutro_mcp.server.access.token_file import SCOPES, add_token, list_tokens, revoke_tokens
from sutro_mcp.untrusted_text import quote

from .arguments import UsageError

_VARIABLE = "SUTRO_MCP_TOKENS_FILE"


def token(options: argparse.Namespace) -> int:
    """Do what `options.action` says; the exit code."""
    path = options.file or os.environ.get(_VARIABLE)
    if not path:
        raise UsageError(f"no file of tokens is named: add --file PATH, or set {_VARIABLE}")
    return {"add": _add, "list": _list, "revoke": _revoke}[options.action](Path(path).expanduser(), options)


def _add(path: Path, options: argparse.Namespace) -> int:
    expires = _expiry(options.expires)
    token = add_token(path, options.name, options.scope or SCOPES[:1], expires)
    until = f"until {expires:%Y-%m-%d}" if expires else "for ever"
    tell(f"A token for {options.name}, good {until}. It is shown this once; give it to them alone:")
    say(token)
    return 0


def _expiry(text: str) -> datetime | None:
    if text == "never":
        return None
    if not (match := re.fullmatch(r"([1-9][0-9]{0,3})d", text)):
        raise UsageError(f"--expires is {quote(text, 40)}: use days, as 90d, or never")
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=int(match[1]))


def _list(path: Path, _: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    for token in list_tokens(path):
        expires = f"{token.expires:%Y-%m-%d}" if token.expires else "never"
        state = "expired" if token.has_expired(now) else "expires"
        say(f"{token.token_id}  {token.name}  {','.join(token.scopes)}  {state} {expires}")
    return 0


def _revoke(path: Path, options: argparse.Namespace) -> int:
    gone = revoke_tokens(path, options.name, options.id)
    if not gone:
        tell(f"There is no such token of {quote(options.name, 100)}. `sutro-mcp token list` has them all.")
        return 1
    tell(f"Revoked {gone} of {options.name}. A server that runs notices within seconds.")
    return 0
