"""Gemini CLI, in a folder that it is told to trust."""

import json

from cli import config, program, write
from task import PROMPT, TASK, report

VARIABLES = {
    "GEMINI_API_KEY": "none",
    "GOOGLE_GEMINI_BASE_URL": TASK["model"],
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
}
settings = json.loads(config("gemini-cli"))
settings |= {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
}
write(".gemini/settings.json", json.dumps(settings))
listed = program("gemini", "mcp", "list", **VARIABLES)
program("gemini", "-p", PROMPT, "--approval-mode", "yolo", "-m", "gemini-2.5-flash", **VARIABLES)
report(config_taken="sutro" in listed and "Connected" in listed)
