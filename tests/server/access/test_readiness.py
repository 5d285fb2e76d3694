"""When a replica of a server for a team wants calls."""

from pathlib import Path

import pytest

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.access.sutro_keys import SutroKeys
from sutro_mcp.server.access.token_file import add_token
from sutro_mcp.server.build import build_server
from sutro_mcp.server.tenants import refusing
from sutro_mcp.server.transports.streamable_http import http_app

from .team import no_key, team_settings

pytestmark = pytest.mark.anyio


async def test_a_replica_wants_calls_once_it_could_know_a_caller(tmp_path: Path) -> None:
    """From then on a file that is gone is no reason to send callers elsewhere: it is gone there too."""
    tokens = tmp_path / "tokens"
    settings = team_settings(auth="bearer", tokens_file=tokens, keys_dir=tmp_path)
    nobody = refusing(ConfigurationError("serve", "nobody is known", "Say who you are"))
    server = build_server(settings, nobody, key_of=SutroKeys(settings, no_key))
    app = http_app(server, settings, "127.0.0.1:1")
    async with server.session_manager.run():
        assert not await app.is_ready()
        add_token(tokens, "ana", ["sutro:read"], None)
        assert await app.is_ready()
        tokens.unlink()
        assert await app.is_ready()
        app.is_draining = True
        assert not await app.is_ready()
