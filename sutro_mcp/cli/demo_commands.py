"""`sutro-mcp demo` and `sutro-mcp emulate`, and the emulator beside a command that works with demo jobs."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from typing import IO, cast

from sutro_mcp.console import say, tell
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.hosts.config_snippets import own_command

# Long enough for a person to see jobs run.
_VIEWED_SECONDS = 600


def demo(options: argparse.Namespace) -> int:
    """Let a real client talk to a real server about the demo jobs, or serve their view for a browser."""
    import anyio

    if options.view:
        return _view(options.port)

    from sutro_mcp.concurrency import ungrouped
    from sutro_mcp.demo.conversation import DemoFailedError, MCPError, run_demo

    try:
        with ungrouped():
            anyio.run(run_demo, say, draw, shlex.join(own_command()))
    except (DemoFailedError, MCPError, OSError) as error:
        tell(f"The demo failed: {error}")
        return 1
    return 0


def draw(name: str, top: Iterable[tuple[object, int, float]], more: int | None) -> None:
    """The distribution of a field, where a person looks."""
    from sutro_mcp.results.distribution_bars import distribution

    from .rendering import at_terminal, show

    if at_terminal():
        show(distribution(name, top, more))


def _view(at: int) -> int:
    import anyio

    from sutro_mcp.concurrency import ungrouped
    from sutro_mcp.demo.view_host import MCPError, host_view

    async def look(address: str) -> None:
        say(f"The view of the demo's jobs: {address}\nStop it with Ctrl-C.")
        await anyio.sleep_forever()

    with emulator_process(_VIEWED_SECONDS) as emulator:
        url, key = announced(emulator)
        env = {**os.environ, "SUTRO_API_URL": url, "SUTRO_API_KEY": key}
        try:
            with ungrouped():
                anyio.run(host_view, at, env, look)
        except (MCPError, OSError) as error:
            tell(f"The view cannot be served: {error}")
            return 1
    return 0


def emulate(options: argparse.Namespace) -> int:
    """Serve the emulator until it is stopped."""
    import anyio

    from sutro_mcp.concurrency import ungrouped

    try:
        with ungrouped():
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


def emulator_process(seconds: int = 8) -> "subprocess.Popen[str]":
    """An emulator that ends when its stdin does, so it cannot outlive this process."""
    options = ["--port", "0", "--seconds", str(seconds), "--until-eof"]
    command = [sys.executable, "-m", "sutro_mcp", "emulate", *options]
    return subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )


def announced(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """URL and key of the emulator, once it serves. Raises ConfigurationError if it does not."""
    line = cast("IO[str]", process.stdout).readline()
    if not line:
        raise ConfigurationError("serve demo jobs", "the emulator did not start", "Its reason stands above")
    said = json.loads(line)
    return said["url"], said["key"]
