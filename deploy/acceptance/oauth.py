"""Access tokens of a real issuer: who gets in with them, who does not, and what happens while it is gone."""

import hmac
import json
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from jwt.utils import base64url_encode

from scripts.node_tools import NODE
from tests.e2e.http_process import legacy, modern

from .callers import ask
from .npm import install
from .stack import Team, free_port, team
from .table import Row

_PACKAGE = "oidc-provider@9.13.3"


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


def _key(key_id: str) -> rsa.RSAPrivateKey:
    if key_id not in _KEYS:
        _KEYS[key_id] = rsa.generate_private_key(65537, 2048)
    return _KEYS[key_id]


def _private_jwk(key_id: str) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(_key(key_id), as_dict=True), "kid": key_id, "use": "sig", "alg": "RS256"}


@asynccontextmanager
async def _served(folder: Path) -> AsyncGenerator[tuple[Team, Issuer]]:
    """A team in mode oauth, whose replicas have not asked their issuer yet."""
    folder.mkdir(parents=True)
    port = free_port()
    issuer = Issuer(folder, f"http://127.0.0.1:{port}/mcp")
    settings = {"SUTRO_MCP_AUTH": "oauth", "SUTRO_MCP_OIDC_ISSUER": issuer.url}
    await issuer.start("first")
    try:
        async with team(folder / "team", settings=settings, port=port) as served:
            served.sutro.add("key-of-ana")
            served.access.add_key("ana", "key-of-ana")
            await anyio.sleep(5)
            yield served, issuer
    finally:
        issuer.stop()


async def credentials(folder: Path) -> list[Row]:
    """D7: good and bad tokens, in both eras; what is wrong with each is what it is called."""
    wrong: list[str] = []
    async with _served(folder) as (served, issuer):
        job_id = served.sutro.accounts["key-of-ana"].find("support-ticket-triage")
        read, cancel = await issuer.token("ana", "sutro:read"), await issuer.token("ana", "sutro:cancel")
        other = await issuer.token("ana", "sutro:read", resource="https://other.example/mcp")
        cases: dict[str, tuple[str | None, str, int]] = {
            "reads": (read, "get_job", 200),
            "may cancel, reads": (cancel, "get_job", 200),
            "may cancel, cancels": (cancel, "cancel_job", 200),
            "reads, cancels": (read, "cancel_job", 403),
            "no scope": (await issuer.token("ana", ""), "get_job", 403),
            "none": (None, "get_job", 401),
            "of another resource": (other, "get_job", 401),
            **{name: (token, "get_job", 401) for name, token in _forged(read, issuer.url).items()},
        }
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            for era, make in (("2025", legacy), ("2026", modern)):
                for name, (token, tool, status) in cases.items():
                    before = served.sutro.requests
                    request = make("tools/call", {"name": tool, "arguments": {"job_id": job_id}})
                    reply = await _ask(http, served.url, token, request)
                    challenge = reply.headers.get("www-authenticate", "")
                    is_told = "scope=" in challenge and served.sutro.requests == before
                    if reply.status_code != status or not (is_told or status == 200):
                        wrong.append(f"{era} {name}: {reply.status_code} {challenge}"[:160])
            root = served.url.removesuffix("/mcp")
            for path in ("", "/mcp"):
                document = await http.get(f"{root}/.well-known/oauth-protected-resource{path}")
                if not document.is_success or document.json()["authorization_servers"] != [issuer.url]:
                    wrong.append(f"metadata at {path or '/'}: {document.status_code}")
        refused = sum(status != 200 for _, _, status in cases.values()) * 2
        asked = await _cpu_of_refusals(served, (await issuer.token("ana", ""))[:-4] + "AAAA")
    found = (
        f"{len(cases) * 2} calls, {refused} refused, {len(wrong)} answered otherwise; {asked:.2f} ms of CPU"
    )
    found += " a refusal"
    found += "".join(f"; {one}" for one in wrong[:3])
    return [Row("D7", "tokens of oidc-provider, and forged ones, both eras", "401 and 403", found, not wrong)]


def _forged(good: str, issuer: str) -> dict[str, str]:
    """Tokens that only look as if the issuer had made them; and one of its own, changed."""
    claims: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    now = int(time.time())

    def signed(key: Any = None, algorithm: str = "RS256", kid: str = "first", **changes: Any) -> str:
        kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(kept, key or _key("first"), algorithm, {"kid": kid, "typ": "at+jwt"})

    return {
        "another key": signed(_key("stranger")),
        "unknown key id": signed(_key("stranger"), kid="stranger"),
        "HS256 with the public key": _confused(claims),
        "no algorithm": jwt.encode(claims, "", "none"),
        "another issuer": signed(iss=f"{issuer}/"),
        "no audience": signed(aud=None),
        "no subject": signed(sub=None),
        "no expiry": signed(exp=None),
        "expired 31 seconds ago": signed(exp=now - 31),
        "not yet valid": signed(nbf=now + 90),
        "an ID token": signed(nonce="n", at_hash="h"),
        "a changed claim": _changed(good),
        "9 KiB": f"{good}{'A' * 9216}",
    }


def _confused(claims: dict[str, Any]) -> str:
    """Sealed with what everybody knows, the public key; the library does not let itself be used for this."""
    pem = _key("first").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = ({"alg": "HS256", "kid": "first", "typ": "at+jwt"}, claims)
    signed = ".".join(base64url_encode(json.dumps(part).encode()).decode() for part in parts)
    return f"{signed}.{base64url_encode(hmac.digest(pem, signed.encode(), 'sha256')).decode()}"


def _changed(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body[:-6]}{'B' if body[-6] != 'B' else 'C'}{body[-5:]}.{signature}"


async def _ask(
    http: httpx.AsyncClient, url: str, token: str | None, request: Mapping[str, Any]
) -> httpx.Response:
    if token is None:
        return await http.post(url, json=request["json"], headers=request["headers"])
    return await ask(http, url, token, request)


async def _cpu_of_refusals(served: Team, token: str) -> float:
    """Milliseconds of a replica's CPU that refusing a bad signature takes, over 200."""
    count = 200
    replica = served.replicas[0]
    request = modern("tools/list", {})
    before = replica.usage()[0]
    own = {**request["headers"], "Authorization": f"Bearer {token}", "Host": served.url.split("/")[2]}
    async with httpx.AsyncClient(trust_env=False) as http:
        for _ in range(count):
            await http.post(f"http://127.0.0.1:{replica.port}/mcp", json=request["json"], headers=own)
    return (replica.usage()[0] - before) / count * 1000


async def issuer_down(folder: Path) -> list[Row]:
    """D8: the issuer is gone for a minute, and comes back with another key beside the old one."""
    seen: dict[str, str] = {}
    async with (
        _served(folder) as (served, issuer),
        httpx.AsyncClient(timeout=60, trust_env=False) as http,
    ):
        request = modern("tools/list", {})

        async def status(token: str) -> str:
            # Each replica has to know the key: twice as many calls as replicas, one after the other.
            codes = {(await ask(http, served.url, token, request)).status_code for _ in range(4)}
            return " ".join(map(str, sorted(codes)))

        old = await issuer.token("ana", "sutro:read")
        stranger = jwt.encode({"sub": "x"}, _key("stranger"), "RS256", {"kid": "stranger"})
        seen["before"] = await status(old)
        issuer.stop()
        seen["issuer down, known key"] = await status(old)
        seen["issuer down, unknown key"] = await status(stranger)
        await anyio.sleep(60)
        seen["down for a minute, known key"] = await status(old)
        await issuer.start("second", "first")
        seen["key added"] = await status(await issuer.token("ana", "sutro:read"))
        seen["old key still published"] = await status(old)
    found = "; ".join(f"{what}: {codes}" for what, codes in seen.items())
    unknown = seen.pop("issuer down, unknown key")
    holds = set(seen.values()) == {"200"} and "500" not in unknown
    return [Row("D8", "issuer down for a minute, keys rotated", "known keys go on; never 500", found, holds)]
