"""When a replica of a server for a team wants calls, and how old the keys are by which it knows callers."""

import re
from pathlib import Path

import pytest

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.access.sutro_keys import SutroKeys
from sutro_mcp.server.access.token_file import add_token
from sutro_mcp.server.build import build_server
from sutro_mcp.server.operations.metrics import Metrics
from sutro_mcp.server.tenants import refusing
from sutro_mcp.server.transports.streamable_http import http_app

from .issuer import issuing
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


async def test_metrics_say_how_old_the_keys_of_the_issuer_are() -> None:
    """Once there are some: keys that get old tell of an issuer that does not answer."""
    async with issuing() as issuer:
        settings = team_settings(auth="oauth", oidc_issuer=issuer.url, shared_key=True)
        nobody = refusing(ConfigurationError("serve", "nobody is known", "Say who you are"))
        server = build_server(settings, nobody, key_of=SutroKeys(settings, no_key))
        app = http_app(server, settings, "127.0.0.1:1")
        metrics = Metrics(server)
        assert b"jwks_age" not in metrics.page()[0]
        async with server.session_manager.run():
            assert await app.is_ready()
        (age,) = re.findall(rb"\nsutro_mcp_jwks_age_seconds (.*)\n", metrics.page()[0])
        assert 0 <= float(age) < 600
