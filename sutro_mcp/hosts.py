"""Ready-to-paste configuration for the hosts that run MCP servers.

Each host wants the same three facts (command, arguments, environment) in a file format of its own.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

NAME = "sutro"
COMMAND = "uvx"
ARGUMENTS = ("sutro-mcp",)
KEY_PLACEHOLDER = "your-sutro-api-key"

Environment = Mapping[str, str]


def _json(key: str, entry: dict[str, Any]) -> str:
    return json.dumps({key: {NAME: entry}}, indent=2)


def _entry(env: Environment) -> dict[str, Any]:
    return {"command": COMMAND, "args": list(ARGUMENTS), "env": dict(env)}


def _desktop(env: Environment) -> str:
    where = "Settings > Developer > Edit Config (claude_desktop_config.json)"
    return f"{where}:\n\n{_json('mcpServers', _entry(env))}"


def _claude_code(env: Environment) -> str:
    variables = " ".join(f"-e {name}={value}" for name, value in env.items())
    return f"In a shell:\n\nclaude mcp add {NAME} {variables} -- {_words(ARGUMENTS)}"


def _words(arguments: Sequence[str]) -> str:
    return " ".join((COMMAND, *arguments))


def _cursor(env: Environment) -> str:
    return f"~/.cursor/mcp.json, or .cursor/mcp.json in a project:\n\n{_json('mcpServers', _entry(env))}"


def _vscode(env: Environment) -> str:
    # VS Code keeps secrets out of the file: it asks once and stores the answer.
    inputs = [{"type": "promptString", "id": "sutro-key", "description": "Sutro API key", "password": True}]
    asked = {name: "${input:sutro-key}" if name == "SUTRO_API_KEY" else value for name, value in env.items()}
    servers = {NAME: {"type": "stdio", **_entry(asked)}}
    return f".vscode/mcp.json:\n\n{json.dumps({'inputs': inputs, 'servers': servers}, indent=2)}"


def _codex(env: Environment) -> str:
    variables = ", ".join(f"{name} = {json.dumps(value)}" for name, value in env.items())
    lines = [
        "~/.codex/config.toml:",
        "",
        f"[mcp_servers.{NAME}]",
        f"command = {json.dumps(COMMAND)}",
        f"args = {json.dumps(list(ARGUMENTS))}",
        f"env = {{ {variables} }}",
    ]
    return "\n".join(lines)


def _gemini(env: Environment) -> str:
    return f"~/.gemini/settings.json:\n\n{_json('mcpServers', _entry(env))}"


HOSTS: dict[str, Callable[[Environment], str]] = {
    "claude-desktop": _desktop,
    "claude-code": _claude_code,
    "cursor": _cursor,
    "vscode": _vscode,
    "codex": _codex,
    "gemini-cli": _gemini,
}


def configuration(host: str, api_url: str | None) -> str:
    """What to paste where, for `host`. The key is a placeholder: it is never printed."""
    env = {"SUTRO_API_KEY": KEY_PLACEHOLDER, **({"SUTRO_API_URL": api_url} if api_url else {})}
    return HOSTS[host](env)
