"""`sutro-mcp token`: add, list and revoke the tokens of a server for a team."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sutro_mcp.console import say, tell
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.access.token_file import SCOPES, add_token, list_tokens, revoke_tokens

_VARIABLE = "SUTRO_MCP_TOKENS_FILE"


def run(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    """Do what `arguments` after the command's own name say; the exit code. `parser` is an empty one."""
    actions = parser.add_subparsers(required=True, metavar="action")

    def action(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text)
        parser.add_argument("--file", type=Path, help=f"the file of tokens ({_VARIABLE})")
        parser.set_defaults(run=run)
        return parser

    add = action("add", _add, "make a token and print it, once")
    add.add_argument("name", metavar="NAME", help="whose it is")
    add.add_argument("--scope", action="append", choices=SCOPES, help="what it may do (sutro:read)")
    add.add_argument("--expires", type=lifetime, default="90d", help="30d, or never (default 90d)")
    action("list", _list, "list the tokens, which are themselves in no file")
    revoke = action("revoke", _revoke, "take the tokens of somebody back")
    revoke.add_argument("name", metavar="NAME", help="whose they are")
    revoke.add_argument("--id", help="only this one, by the first column of the list")
    options = parser.parse_args(arguments)
    return int(options.run(options))


def lifetime(text: str) -> timedelta | None:
    """Days such as 90d, or never; argparse names this function where it refuses a text."""
    if text == "never":
        return None
    if not (match := re.fullmatch(r"([1-9][0-9]{0,3})d", text)):
        raise ValueError
    return timedelta(days=int(match[1]))


def _file(options: argparse.Namespace) -> Path:
    path = options.file or os.environ.get(_VARIABLE)
    if not path:
        raise ConfigurationError(
            "find the tokens", "no file is named", f"Add --file PATH, or set {_VARIABLE}"
        )
    return Path(path).expanduser()


def _add(options: argparse.Namespace) -> int:
    now = datetime.now(UTC).replace(microsecond=0)
    expires = None if options.expires is None else now + options.expires
    token = add_token(_file(options), options.name, options.scope or SCOPES[:1], expires)
    until = f"until {expires:%Y-%m-%d}" if expires else "for ever"
    tell(f"A token for {options.name}, good {until}. It is shown this once; give it to them alone:")
    say(token)
    return 0


def _list(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    for token in list_tokens(_file(options)):
        expires = f"{token.expires:%Y-%m-%d}" if token.expires else "never"
        state = "expired" if token.has_expired(now) else "expires"
        say(f"{token.token_id}  {token.name}  {','.join(token.scopes)}  {state} {expires}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    gone = revoke_tokens(_file(options), options.name, options.id)
    if not gone:
        tell(f"There is no such token of {options.name}. `sutro-mcp token list` has them all.")
        return 1
    tell(f"Revoked {gone} of {options.name}. A server that runs notices within seconds.")
    return 0
