"""Starts the installed command over stdio, greets it and asks for its tools; run by `scripts/wheel-check`.

Uses nothing but the `mcp` package that came with the wheel, and holds nothing of the source tree.
"""

import sys

import anyio
from mcp import Client, StdioServerParameters


async def main(command: str) -> None:
    """Speak both protocol eras with the server, each over a process of its own; a hang is a failure."""
    server = StdioServerParameters(command=command, args=["serve", "--demo"])
    with anyio.fail_after(90):
        for mode in ("legacy", "auto"):
            async with Client(server, mode=mode) as client:
                tools = (await client.list_tools()).tools
                if not tools:
                    raise SystemExit(f"{mode}: the server offers no tools")
                print(f"{mode}: protocol {client.protocol_version}, {', '.join(tool.name for tool in tools)}")


anyio.run(main, sys.argv[1])
