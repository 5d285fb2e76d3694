"""The `sutro-mcp` command. Only this module reads the environment.

Imports are made where they are needed: `--version` and `--help` answer before anything heavy loads, and the
emulator never loads in a server that does not serve it.
"""

import argparse
import gc
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

from sutro_mcp import console
from sutro_mcp.console import say, tell
from sutro_mcp.errors import ConfigurationError, SutroError
from sutro_mcp.hosts.host_configs import HOSTS, Launch, own_command
from sutro_mcp.hosts.placeholders import KEY_PLACEHOLDER
from sutro_mcp.redaction import guard_process
from sutro_mcp.server.transports.early_answers import EarlyAnswers, recording_path

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient

# Long enough for a person to see jobs run.
_VIEWED_SECONDS = 600
_FLAGS = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code, which a shell reads as that of any other command."""
    console.reserve_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _FLAGS):
        arguments.insert(0, "serve")
    try:
        options = _parser().parse_args(arguments)
        return int(options.run(options))
    except SutroError as error:
        tell(str(error))
        return 1
    except console.OutputLostError as error:
        return console.give_up_stdout(error)
    except KeyboardInterrupt:
        return 130


@contextmanager
def _ungrouped() -> Generator[None]:
    """Raise the first error of a task group as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        raise error from error.__cause__  # pyright: ignore[reportUnknownMemberType]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sutro-mcp",
        description="MCP server for Sutro batch LLM inference (sutro.sh). Without a command: serve.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="serve MCP over stdio (the default) or HTTP")
    serve.add_argument("--transport", choices=["stdio", "http"], help="stdio (default), or Streamable HTTP")
    serve.add_argument("--host", help="where http listens: a loopback address (default 127.0.0.1)")
    serve.add_argument("--port", help="where http listens (default 8000); 0 takes a free one")
    serve.add_argument(
        "--demo", action="store_true", default=None, help="serve demo jobs: no key, no network"
    )
    serve.add_argument("--read-only", action="store_true", default=None, help="without cancel and export")
    serve.add_argument("--cancel", choices=["off", "confirm", "elicit", "allow"], help="when cancel_job acts")
    serve.add_argument("--export-dir", metavar="DIR", help="folder of export_job_results (~/sutro-exports)")
    serve.add_argument("--views", choices=["on", "off"], help="whether hosts that can show a live view")
    serve.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="what stderr gets")
    serve.set_defaults(run=_serve)

    demo = commands.add_parser("demo", help="show the product in under a minute")
    demo.add_argument("--view", action="store_true", help="serve the live view of jobs for a browser")
    demo.add_argument("--port", type=port, default=0, help="port of --view (default: a free one)")
    demo.set_defaults(run=_demo)

    emulate = commands.add_parser("emulate", help="serve the Sutro emulator alone, for other clients")
    emulate.add_argument("--port", type=port, default=8787, help="port of the API; 0 takes a free one")
    emulate.add_argument(
        "--seconds", type=float, default=120.0, help="time in which an active job ends (default 120)"
    )
    emulate.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    emulate.set_defaults(run=_emulate)

    check = commands.add_parser("check", help="say what is configured and whether it works")
    check.add_argument("--json", action="store_true", help="as one JSON object")
    check.set_defaults(run=_check)

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
    config.set_defaults(run=_config)
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


def _serve(options: argparse.Namespace) -> int:
    # Asked for before the imports, which take long enough for a parent to die.
    parent = os.getppid()
    # What imports make stays, so looking for garbage among it is a tenth of the start for nothing.
    gc.disable()
    flags = {name: value for name, value in vars(options).items() if name != "run"}
    early = EarlyAnswers(recording_path(flags, os.environ))
    if early.has_answers:
        _require_streams()
        early.start()

    from sutro_mcp.settings import load_settings

    settings = load_settings(os.environ, **flags)
    if settings.transport == "stdio" and not early.has_answers:
        _require_streams()
    guard_process(settings.log_level)
    with ExitStack() as stack:
        # Started first, so that it comes up while the server is being imported.
        emulator = stack.enter_context(_emulator_process()) if settings.demo else None

        from sutro_mcp.server.build import build_server

        announced = _announced(emulator) if emulator else None
        server = build_server(settings, lambda: _connect(announced))
        gc.freeze()
        gc.enable()
        if settings.transport == "http":
            from sutro_mcp.server.transports.streamable_http import run_http

            return run_http(server, settings, lambda url: tell(f"Serving MCP at {url}. Stop it with Ctrl-C."))
        from sutro_mcp.server.transports.stdio import run_stdio

        try:
            with _ungrouped():
                return run_stdio(server, parent, early)
        except OSError as error:
            tell(f"stdin or stdout failed: {error.strerror}.")
            return 1


def _require_streams() -> None:
    for name in ("stdin", "stdout"):
        if getattr(sys, name) is None:
            raise ConfigurationError(
                "serve MCP over stdio",
                f"{name} is closed",
                "Let an MCP host start the server, or serve HTTP (--transport http)",
            )
    if sys.stdin.isatty():
        tell("Waiting for an MCP client on stdin; hosts start this themselves (see `sutro-mcp config`).")


def _connect(announced: dict[str, str] | None) -> "ApiClient":
    from sutro_mcp.api import ApiClient, resolve_connection

    if announced:
        return ApiClient(resolve_connection(announced["url"], announced["key"], env={}))
    return ApiClient(resolve_connection())


def _emulator_process(seconds: int = 8) -> "subprocess.Popen[str]":
    """An emulator that ends when its stdin does, so it cannot outlive this process."""
    command = [
        sys.executable,
        "-m",
        "sutro_mcp",
        "emulate",
        "--port",
        "0",
        "--seconds",
        str(seconds),
        "--until-eof",
    ]
    return subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )


def _announced(process: "subprocess.Popen[str]") -> dict[str, str]:
    """URL and key of an emulator. Raises ConfigurationError when it did not start."""
    line = cast("IO[str]", process.stdout).readline()
    if not line:
        raise ConfigurationError("serve demo jobs", "the emulator did not start", "Its reason stands above")
    return json.loads(line)


def _demo(options: argparse.Namespace) -> int:
    import anyio

    if options.view:
        return _demo_view(options.port)
    from sutro_mcp.demo.conversation import DemoFailedError, MCPError, run_demo

    try:
        with _ungrouped():
            anyio.run(run_demo, say, shlex.join(own_command()))
    except (DemoFailedError, MCPError, OSError) as error:
        tell(f"The demo failed: {error}")
        return 1
    return 0


def _demo_view(at: int) -> int:
    import anyio

    from sutro_mcp.demo.view_host import MCPError, host_view

    with _emulator_process(_VIEWED_SECONDS) as emulator:
        announced = _announced(emulator)
        env = {**os.environ, "SUTRO_API_URL": announced["url"], "SUTRO_API_KEY": announced["key"]}
        try:
            with _ungrouped():
                anyio.run(host_view, say, at, env, anyio.sleep_forever)
        except (MCPError, OSError) as error:
            tell(f"The view cannot be served: {error}")
            return 1
    return 0


def _emulate(options: argparse.Namespace) -> int:
    import anyio

    try:
        with _ungrouped():
            anyio.run(_run_emulator, options.port, options.seconds, options.until_eof)
    except OSError as error:
        tell(f"Cannot serve the emulator on port {options.port}: {error.strerror}.")
        return 1
    return 0


async def _run_emulator(port: int, seconds: float, until_eof: bool) -> None:
    import anyio
    import anyio.to_thread

    from sutro_mcp.emulator import DEMO_KEY, Pace, serve

    pace = Pace.clock(seconds) if seconds > 0 else Pace.at_once()
    async with serve(port=port, pace=pace) as emulator:
        if until_eof:
            say(json.dumps({"url": emulator.api_origin, "key": DEMO_KEY}))
            await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        else:
            say("Sutro emulator. Stop it with Ctrl-C. For any client, the official SDK included:\n")
            say(f"  export SUTRO_API_URL={emulator.api_origin}\n  export SUTRO_API_KEY={DEMO_KEY}")
            await anyio.sleep_forever()


def _check(options: argparse.Namespace) -> int:
    import anyio

    from sutro_mcp.check import check

    guard_process("WARNING")
    with _ungrouped():
        facts = anyio.run(check, os.environ, None if options.json else say)
    if options.json:
        say(json.dumps(facts, indent=2))
    elif facts["ok"]:
        well = "It works, but see the warning above." if "problem" in facts["cache"] else "All is well."
        say(f"{well} `sutro-mcp config HOST` prints what to paste into your assistant.")
    else:
        tell(facts["error"])
    return 0 if facts["ok"] else 1


def _config(options: argparse.Namespace) -> int:
    host = HOSTS[options.client]
    variables: dict[str, str] = {}
    if options.http is not None:
        text = host.reach and host.reach(options.http)
    else:
        variables = {} if options.demo else _variables()
        command = (*own_command(), "--demo") if options.demo else own_command()
        text = host.start and host.start(Launch(command, variables))
    if text is None:
        takes = "a URL: add --http URL" if options.http is None else "a command: leave --http out"
        tell(f"{options.client} takes only {takes}. {host.note}".rstrip())
        return 2
    # For people, beside what can be pasted or piped.
    tell(f"{host.place}:")
    say(text)
    tell(f"{'' if host.is_tried else 'Not tried with this host. '}Its documentation: {host.documentation}")
    if host.note:
        tell(host.note)
    if variables and "SUTRO_API_URL" not in variables:
        tell("For a deployment of your own, set SUTRO_API_URL beside SUTRO_API_KEY.")
    return 0


def _variables() -> dict[str, str]:
    """The variables that a host has to set: none where `sutro login` has saved them. Never the key itself."""
    from sutro_mcp.api import resolve_connection

    with suppress(SutroError):
        if resolve_connection().key_source.endswith(".json"):
            return {}
    url = os.environ.get("SUTRO_API_URL")
    return {"SUTRO_API_KEY": KEY_PLACEHOLDER, **({"SUTRO_API_URL": url} if url else {})}
