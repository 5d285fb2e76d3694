"""Codex, with a provider of models of its own."""

import json

from cli import config, program, write
from task import OPENAI_URL, PROMPT, report

PROVIDER = f"""model = "scripted"
model_provider = "loopback"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.loopback]
name = "loopback"
base_url = {json.dumps(OPENAI_URL)}
wire_api = "responses"
"""
# Unless the server is required, the first turn does not wait for its tools.
write(".codex/config.toml", f"{PROVIDER}\n{config('codex')}\nrequired = true\n")
listed = program("codex", "mcp", "list")
program("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", PROMPT)
report(config_taken="sutro" in listed and "enabled" in listed)
