"""Parts of the drivers of command-line hosts: the program, and the configuration that we print for it."""

import os
import re
import subprocess
from pathlib import Path

from task import COMMAND, IS_HTTP, TASK, URL

from sutro_mcp.hosts.config_snippets import HOSTS, Launch

HOME = Path.home()


def config(host: str) -> str:
    """The configuration of the server, exactly as `sutro-mcp config` prints it."""
    found = HOSTS[host]
    write, place = (
        (found.reach, URL)
        if IS_HTTP
        else (found.start, Launch(tuple(COMMAND), {"SUTRO_MCP_CANCEL": "confirm"}))
    )
    return write(place)


def write(path: str, text: str) -> None:
    """A file below the run's own home."""
    file = HOME / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def program(name: str, *arguments: str, **variables: str) -> str:
    """Run the host's program; its output, which is repeated for the log."""
    command = [f"{TASK['folder']}/node_modules/.bin/{name}", *arguments]
    environment = {
        key: value
        for key, value in os.environ.items()
        if not re.match("CLAUDE|ANTHROPIC|OPENAI|GEMINI|GOOGLE|CODEX", key)
    }
    done = subprocess.run(
        command,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    output = done.stdout + done.stderr
    print(f"$ {name} {' '.join(arguments)}\n{output}\n[{done.returncode}]")
    return output
