"""The `sutro-mcp` command: the only module that prints, and the only one that reads the environment.

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
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from sutro_mcp.errors import SutroError
from sutro_mcp.host_configs import HOSTS, KEY_PLACEHOLDER, Launch
from sutro_mcp.redaction import guard_process, redact_line

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient, Connection
    from sutro_mcp.settings import Settings

_FLAGS = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _FLAGS):
        arguments.insert(0, "serve")
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except SutroError as error:
        print(redact_line(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    serve.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="what stderr gets")
    serve.set_defaults(run=_serve)

    demo = commands.add_parser("demo", help="show the product in under a minute")
    demo.set_defaults(run=_demo)

    emulate = commands.add_parser("emulate", help="serve the Sutro emulator alone, for other clients")
    emulate.add_argument("--port", type=int, default=8787, help="port of the API; 0 takes a free one")
    emulate.add_argument(
        "--seconds", type=float, default=120.0, help="time in which an active job ends (default 120)"
    )
    emulate.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)
    emulate.set_defaults(run=_emulate)

    check = commands.add_parser("check", help="say what is configured and whether it works")
    check.set_defaults(run=_check)

    config = commands.add_parser("config", help="print the configuration to paste into a host")
    config.add_argument("client", choices=sorted(HOSTS), help="the host")
    config.set_defaults(run=_config)
    return parser


class _Version(argparse.Action):
    """Looks the version up when asked: reading package metadata is not free."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"sutro-mcp {version('sutro-mcp')}")
        parser.exit()


def _settings(options: argparse.Namespace) -> "Settings":
    from sutro_mcp.settings import load_settings

    return load_settings(
        os.environ,
        demo=options.demo,
        read_only=options.read_only,
        cancel=options.cancel,
        export_dir=options.export_dir,
        log_level=options.log_level,
        transport=options.transport,
        host=options.host,
        port=options.port,
    )


def _serve(options: argparse.Namespace) -> int:
    # Asked for before the imports, which take long enough for a parent to die.
    parent = os.getppid()
    # What imports make stays, so looking for garbage among it is a tenth of the start for nothing.
    gc.disable()
    settings = _settings(options)
    guard_process(settings.log_level)
    with ExitStack() as stack:
        # Started first, so that it comes up while the server is being imported.
        emulator = stack.enter_context(_emulator_process()) if settings.demo else None

        from sutro_mcp.server.build import build_server

        connection = _announced(emulator) if emulator else None
        server = build_server(settings, lambda: _connect(connection))
        gc.freeze()
        gc.enable()
        if settings.transport == "http":
            from sutro_mcp.server.transports.streamable_http import run_http

            return run_http(server, settings, _say_where)
        from sutro_mcp.server.transports.stdio import run_stdio

        return run_stdio(server, parent)


def _connect(connection: "Connection | None") -> "ApiClient":
    from sutro_mcp.api import ApiClient, resolve_connection

    return ApiClient(connection or resolve_connection())


def _say_where(url: str) -> None:
    print(f"Serving MCP at {url}. Stop it with Ctrl-C.", file=sys.stderr, flush=True)


def _emulator_process() -> "subprocess.Popen[str]":
    """An emulator that ends when its stdin does, so it cannot outlive this process."""
    command = [sys.executable, "-m", "sutro_mcp", "emulate", "--port", "0", "--seconds", "8", "--until-eof"]
    return subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )


def _announced(process: "subprocess.Popen[str]") -> "Connection":
    from sutro_mcp.api import resolve_connection

    announced = json.loads(cast("IO[str]", process.stdout).readline())
    return resolve_connection(announced["url"], announced["key"], env={})


def _demo(_: argparse.Namespace) -> int:
    import anyio

    from sutro_mcp.demo import DemoFailedError, MCPError, run_demo

    failed = 0
    try:
        anyio.run(run_demo, _say, shlex.join(_command()))
    except* (DemoFailedError, MCPError, OSError) as group:
        failed = 1
        print("The demo failed:", group.exceptions[0], file=sys.stderr)
    return failed


def _say(line: str) -> None:
    print(line, flush=True)


def _emulate(options: argparse.Namespace) -> int:
    import anyio

    anyio.run(_run_emulator, options.port, options.seconds, options.until_eof)
    return 0


async def _run_emulator(port: int, seconds: float, until_eof: bool) -> None:
    import anyio
    import anyio.to_thread

    from sutro_mcp.emulator import DEMO_KEY, Pace, serve

    async with serve(port=port, pace=Pace.clock(seconds)) as emulator:
        if until_eof:
            _say(json.dumps({"url": emulator.api_origin, "key": DEMO_KEY}))
            await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        else:
            _say("Sutro emulator. Stop it with Ctrl-C. For any client, the official SDK included:\n")
            _say(f"  export SUTRO_API_URL={emulator.api_origin}\n  export SUTRO_API_KEY={DEMO_KEY}")
            await anyio.sleep_forever()


def _check(_: argparse.Namespace) -> int:
    import anyio

    guard_process("ERROR")
    return anyio.run(_run_check)


async def _run_check() -> int:
    from sutro_mcp.api import ApiClient, resolve_connection
    from sutro_mcp.settings import load_settings

    settings = load_settings(os.environ)
    if settings.demo:
        _say("SUTRO_MCP_DEMO is set: the emulator is served, which needs no key and no deployment.")
        return 0
    _say(f"cancel_job: {'off' if settings.read_only else settings.cancel}")
    connection = resolve_connection()
    _say(f"URL: {connection.origin} (from {connection.url_source})")
    _say(f"Key: fingerprint {connection.key.fingerprint} (from {connection.key_source})")
    async with ApiClient(connection) as client:
        auth = await client.check_auth()
        if not auth.authenticated:
            _say("The deployment answered, but did not accept the key. Set SUTRO_API_KEY to a current key.")
            return 1
        _say(f"Key accepted ({auth.endpoint}).")
        page = await client.list_jobs_page(limit=1)
    _say("Jobs can be listed." if page.jobs else "Jobs can be listed; there are none yet.")
    _say("All is well. `sutro-mcp config CLIENT` prints what to paste into your assistant.")
    return 0


def _config(options: argparse.Namespace) -> int:
    variables = _variables()
    print(HOSTS[options.client](Launch(_command(), variables)))
    if variables and "SUTRO_API_URL" not in variables:
        # Beside what can be pasted or piped.
        print("For a deployment of your own, set SUTRO_API_URL beside SUTRO_API_KEY.", file=sys.stderr)
    return 0


def _command() -> tuple[str, ...]:
    """How to start this very installation; one made by uvx for a single run is started by uvx again."""
    script = Path(sys.executable).with_name("sutro-mcp")
    thrown_away = {"archive-v0", "environments-v2"} & set(script.parts)
    return (str(script),) if script.exists() and not thrown_away else ("uvx", "sutro-mcp")


def _variables() -> dict[str, str]:
    """What the host has to pass on: nothing when the file of `sutro login` has it. Never the key itself."""
    from sutro_mcp.api import resolve_connection

    with suppress(SutroError):
        if resolve_connection().key_source.endswith(".json"):
            return {}
    url = os.environ.get("SUTRO_API_URL")
    return {"SUTRO_API_KEY": KEY_PLACEHOLDER, **({"SUTRO_API_URL": url} if url else {})}
