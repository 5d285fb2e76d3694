"""Ready-to-paste configuration for the hosts that run MCP servers.

Each host takes the same three facts (command, arguments, environment) in a format of its own.
"""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "sutro"
KEY_PLACEHOLDER = "your-sutro-api-key"


@dataclass(frozen=True)
class Launch:
    """The command and environment with which a host starts the server."""

    command: tuple[str, ...]
    env: Mapping[str, str]

    @property
    def entry(self) -> dict[str, Any]:
        """The facts as most hosts name them; what is empty is left out."""
        facts = {"command": self.command[0], "args": list(self.command[1:]), "env": dict(self.env)}
        return {name: value for name, value in facts.items() if value}


def own_command() -> tuple[str, ...]:
    """The command that starts this installation; one made by uvx for a single run is started by uvx again."""
    script = Path(sys.executable).with_name("sutro-mcp")
    thrown_away = {"archive-v0", "environments-v2"} & set(script.parts)
    return (str(script),) if script.exists() and not thrown_away else ("uvx", "sutro-mcp")


def _servers(launch: Launch) -> str:
    return json.dumps({"mcpServers": {NAME: launch.entry}}, indent=2)


def _claude_code(launch: Launch) -> str:
    variables = [part for name, value in launch.env.items() for part in ("-e", f"{name}={value}")]
    return shlex.join(["claude", "mcp", "add", NAME, *variables, "--", *launch.command])


def _vscode(launch: Launch) -> str:
    # VS Code keeps secrets out of the file: it asks once and stores the answer.
    inputs = [{"type": "promptString", "id": "sutro-key", "description": "Sutro API key", "password": True}]
    asked = {
        name: "${input:sutro-key}" if value == KEY_PLACEHOLDER else value
        for name, value in launch.env.items()
    }
    entry = {"type": "stdio", **Launch(launch.command, asked).entry}
    content = {**({"inputs": inputs} if asked != launch.env else {}), "servers": {NAME: entry}}
    return json.dumps(content, indent=2)


def _codex(launch: Launch) -> str:
    lines = [f"[mcp_servers.{NAME}]"]
    for name, value in launch.entry.items():
        if name == "env":
            pairs = ", ".join(f"{key} = {json.dumps(text)}" for key, text in launch.env.items())
            lines.append(f"env = {{ {pairs} }}")
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines)


# Where the configuration goes, and the configuration itself.
HOSTS: dict[str, tuple[str, Callable[[Launch], str]]] = {
    "claude-desktop": ("Settings > Developer > Edit Config (claude_desktop_config.json)", _servers),
    "claude-code": ("In a shell", _claude_code),
    "cursor": ("~/.cursor/mcp.json, or .cursor/mcp.json in a project", _servers),
    "vscode": (".vscode/mcp.json", _vscode),
    "codex": ("~/.codex/config.toml", _codex),
    "gemini-cli": ("~/.gemini/settings.json", _servers),
}
