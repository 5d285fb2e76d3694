"""`sutro-mcp check` and `sutro-mcp config`: whether it works, and what a host needs."""

import argparse
import json
import os
import sys
from contextlib import suppress

from sutro_mcp.console import say, tell
from sutro_mcp.errors import SutroError
from sutro_mcp.hosts.config_snippets import HOSTS, Launch, own_command
from sutro_mcp.hosts.placeholders import KEY_PLACEHOLDER


def check(options: argparse.Namespace) -> int:
    """Say what is configured and whether it works."""
    import anyio

    from sutro_mcp.check import check
    from sutro_mcp.concurrency import ungrouped

    from .chosen_deployment import guard_command

    guard_command("WARNING")
    with ungrouped():
        token = sys.stdin.readline().strip() if options.token else None
        facts = anyio.run(check, os.environ, None if options.json else say, token, options.demo or None)
    if options.json:
        say(json.dumps(facts, indent=2))
    elif facts["ok"]:
        well = "It works, but see the warning above." if "problem" in facts["cache"] else "All is well."
        say(f"{well} `sutro-mcp config HOST` prints what to paste into your assistant.")
    else:
        tell(facts["error"])
    return 0 if facts["ok"] else 1


def config(options: argparse.Namespace) -> int:
    """Print what is to be pasted into a host."""
    host = HOSTS[options.client]
    variables: dict[str, str] = {}
    if options.http is not None:
        text = host.reach and host.reach(options.http)
    else:
        variables = {} if options.demo else _variables()
        command = (*own_command(), "--demo") if options.demo else own_command()
        text = host.start and host.start(Launch(command, variables))
    if text is None:
        takes = "a URL: add --http URL" if options.http is None else "a command: leave --http out"
        tell(f"{options.client} takes only {takes}. {host.note}".rstrip())
        return 2
    # For people, beside what can be pasted or piped.
    tell(f"{host.place}:")
    say(text)
    tell(f"{'' if host.is_tried else 'Not tried with this host. '}Its documentation: {host.documentation}")
    if host.note:
        tell(host.note)
    if variables and "SUTRO_API_URL" not in variables:
        tell("For a deployment of your own, set SUTRO_API_URL beside SUTRO_API_KEY.")
    return 0


def _variables() -> dict[str, str]:
    """The variables that a host has to set: none where `sutro login` has saved them. Never the key itself."""
    from sutro_mcp.api import resolve_connection

    with suppress(SutroError):
        if resolve_connection().key_source.endswith(".json"):
            return {}
    url = os.environ.get("SUTRO_API_URL")
    return {"SUTRO_API_KEY": KEY_PLACEHOLDER, **({"SUTRO_API_URL": url} if url else {})}
