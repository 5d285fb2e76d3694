"""The arguments of every command. Nothing here is about what a command does, so that `--help` is quick."""

import argparse
from typing import Any, NoReturn, cast

from sutro_mcp.console import say
from sutro_mcp.hosts.config_snippets import HOSTS


class UsageError(Exception):
    """The arguments do not fit. `usage` is what would."""

    def __init__(self, message: str, command: str = "sutro-mcp", usage: str = "") -> None:
        super().__init__(message)
        self.command = command
        self.usage = usage


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
    serve.add_argument("--port", type=port, help="where http listens (default 8000); 0 takes a free one")
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
    check.add_argument("--demo", action="store_true", help="what serve --demo would have")
    check.add_argument("--token", choices=["-"], help="try a caller's token, which is read from stdin (-)")
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
    place = _Parser(add_help=False)
    place.add_argument("--file", help="the file of tokens (SUTRO_MCP_TOKENS_FILE)")
    actions = token.add_subparsers(dest="action", required=True, metavar="action")
    add = actions.add_parser("add", parents=[place], help="make a token and print it, once")
    add.add_argument("name", metavar="NAME", help="whose it is")
    scopes = ["sutro:read", "sutro:cancel"]
    add.add_argument("--scope", action="append", choices=scopes, help="what it may do (sutro:read)")
    add.add_argument("--expires", default="90d", help="30d, or never (default 90d)")
    actions.add_parser("list", parents=[place], help="list the tokens, which are themselves in no file")
    revoke = actions.add_parser("revoke", parents=[place], help="take the tokens of somebody back")
    revoke.add_argument("name", metavar="NAME", help="whose they are")
    revoke.add_argument("--id", help="only this one, by the first column of the list")
    _add_jobs(commands)
    _add_results(commands)

    completion = commands.add_parser("completion", help="print what makes a shell complete this command")
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])
    completion.set_defaults(run="shell_completion:completion")
    return parser


def _add_jobs(commands: Any) -> None:
    jobs = commands.add_parser("jobs", help="find jobs, newest first")
    _add_filters(jobs)
    jobs.add_argument(
        "--sort",
        choices=["created", "runtime", "cost", "rows"],
        default="created",
        help="newest (default) or largest first",
    )
    jobs.add_argument("--limit", type=positive, default=20, metavar="N", help="at most so many (default 20)")
    _add_shared(jobs, "job_commands:jobs")

    totals = commands.add_parser("totals", help="count jobs, and add up rows, tokens and cost")
    totals.add_argument(
        "--by", choices=["status", "model", "day", "priority"], default="status", help="groups (status)"
    )
    _add_filters(totals)
    _add_shared(totals, "totals_command:totals")

    job = commands.add_parser("job", help="show one job")
    _add_job_id(job, "any")
    _add_shared(job, "job_commands:job")

    wait = commands.add_parser("wait", help="wait until a job has ended; fails unless it succeeded")
    _add_job_id(wait, "active")
    wait.add_argument("--timeout", type=seconds, metavar="SECONDS", help="give up after so long")
    _add_shared(wait, "job_commands:wait")

    cancel = commands.add_parser("cancel", help="stop one job, after a question")
    _add_job_id(cancel, "active")
    cancel.add_argument("--yes", action="store_true", help="stop it without a question")
    _add_shared(cancel, "cancel_command:cancel")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--status",
        action="append",
        metavar="WORD",
        help="only jobs in this status: FAILED, …; may be given again for one more",
    )
    parser.add_argument("--model", default="", metavar="NAME", help="only jobs of this model")
    parser.add_argument("--search", default="", metavar="TEXT", help="this text in name, description or id")
    parser.add_argument("--created-after", default="", metavar="TIME", help="an age like 7d, or an ISO time")
    parser.add_argument("--created-before", default="", metavar="TIME", help="likewise")


def _add_results(commands: Any) -> None:
    results = commands.add_parser("results", help="summarise, read, query, compare or export results")
    _add_job_id(results, "succeeded")
    instead = results.add_mutually_exclusive_group()
    instead.add_argument("--rows", action="store_true", help="rows instead of the summary")
    instead.add_argument("--export", metavar="FILE", help="write all rows to a .csv, .parquet or .jsonl file")
    other = instead.add_argument("--compare", metavar="OTHER_ID", help="what changed in this later run")
    _complete_ids(other, "succeeded")
    results.add_argument(
        "--sql", metavar="SELECT", help="rows of a SELECT over the table results (DuckDB); also to --export"
    )
    results.add_argument("--offset", type=count, metavar="N", help="the first row (default 0)")
    results.add_argument("--limit", type=positive, metavar="N", help="at most so many rows (default 20)")
    results.add_argument("--columns", metavar="A,B", help="only these, or JSON paths like vendor.name")
    results.add_argument("--by", metavar="COLUMN", help="match runs by this, by row (default) or by inputs")
    results.add_argument("--inputs", action="store_true", help="with the inputs of the job")
    results.add_argument("--logprobs", action="store_true", help="with cumulative log probabilities")
    results.add_argument(
        "--with-job", action="append", metavar="NAME=ID", help="one more table for --sql; may be given again"
    )
    results.add_argument("--no-unpack-json", action="store_true", help="JSON outputs as text, in one column")
    results.add_argument("--output-column", metavar="NAME", help="name of that column (inference_result)")
    results.add_argument("--overwrite", action="store_true", help="let --export replace a file")
    _add_shared(results, "results_command:results")


def _add_job_id(parser: argparse.ArgumentParser, which: str) -> None:
    _complete_ids(parser.add_argument("job_id", metavar="ID", help="id of the job, as jobs prints it"), which)


def _complete_ids(argument: argparse.Action, which: str) -> None:
    def complete(parsed_args: argparse.Namespace, **_: Any) -> dict[str, str]:
        from .shell_completion import job_ids

        return job_ids(which, demo=parsed_args.demo)

    cast("Any", argument).completer = complete


def _add_shared(parser: argparse.ArgumentParser, run: str) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.add_argument("--demo", action="store_true", help="demo jobs: no key, no network")
    parser.set_defaults(run=run)


def count(text: str) -> int:
    """`text` as a number from 0 on; argparse names this function where it refuses one."""
    if (number := int(text)) < 0:
        raise ValueError
    return number


def positive(text: str) -> int:
    """`text` as a number from 1 on; likewise."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def seconds(text: str) -> float:
    """`text` as a time from 0 on; likewise."""
    if not 0 <= (number := float(text)) < float("inf"):
        raise ValueError
    return number


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
    """Raises UsageError, and notices, unlike argparse, when it cannot write."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self.prog, self.format_usage())

    def print_help(self, file: Any = None) -> None:  # noqa: ARG002 - stdout is all that is asked for
        say(self.format_help().rstrip())


class _Version(argparse.Action):
    """Looks the version up when asked: reading package metadata is not free."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        say(f"sutro-mcp {version('sutro-mcp')}")
        parser.exit()
