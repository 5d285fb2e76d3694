"""A server for a team in this process, spoken to in raw requests; behind it, an account for each Sutro key."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from sutro_mcp.api import Connection
from sutro_mcp.asgi_serving import listen, serving
from sutro_mcp.emulator import Emulator
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.server.access.sutro_keys import SutroKeys
from sutro_mcp.server.build import build_server
from sutro_mcp.server.tenants import refusing
from sutro_mcp.server.transports.streamable_http import http_app
from sutro_mcp.settings import Settings
from tests.e2e.http_process import legacy, modern

PUBLIC_URL = "https://mcp.example/mcp"
ERAS = {"2025-era": legacy, "2026-era": modern}


class Accounts:
    """One deployment with several accounts, each an emulator found by its key."""

    def __init__(self, *keys: str) -> None:
        self.url = ""
        self.emulators = {key: Emulator(api_key=key, seed_jobs=False) for key in keys}
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        key = Headers(scope=scope).get("authorization", "").removeprefix("Key ")
        if (emulator := self.emulators.get(key)) is not None:
            await emulator.app(scope, receive, send)
        else:
            await JSONResponse({"detail": "Invalid API key"}, 401)(scope, receive, send)


@asynccontextmanager
async def accounts(*keys: str) -> AsyncGenerator[Accounts]:
    """The deployment, on loopback."""
    served = Accounts(*keys)
    with listen("127.0.0.1", 0) as listening:
        served.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with serving(served, listening, grace_seconds=1):
            yield served


def team_settings(**settings: Any) -> Settings:
    """Settings of a server for a team that keeps nothing on the disk."""
    # So many refusals of one address are another matter.
    often: dict[str, Any] = {"anonymous_rate": (1_000_000, 1_000_000)}
    return Settings(transport="http", public_url=PUBLIC_URL, cache_max_bytes=0, **(often | settings))


def no_key() -> Connection:
    """The server has none of its own."""
    raise ConfigurationError("serve", "there is no key", "Bring one")


@dataclass
class Team:
    """Requests to the server, without credentials unless a test gives some."""

    client: httpx.AsyncClient

    async def post(self, request: Mapping[str, Any], **headers: str) -> httpx.Response:
        """The answer to a request of `legacy` or `modern`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/mcp", json=request["json"], headers=request["headers"] | named)


@asynccontextmanager
async def team(settings: Settings) -> AsyncGenerator[Team]:
    """A server with these settings; its Sutro keys are where they say."""
    nobody = refusing(ConfigurationError("serve", "nobody is known", "Say who you are"))
    server = build_server(settings, nobody, key_of=SutroKeys(settings, no_key))
    app = http_app(server, settings, "127.0.0.1:1")
    transport = httpx.ASGITransport(app=app)
    async with (
        server.session_manager.run(),
        httpx.AsyncClient(transport=transport, base_url="https://mcp.example", timeout=60) as client,
    ):
        yield Team(client)


def keys_folder(folder: Path, **keys: str) -> Path:
    """A folder with a Sutro key for each principal."""
    folder.mkdir()
    for name, key in keys.items():
        (folder / f"principal-{name}").write_text(key)
    return folder
