"""Ready-to-paste configuration for the hosts that run MCP servers.

Each host takes the same facts (command, arguments, environment, or a URL) in a format of its own, which its
documentation gives.
"""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .placeholders import KEY_PLACEHOLDER

NAME = "sutro"


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


@dataclass(frozen=True)
class Host:
    """Where a host's configuration goes, and how a server that it starts, or reaches by URL, is written.

    A format that is None is one that the host does not have. `is_tried` tells a format that the host itself
    has taken from one that was only read in its documentation.
    """

    place: str
    documentation: str
    start: Callable[[Launch], str] | None
    reach: Callable[[str], str] | None
    note: str = ""
    is_tried: bool = False


def own_command() -> tuple[str, ...]:
    """The command that starts this installation; one made by uvx for a single run is started by uvx again."""
    script = Path(sys.executable).with_name("sutro-mcp")
    thrown_away = {"archive-v0", "environments-v2"} & set(script.parts)
    return (str(script),) if script.exists() and not thrown_away else ("uvx", "sutro-mcp")


def _nested(entry: Any, *keys: str) -> str:
    """`entry` under `keys`, as JSON."""
    for key in reversed((*keys, NAME)):
        entry = {key: entry}
    return json.dumps(entry, indent=2)


def _start_under(*keys: str) -> Callable[[Launch], str]:
    return lambda launch: _nested(launch.entry, *keys)


def _reach_under(*keys: str, url: str = "url", **more: Any) -> Callable[[str], str]:
    return lambda address: _nested({**more, url: address}, *keys)


def _start_from_claude_code(launch: Launch) -> str:
    variables = [part for name, value in launch.env.items() for part in ("-e", f"{name}={value}")]
    return shlex.join(["claude", "mcp", "add", NAME, *variables, "--", *launch.command])


def _start_from_vscode(launch: Launch) -> str:
    # VS Code keeps secrets out of the file: it asks once and stores the answer.
    inputs = [{"type": "promptString", "id": "sutro-key", "description": "Sutro API key", "password": True}]
    asked = {
        name: "${input:sutro-key}" if value == KEY_PLACEHOLDER else value
        for name, value in launch.env.items()
    }
    entry = {"type": "stdio", **Launch(launch.command, asked).entry}
    content = {**({"inputs": inputs} if asked != launch.env else {}), "servers": {NAME: entry}}
    return json.dumps(content, indent=2)


def _start_from_codex(launch: Launch) -> str:
    lines = [f"[mcp_servers.{NAME}]"]
    for name, value in launch.entry.items():
        if name == "env":
            pairs = ", ".join(f"{key} = {json.dumps(text)}" for key, text in launch.env.items())
            lines.append(f"env = {{ {pairs} }}")
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines)


def _start_from_opencode(launch: Launch) -> str:
    entry: dict[str, Any] = {"type": "local", "command": list(launch.command), "enabled": True}
    return _nested(entry | ({"environment": dict(launch.env)} if launch.env else {}), "mcp")


def _goose(**facts: Any) -> str:
    """YAML whose values are written as JSON, of which it is a superset."""
    facts = {"name": NAME, **facts, "enabled": True, "timeout": 300}
    lines = [f"    {name}: {json.dumps(value)}" for name, value in facts.items()]
    return "\n".join(["extensions:", f"  {NAME}:", *lines])


def _start_from_goose(launch: Launch) -> str:
    command, *arguments = launch.command
    return _goose(type="stdio", cmd=command, args=arguments, envs=dict(launch.env))


def _fields(url: str) -> str:
    """The fields of a dialog."""
    return f"Name: Sutro\nURL: {url}"


_START, _REACH = _start_under("mcpServers"), _reach_under("mcpServers")
_PUBLIC = "The host's own computers call the URL: it must be public and https."

HOSTS: dict[str, Host] = {
    "amp": Host(
        "~/.config/amp/settings.json",
        "https://ampcode.com/manual",
        _start_under("amp.mcpServers"),
        _reach_under("amp.mcpServers"),
    ),
    "chatgpt": Host(
        "Settings > Connectors > Advanced > Developer mode, then Create",
        "https://developers.openai.com/apps-sdk/deploy/connect-chatgpt",
        None,
        _fields,
        _PUBLIC,
    ),
    "claude-code": Host(
        "In a shell",
        "https://code.claude.com/docs/en/mcp",
        _start_from_claude_code,
        lambda url: shlex.join(["claude", "mcp", "add", "--transport", "http", NAME, url]),
        is_tried=True,
    ),
    "claude-desktop": Host(
        "Settings > Developer > Edit Config (claude_desktop_config.json)",
        "https://modelcontextprotocol.io/docs/develop/connect-local-servers",
        _START,
        None,
        "For a URL, use `sutro-mcp config claude-remote`.",
    ),
    "claude-remote": Host(
        "Settings > Connectors > Add custom connector, in Claude on the web, desktop or phone",
        "https://support.claude.com/en/articles/11175166",
        None,
        _fields,
        _PUBLIC,
    ),
    "cline": Host(
        "MCP Servers > Configure > Configure MCP Servers (cline_mcp_settings.json)",
        "https://docs.cline.bot/mcp/configuring-mcp-servers",
        _START,
        _reach_under("mcpServers", type="streamableHttp"),
    ),
    "codex": Host(
        "~/.codex/config.toml",
        "https://developers.openai.com/codex/mcp",
        _start_from_codex,
        lambda url: f"[mcp_servers.{NAME}]\nurl = {json.dumps(url)}",
        is_tried=True,
    ),
    "continue": Host(
        ".continue/mcpServers/sutro.json in a project, or in ~/.continue/mcpServers",
        "https://docs.continue.dev/customize/deep-dives/mcp",
        _START,
        _reach_under("mcpServers", type="streamable-http"),
    ),
    "cursor": Host(
        "~/.cursor/mcp.json, or .cursor/mcp.json in a project",
        "https://cursor.com/docs/context/mcp",
        _START,
        _REACH,
    ),
    "gemini-cli": Host(
        "~/.gemini/settings.json",
        "https://geminicli.com/docs/tools/mcp-server/",
        _START,
        _reach_under("mcpServers", url="httpUrl"),
        "Gemini CLI starts no server in a folder that it does not trust; /permissions changes that.",
        is_tried=True,
    ),
    "goose": Host(
        "~/.config/goose/config.yaml",
        "https://block.github.io/goose/docs/getting-started/using-extensions",
        _start_from_goose,
        lambda url: _goose(type="streamable_http", uri=url),
    ),
    "jetbrains": Host(
        "Settings > Tools > AI Assistant > Model Context Protocol (MCP) > Add > As JSON",
        "https://www.jetbrains.com/help/ai-assistant/mcp.html",
        _START,
        _REACH,
    ),
    "kiro": Host(
        "~/.kiro/settings/mcp.json, or .kiro/settings/mcp.json in a project",
        "https://kiro.dev/docs/mcp/configuration",
        _START,
        _REACH,
    ),
    "lm-studio": Host(
        "Program > Install > Edit mcp.json (~/.lmstudio/mcp.json)",
        "https://lmstudio.ai/docs/app/mcp",
        _START,
        _REACH,
    ),
    "opencode": Host(
        "~/.config/opencode/opencode.json, or opencode.json in a project",
        "https://opencode.ai/docs/mcp-servers",
        _start_from_opencode,
        _reach_under("mcp", type="remote", enabled=True),
        'OpenCode 2 has the entry one level deeper, in "servers" under "mcp", and takes no "enabled".',
        is_tried=True,
    ),
    "vscode": Host(
        ".vscode/mcp.json",
        "https://code.visualstudio.com/docs/copilot/customization/mcp-servers",
        _start_from_vscode,
        _reach_under("servers", type="http"),
    ),
    "warp": Host(
        "Settings > Agents > MCP servers > Add",
        "https://docs.warp.dev/agent-platform/capabilities/mcp",
        _start_under(),
        _reach_under(),
    ),
    "windsurf": Host(
        "~/.codeium/windsurf/mcp_config.json",
        "https://docs.windsurf.com/windsurf/cascade/mcp",
        _START,
        _reach_under("mcpServers", url="serverUrl"),
    ),
    "zed": Host(
        "~/.config/zed/settings.json",
        "https://zed.dev/docs/ai/mcp",
        _start_under("context_servers"),
        _reach_under("context_servers"),
    ),
}
