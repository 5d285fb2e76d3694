"""opencode, with a provider of models of its own."""

import json

from cli import config, program, write
from task import OPENAI_URL, PROMPT, report

settings = json.loads(config("opencode"))
settings |= {
    "provider": {
        "loopback": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": OPENAI_URL, "apiKey": "none"},
            "models": {"scripted": {"tool_call": True}},
        }
    },
    "model": "loopback/scripted",
    "autoupdate": False,
    "share": "disabled",
}
write(".config/opencode/opencode.json", json.dumps(settings))
listed = program("opencode", "mcp", "list", OPENCODE_DISABLE_MODELS_FETCH="1")
program("opencode", "run", PROMPT, OPENCODE_DISABLE_MODELS_FETCH="1")
report(config_taken="sutro" in listed and "connected" in listed)
