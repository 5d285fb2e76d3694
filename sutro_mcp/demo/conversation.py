"""Shows the product in under a minute: a real MCP client talks to a real server about demo jobs, over stdio.

Every line that is printed is what the server answered. Nothing here knows the answers in advance: a call that
fails ends the demo with an exit code of 1.
"""

import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.types import TextContent

__all__ = ["DemoFailedError", "MCPError", "converse", "run_demo"]

Say = Callable[[str], None]
# A field, its frequent values with their counts and shares, and how many more values it has.
Draw = Callable[[str, Iterable[tuple[object, int, float]], int | None], None]

_SHOWN_LINES = 16
_SHOWN_WIDTH = 118


class DemoFailedError(Exception):
    """A call in the demo did not answer as the product promises."""


class _Conversation:
    """Calls tools and shows what was asked and answered."""

    def __init__(self, client: Client, say: Say) -> None:
        self._client = client
        self._say = say

    async def ask(self, question: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call `tool`; its structured answer."""
        self._say(f"\n● {question}")
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        self._say(f"  → {tool}({shown})")
        result = await self._client.call_tool(tool, arguments, progress_callback=self._show_progress)
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        if result.is_error:
            raise DemoFailedError(f"{tool} answered: {text}")
        self._say(_indented(text))
        return result.structured_content or {}

    async def _show_progress(
        self,
        progress: float,  # noqa: ARG002 - the message says it, too
        total: float | None,
        message: str | None,
    ) -> None:
        if total is not None:
            self._say(f"    … {message}")


def _indented(text: str) -> str:
    lines = text.splitlines()
    kept = lines[:_SHOWN_LINES]
    if len(lines) > _SHOWN_LINES:
        kept = [*kept[:-1], f"… ({len(lines) - _SHOWN_LINES + 1} more lines)"]
    return "\n".join("    " + textwrap.shorten(line, _SHOWN_WIDTH, placeholder=" …") for line in kept)


async def run_demo(say: Say, draw: Draw, command: str) -> None:
    """Play the conversation, and say what `command` does next.

    Raises DemoFailedError, or what the client raises.
    """
    server = StdioServerParameters(command=sys.executable, args=["-m", "sutro_mcp", "serve", "--demo"])
    say("Starting `sutro-mcp serve --demo` and talking to it as an assistant would.")
    async with Client(server) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        say(f"Connected over stdio. Tools: {', '.join(names)}.")
        await converse(client, say, draw)
    say(_CLOSING.format(command=command))


async def converse(client: Client, say: Say, draw: Draw) -> None:
    """The demo's questions, to a server with the demo's jobs. Raises DemoFailedError."""
    talk = _Conversation(client, say)
    await talk.ask("What is going on with my jobs?", "summarize_jobs", group_by="status")
    active = await talk.ask("Which ones are running?", "list_jobs", status=["RUNNING"])
    running = [job["job_id"] for job in _records(active["jobs"])]
    if len(running) != 2:  # the demo is written for these
        raise DemoFailedError("there should be two running jobs")

    stopped, followed = running
    await _cancel(talk, stopped)
    await _follow(talk, followed)
    came = await talk.ask("What came out of it?", "get_job_results", job_id=followed)
    for field in _records(came["summary"]["columns"]):
        if top := field.get("top (value, count, share)"):
            draw(field["name"], top, field.get("more"))
    await talk.ask(
        "Show me rows 100 to 104, with the inputs.",
        "get_job_results",
        job_id=followed,
        view="rows",
        offset=100,
        limit=5,
        include_inputs=True,
        max_cell_chars=60,
    )
    if sys.platform == "linux":  # the only system with a sandbox for SQL
        await talk.ask(
            "Which folder needs a person most often?",
            "query_job_results",
            job_id=followed,
            sql="SELECT folder, count(*) AS emails, round(100 * avg(needs_human::INT), 1) AS percent"
            " FROM results GROUP BY folder ORDER BY percent DESC",
        )
        tried = await talk.ask("Which models did I try?", "list_jobs", search="model-comparison")
        jobs = {job["name"]: job["job_id"] for job in _records(tried["jobs"])}
        await talk.ask(
            "What changed from Gemma to Qwen?",
            "compare_job_results",
            job_id=jobs["model-comparison-gemma"],
            other_job_id=jobs["model-comparison-qwen"],
        )


def _records(table: dict[str, Any]) -> list[dict[str, Any]]:
    # A row ends with its last value that is known.
    return [dict(zip(table["columns"], row, strict=False)) for row in table["rows"]]


async def _follow(talk: _Conversation, job_id: str) -> None:
    ended = await talk.ask("Follow the other one until it is done.", "wait_for_job", job_id=job_id)
    if ended["status"] != "SUCCEEDED":
        raise DemoFailedError(f"the followed job ended as {ended['status']}")


async def _cancel(talk: _Conversation, job_id: str) -> None:
    preview = await talk.ask("Stop the first one that runs.", "cancel_job", job_id=job_id)
    if "outcome" in preview:
        raise DemoFailedError("cancel_job acted without consent")
    await talk.ask("Yes, I am sure.", "cancel_job", job_id=job_id, confirm=True)
    await talk.ask("Is it gone?", "get_job_status", job_id=job_id)


_CLOSING = """
That was the embedded emulator: no key, no network. To use your own jobs:

  # And SUTRO_API_URL=… for a deployment of your own.
  export SUTRO_API_KEY=…
  # Is the key accepted?
  {command} check
  # What to paste where: claude-desktop, claude-code, cursor, vscode, codex or gemini-cli.
  {command} config claude-desktop
"""
