"""One run: a client, the server over one transport, and the scripted model between them."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from . import environments, scripted_model
from .calls import answered, channels, dialog, script
from .environments import CACHE, HERE, Client

_SECONDS = 240


def run(client: Client, transport: str) -> dict[str, Any]:
    """Run a client; what was seen, or under "not_run" why it could not be run."""
    seen = {"client": client.id, "version": client.version, "transport": transport}
    try:
        command = environments.prepare(client)
    except (subprocess.CalledProcessError, SystemExit) as error:
        return {**seen, "not_run": f"it could not be installed: {error}"}
    calls = script(transport)
    model = scripted_model.ScriptedModel(calls)
    with tempfile.TemporaryDirectory(prefix="interop-") as home, scripted_model.serving(model):
        serve = [sys.executable, "-m", "sutro_mcp", "serve", "--demo", "--export-dir", f"{home}/exports"]
        with _served(serve, transport) as url:
            task = {
                "transport": transport,
                "command": serve,
                "url": url,
                "model": model.address,
                "calls": [(call.tool, call.arguments) for call in calls],
                "folder": str(client.folder),
            }
            variables = {
                **os.environ,
                "HOME": home,
                "PYTHONPATH": str(HERE / "clients"),
                "INTEROP_TASK": json.dumps(task),
            }
            done = _finish(command, variables, home)
    log = CACHE / f"{client.id}-{transport}.log"
    log.write_text(f"{done.stdout}\n{done.stderr}", "utf-8")
    scripted_model.keep(model, log.with_suffix(".json"))
    said = _last_line(done.stdout)
    shown = said.get("shown", model.shown)
    offered = said.get("tools", model.offered)
    right = answered(calls, shown)
    seen |= {
        "listed": sum(any(name.endswith(call.tool) for name in offered) for call in calls),
        "calls": len(calls),
        "answered": len(right),
        "failed": [call.tool for call in calls if call.tool not in right],
        "shown": channels(shown) + (" (no model)" if "shown" in said else ""),
        "dialog": dialog(shown),
        "ended": done.returncode == 0,
    }
    return seen | {name: said.get(name) for name in ("resources", "prompts", "config_taken")}


def _finish(command: list[str], variables: dict[str, str], home: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, cwd=home, env=variables, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        said = [
            part.decode() if isinstance(part, bytes) else part or "" for part in (late.stdout, late.stderr)
        ]
        return subprocess.CompletedProcess(command, -1, said[0], f"{said[1]}\ngiven up after {_SECONDS} s")


def _last_line(output: str) -> dict[str, Any]:
    lines = output.strip().splitlines()
    try:
        said: Any = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


@contextmanager
def _served(serve: list[str], transport: str) -> Generator[str]:
    """The URL of a server over HTTP until the block ends; over stdio the client starts its own."""
    if transport == "stdio":
        yield ""
        return
    command = [*serve, "--transport", "http", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr or ():
                if found := re.search(r"http://[^\s]+/mcp", line):
                    yield found[0]
                    return
            raise RuntimeError("the server ended before it served")
        finally:
            process.terminate()
