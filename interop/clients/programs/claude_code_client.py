"""Claude Code, whose model is set by its own variables."""

import os
import shlex

from cli import config, program
from task import PROMPT, TASK, report

VARIABLES = {
    "ANTHROPIC_BASE_URL": TASK["model"],
    "ANTHROPIC_API_KEY": "none",
    "ANTHROPIC_MODEL": "scripted",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "MCP_CONNECTION_NONBLOCKING": "0",  # else the first turn has no tools
    "ENABLE_TOOL_SEARCH": "false",
}
os.environ["PATH"] = f"{TASK['folder']}/node_modules/.bin:{os.environ['PATH']}"
name, *arguments = shlex.split(config("claude-code"))
program(name, *arguments, **VARIABLES)
listed = program("claude", "mcp", "list", **VARIABLES)
program("claude", "-p", PROMPT, "--allowedTools", "mcp__sutro", **VARIABLES)
report(config_taken="sutro" in listed and "Connected" in listed)
