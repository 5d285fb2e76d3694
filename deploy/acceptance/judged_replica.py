"""A replica with the fixtures of the conformance suite: `python -m deploy.acceptance.judged_replica`."""

import os
import sys

from sutro_mcp.api import resolve_connection
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.access.sutro_keys import SutroKeys
from sutro_mcp.server.build import build_server
from sutro_mcp.server.tenants import refusing
from sutro_mcp.server.transports.streamable_http import run_http
from sutro_mcp.settings import load_settings
from tests.conformance.server import add_fixtures


def main() -> int:
    """Serve as the environment says, until a signal arrives."""
    settings = load_settings(os.environ)
    nobody = refusing(ConfigurationError("serve", "nobody is known", "Say who you are"))
    server = build_server(settings, nobody, key_of=SutroKeys(settings, resolve_connection))
    add_fixtures(server)
    return run_http(server, settings, lambda _: None)


if __name__ == "__main__":
    sys.exit(main())
