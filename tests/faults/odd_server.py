"""The product's stdio server with tools that do what none of the product's should; the guards are its own.

Run as a program with a log level; the key is the one given in the environment.
"""

import logging
import os
import sys
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.redaction import guard_process
from sutro_mcp.server.build import build_server
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.protocol.scrubbing import notifier
from sutro_mcp.server.transports.early_answers import EarlyAnswers
from sutro_mcp.server.transports.stdio import run_stdio
from sutro_mcp.settings import Settings

SIGNED = "https://bucket.example.com/x?X-Amz-Signature=canary_signature_0123"
PLAIN_HALF = "\ud83d"


class NativePanic(BaseException):
    """A panic as Python sees it."""


async def panic() -> str:
    """Raise what is no Exception."""
    raise NativePanic("panicked")


async def panic_in_a_group() -> str:
    """The same, as a task group wraps it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(panic)
    return ""


async def exhaust(kind: str) -> str:
    """Raise what an exhausted interpreter raises."""
    raise {"memory": MemoryError, "stack": RecursionError}[kind]("exhausted")


async def half_a_pair() -> CallToolResult:
    """Answer with what cannot be encoded, in both channels."""
    return CallToolResult(
        content=[TextContent(type="text", text=f"<{PLAIN_HALF}>")],
        structured_content={"k": [f"v{PLAIN_HALF}", {"deep": PLAIN_HALF}]},
    )


async def half_a_pair_in_an_error() -> CallToolResult:
    """The same, as the text of an error."""
    return CallToolResult(is_error=True, content=[TextContent(type="text", text=f"<{PLAIN_HALF}>")])


async def leak(ctx: Context[Any]) -> CallToolResult:
    """Show key and signature in every way that a handler has."""
    key = os.environ["SUTRO_API_KEY"]
    logging.getLogger("leak").error("log: %s %s", key, SIGNED)
    try:
        raise ValueError(f"traceback: {key}")
    except ValueError:
        logging.getLogger("leak").exception("caught")
    await ctx.report_progress(1, 2, f"progress: {key} {SIGNED} {PLAIN_HALF}")
    await notifier(ctx)(2, 2, f"progress: {key} {SIGNED} {PLAIN_HALF}")
    return CallToolResult(
        content=[TextContent(type="text", text=f"text: {key} {SIGNED}")],
        structured_content={"value": f"value: {key} {SIGNED}", "header": f"Authorization: Key {key}"},
    )


async def leak_in_a_crash() -> str:
    """Raise an exception that holds the key."""
    raise RuntimeError(f"crash: {os.environ['SUTRO_API_KEY']} {SIGNED}")


async def crash_prompt() -> str:
    """A prompt that raises what it should not."""
    raise RuntimeError(f"crash: {os.environ['SUTRO_API_KEY']}")


class Parking:
    """Calls that stay until they are let go, and how many there were at once."""

    def __init__(self) -> None:
        self._leave = anyio.Event()
        self.parked = self.most = 0

    async def park(self) -> str:
        """Stay."""
        self.parked += 1
        self.most = max(self.most, self.parked)
        try:
            await self._leave.wait()
        finally:
            self.parked -= 1
        return "left"

    def let_go(self) -> None:
        """Let all go."""
        self._leave.set()


def odd_server(parking: Parking) -> SutroServer:
    """The product's server and the tools above; what it knows of a deployment comes from the environment."""
    connection = resolve_connection()
    server = build_server(Settings(log_level="DEBUG"), lambda: ApiClient(connection))
    for tool in (panic, panic_in_a_group, exhaust, leak_in_a_crash, parking.park):
        server.add_tool(tool)
    for tool in (half_a_pair, half_a_pair_in_an_error, leak):
        server.add_tool(tool, structured_output=False)
    server.prompt("crash")(crash_prompt)
    return server


def main() -> int:
    """As `sutro-mcp serve` does it."""
    parent = os.getppid()
    guard_process(sys.argv[1])
    return run_stdio(odd_server(Parking()), parent, EarlyAnswers(None))


if __name__ == "__main__":
    raise SystemExit(main())
