"""The product's server with the conformance suite's fixtures: `python -m tests.conformance.server`."""

import sys

import httpx

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import DEMO_KEY, Emulator
from sutro_mcp.server.build import build_server
from sutro_mcp.server.protocol.mcp_server import SutroServer
from sutro_mcp.server.transports.streamable_http import run_http
from sutro_mcp.settings import Settings

from .fixtures import TOOLS, add_handlers, add_prompts, add_resources
from .rounds import ROUNDS, add_prompt


def main() -> int:
    """Serve until a signal arrives."""
    emulator = Emulator()
    connection = resolve_connection(emulator.api_origin, DEMO_KEY, env={})
    transport = httpx.ASGITransport(app=emulator.app)
    settings = Settings(transport="http", port=0)
    server = build_server(settings, lambda: ApiClient(connection, transport=transport))
    add_fixtures(server)
    return run_http(server, settings, _announce)


def add_fixtures(server: SutroServer) -> None:
    """What the suite wants to find, by name."""
    for tool in (*TOOLS, *ROUNDS):
        server.add_tool(tool, structured_output=False)
    add_resources(server)
    add_prompts(server)
    add_prompt(server)
    add_handlers(server)


def _announce(said: str) -> None:
    sys.stderr.write(f"{said}\n")


if __name__ == "__main__":
    sys.exit(main())
