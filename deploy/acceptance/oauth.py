"""A real issuer of access tokens, and what happens while it is gone and when its keys change."""

import json
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from scripts.node_tools import NODE
from tests.e2e.http_process import modern

from .npm import install
from .stack import SERVE, Team, free_port, team
from .table import Row

_PACKAGE = "oidc-provider@9.13.3"
_DOWN_SECONDS = 600
# The hour for which a replica keeps the issuer's keys, shortened.
_KEPT_SECONDS = 120
_HASTY = f"""
from sutro_mcp.cli.main import main
from sutro_mcp.server.access import issuer_keys
issuer_keys._KEPT_SECONDS = {_KEPT_SECONDS}.0
raise SystemExit(main())
"""


class Issuer:
    """oidc-provider from npm, with keys of ours so that they can be rotated and withdrawn."""

    def __init__(self, folder: Path, audience: str, seconds: int = 600) -> None:
        self._folder = folder
        self._port = free_port()
        self._audience = audience
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self, *key_ids: str) -> None:
        """Start it with these keys, the first of which signs."""
        keys = [_private_jwk(key_id) for key_id in key_ids]
        (self._folder / "keys.json").write_text(json.dumps({"keys": keys}))
        program = install(_PACKAGE) / "issuer.mjs"
        program.write_text(Path(__file__).with_name("issuer.mjs").read_text())
        arguments = (str(self._port), self._audience, str(self._seconds), str(self._folder / "keys.json"))
        with (self._folder / "issuer.log").open("ab") as log:
            command = [str(NODE / "bin/node"), str(program), *arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        async with httpx.AsyncClient(trust_env=False) as http:
            with anyio.fail_after(60):
                while True:
                    try:
                        await http.get(f"{self.url}/jwks")
                        return
                    except httpx.TransportError:
                        await anyio.sleep(0.1)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def token(self, name: str, scope: str, resource: str | None = None) -> str:
        """An access token of one of its clients."""
        form = {"grant_type": "client_credentials", "scope": scope, "resource": resource or self._audience}
        async with httpx.AsyncClient(trust_env=False) as http:
            auth = (name, f"secret-of-{name}")
            reply = await http.post(f"{self.url}/token", data=form, auth=auth)
        return reply.raise_for_status().json()["access_token"]


_KEYS: dict[str, rsa.RSAPrivateKey] = {}


def key(key_id: str) -> rsa.RSAPrivateKey:
    """A key of the issuer, or of a stranger, by its id; made on first use."""
    if key_id not in _KEYS:
        _KEYS[key_id] = rsa.generate_private_key(65537, 2048)
    return _KEYS[key_id]


def _private_jwk(key_id: str) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key(key_id), as_dict=True), "kid": key_id, "use": "sig", "alg": "RS256"}


@asynccontextmanager
async def oauth_team(
    folder: Path,
    settings: Mapping[str, str],
    *,
    token_seconds: int = 600,
    program: tuple[str, ...] = SERVE,
) -> AsyncGenerator[tuple[Team, Issuer]]:
    """A team in mode oauth, whose replicas have not asked their issuer yet."""
    folder.mkdir(parents=True)
    port = free_port()
    issuer = Issuer(folder, f"http://127.0.0.1:{port}/mcp", token_seconds)
    settings = {"SUTRO_MCP_AUTH": "oauth", "SUTRO_MCP_OIDC_ISSUER": issuer.url, **settings}
    await issuer.start("first")
    try:
        async with team(folder / "team", settings=settings, port=port, program=program) as served:
            served.sutro.add("key-of-ana")
            served.access.add_key("ana", "key-of-ana")
            await anyio.sleep(5)
            yield served, issuer
    finally:
        issuer.stop()


async def issuer_down(folder: Path) -> list[Row]:
    """D8: the issuer is gone for ten minutes, and comes back with another key beside the old one; then
    without the old one.
    """
    seen: dict[str, set[int]] = {}
    async with (
        oauth_team(folder, {}, token_seconds=7200, program=("-c", _HASTY, "serve")) as (served, issuer),
        httpx.AsyncClient(timeout=60, trust_env=False) as http,
    ):

        async def ask(when: str, token: str) -> set[int]:
            """The status of each replica, beside those of this moment before."""
            request, found = modern("tools/list", {}), set[int]()
            own = {**request["headers"], "Authorization": f"Bearer {token}", "Host": served.url.split("/")[2]}
            for replica in served.replicas:
                url = f"http://127.0.0.1:{replica.port}/mcp"
                found.add((await http.post(url, json=request["json"], headers=own)).status_code)
            seen.setdefault(when, set()).update(found)
            return found

        old = await issuer.token("ana", "sutro:read")
        stranger = jwt.encode({"sub": "x"}, key("stranger"), "RS256", {"kid": "stranger"})
        await ask("before", old)
        issuer.stop()
        for _ in range(_DOWN_SECONDS // 30):
            await ask("down, known key", old)
            await ask("down, unknown key", stranger)
            await anyio.sleep(30)
        await issuer.start("second", "first")
        await ask("back, the first call with a new key", await issuer.token("ana", "sutro:read"))
        fetched = anyio.current_time()
        await ask("back, old key", old)
        issuer.stop()
        await issuer.start("second")
        await ask("old key withdrawn", old)
        while await ask("old key until the end", old) != {401} and anyio.current_time() < fetched + 3700:
            await anyio.sleep(1)
        seconds = anyio.current_time() - fetched
    expected = {
        "before": {200},
        "down, known key": {200},
        "down, unknown key": {401},
        "back, the first call with a new key": {200},
        "back, old key": {200},
        "old key withdrawn": {200},
        "old key until the end": {200, 401},
    }
    found = "; ".join(f"{when}: {' '.join(map(str, sorted(codes)))}" for when, codes in seen.items())
    found += f", refused {seconds:.0f} s after keys were fetched, which are kept for {_KEPT_SECONDS} s"
    holds = seen == expected and seconds < _KEPT_SECONDS + 10
    done = f"issuer down for {_DOWN_SECONDS // 60} minutes, keys rotated, the old one withdrawn"
    return [Row("D8", done, "known keys go on; a new one counts at once; never 500", found, holds)]
