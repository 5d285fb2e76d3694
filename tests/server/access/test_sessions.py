"""Sessions, and requests that stay open, of callers who are told apart."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from sutro_mcp.server.access.authentication import Authenticated, CredentialError, Reason
from sutro_mcp.server.access.guard import Guard
from sutro_mcp.server.access.token_file import add_token
from sutro_mcp.server.context import Principal
from sutro_mcp.server.transports.http_shutdown import HttpRequests
from tests.e2e.http_process import SESSION, legacy
from tests.e2e.process import INITIALIZE

from .team import Team, accounts, keys_folder, team, team_settings

pytestmark = pytest.mark.anyio
KEYS = {"alice": "sk_alice_0123456789", "bob": "sk_bob_0123456789"}


@asynccontextmanager
async def sticky(mode: str, folder: Path) -> AsyncGenerator[tuple[Team, dict[str, dict[str, str]]]]:
    """A server with sessions, and the headers of Alice and Bob."""
    until = datetime.now(UTC) + timedelta(days=1)
    tokens = {name: add_token(folder / "tokens", name, ["sutro:read"], until) for name in KEYS}
    keys = keys_folder(folder / "keys", **KEYS)
    headers = {
        "bearer": {name: {"authorization": f"Bearer {token}"} for name, token in tokens.items()},
        "sutro-key": {name: {"x_sutro_key": key} for name, key in KEYS.items()},
    }[mode]
    found = {"keys_dir": keys, "tokens_file": folder / "tokens"} if mode == "bearer" else {}
    async with team(team_settings(auth=mode, sessions="sticky", **found)) as served:
        yield served, headers


@pytest.mark.parametrize("mode", ["bearer", "sutro-key"])
async def test_a_session_exists_for_its_own_caller_alone(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows its id can neither use, listen to nor end it."""
    async with accounts(*KEYS.values()) as sutro:
        monkeypatch.setenv("SUTRO_API_URL", sutro.url)
        async with sticky(mode, tmp_path) as (served, headers):
            reply = await served.post(legacy("initialize", INITIALIZE), **headers["alice"])
            session = reply.headers[SESSION]
            assert '"subscribe":true' in reply.text
            request = legacy("tools/call", {"name": "list_jobs", "arguments": {}}, session)
            assert (await served.post(request, **headers["bob"])).status_code == 404
            bobs = {name.replace("_", "-"): value for name, value in headers["bob"].items()}
            for verb in ("GET", "DELETE"):
                named = {SESSION: session, "accept": "text/event-stream", **bobs}
                assert (await served.client.request(verb, "/mcp", headers=named)).status_code == 404
            assert (await served.post(request)).status_code == 401
            assert [each.requests for each in sutro.emulators.values()] == [[], []]
            assert (await served.post(request, **headers["alice"])).status_code == 200
            assert [len(each.requests) for each in sutro.emulators.values()] == [1, 0]


@dataclass
class Door:
    """Knows one caller for as long as it is open; and an app whose answer never ends."""

    expires: float | None = None
    reasons: Iterator[Reason] = field(default_factory=lambda: iter(()))
    """Why the caller is not let in when asked about again."""
    asked: int = 0

    async def is_ready(self) -> bool:
        return True

    async def __call__(self, _: Headers) -> Authenticated:
        self.asked += 1
        if self.asked > 1:
            raise CredentialError(next(self.reasons), "no")
        return Authenticated(Principal("a", "a", "bearer", frozenset({"read"})), self.expires)

    async def app(self, _: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await anyio.sleep_forever()

    async def get(self) -> str:
        """What a caller gets before the answer ends."""
        settings = team_settings(auth="sutro-key")
        guard = Guard(self.app, settings, self, (), recheck_seconds=0.01)
        transport = httpx.ASGITransport(app=HttpRequests(guard))
        async with httpx.AsyncClient(transport=transport, base_url="https://mcp.example") as client:
            with anyio.fail_after(30):
                return (await client.get("/mcp")).text


async def test_what_is_open_ends_when_its_caller_is_locked_out() -> None:
    """A stream is not cut while callers cannot be looked up."""
    door = Door(reasons=iter(("unavailable", "unavailable", "unknown")))
    assert await door.get() == "first"
    assert door.asked == 4


async def test_what_is_open_ends_when_its_credential_expires() -> None:
    """Without being asked about again."""
    door = Door(expires=datetime.now(UTC).timestamp() + 0.005)
    assert await door.get() == "first"
    assert door.asked == 1
