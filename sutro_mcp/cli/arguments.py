"""The arguments of every command. Nothing here is about what a command does, so that `--help` is quick."""

import argparse
from typing import Any, NoReturn

from sutro_mcp.console import say, tell
from sutro_mcp.hosts.host_configs import HOSTS


def build_parser() -> argparse.ArgumentParser:
    """A parser whose `run` is where the function of the command is, as `module:name` of this package."""
    parser = _Parser(
        prog="sutro-mcp",
        description="MCP server for Sutro batch LLM inference (sutro.sh). Without a command: serve.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="serve MCP over stdio (the default) or HTTP")
    serve.add_argument("--transport", choices=["stdio", "http"], help="stdio (default), or Streamable HTTP")
    serve.add_argument("--host", help="where http listens (default 127.0.0.1; others need SUTRO_MCP_AUTH)")
    serve.add_argument("--port", help="where http listens (default 8000); 0 takes a free one")
    serve.add_argument(
        "--demo", action="store_true", default=None, help="serve demo jobs: no key, no network"
    )
    serve.add_argument("--read-only", action="store_true", default=None, help="without cancel and export")
    serve.add_argument("--cancel", choices=["off", "confirm", "elicit", "allow"], help="when cancel_job acts")
    serve.add_argument("--export-dir", metavar="DIR", help="folder of export_job_results (~/sutro-exports)")
    serve.add_argument("--views", choices=["on", "off"], help="the live view, for hosts that can show it")
    serve.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="what stderr gets")
    serve.set_defaults(run="serve_command:serve")

    demo = commands.add_parser("demo", help="show the product in under a minute")
    demo.add_argument("--view", action="store_true", help="serve the live view of jobs for a browser")
    demo.add_argument("--port", type=port, default=0, help="port of --view (default: a free one)")
    demo.set_defaults(run="demo_commands:demo")

    emulate = commands.add_parser("emulate", help="serve the Sutro emulator alone, for other clients")
    emulate.add_argument("--port", type=port, default=8787, help="port of the API; 0 takes a free one")
    emulate.add_argument(
        "--seconds", type=float, default=120.0, help="time in which an active job ends (default 120)"
    )
    emulate.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    emulate.set_defaults(run="demo_commands:emulate")

    check = commands.add_parser("check", help="say what is configured and whether it works")
    check.add_argument("--json", action="store_true", help="as one JSON object")
    check.set_defaults(run="setup_commands:check")

    config = commands.add_parser("config", help="print the configuration to paste into a host")
    config.add_argument("client", choices=sorted(HOSTS), metavar="HOST", help=", ".join(sorted(HOSTS)))
    which = config.add_mutually_exclusive_group()
    which.add_argument("--demo", action="store_true", help="the demo, which needs no key")
    which.add_argument(
        "--http",
        metavar="URL",
        type=http_url,
        help="a server that runs already, as serve --transport http does",
    )
    config.set_defaults(run="setup_commands:config")

    token = commands.add_parser("token", help="add, list or revoke tokens of a server for a team")
    token.set_defaults(run="token_command:token")
    token.add_argument("--file", help="the file of tokens (SUTRO_MCP_TOKENS_FILE)")
    actions = token.add_subparsers(dest="action", required=True, metavar="action")
    add = actions.add_parser("add", help="make a token and print it, once")
    add.add_argument("name", metavar="NAME", help="whose it is")
    scopes = ["sutro:read", "sutro:cancel"]
    add.add_argument("--scope", action="append", choices=scopes, help="what it may do (sutro:read)")
    add.add_argument("--expires", default="90d", help="30d, or never (default 90d)")
    actions.add_parser("list", help="list the tokens, which are themselves in no file")
    revoke = actions.add_parser("revoke", help="take the tokens of somebody back")
    revoke.add_argument("name", metavar="NAME", help="whose they are")
    revoke.add_argument("--id", help="only this one, by the first column of the list")
    return parser


def port(text: str) -> int:
    """`text` as a port; argparse names this function where it refuses one."""
    if not 0 <= (number := int(text)) <= 65535:
        raise ValueError
    return number


def http_url(text: str) -> str:
    """`text` as a URL of HTTP; argparse names this function where it refuses one."""
    from urllib.parse import urlsplit

    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return text


class _Parser(argparse.ArgumentParser):
    """Notices, unlike argparse, when it cannot write."""

    def error(self, message: str) -> NoReturn:
        tell(f"{self.format_usage()}{self.prog}: {message}")
        raise SystemExit(2)

    def print_help(self, file: Any = None) -> None:  # noqa: ARG002 - stdout is all that is asked for
        say(self.format_help().rstrip())


class _Version(argparse.Action):
    """Looks the version up when asked: reading package metadata is not free."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        say(f"sutro-mcp {version('sutro-mcp')}")
        parser.exit()
