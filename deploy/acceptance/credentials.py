"""Good and bad credentials in each mode and both eras: who gets in, and that Sutro hears of nobody else."""

import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from sutro_mcp.server.access.token_file import digest_of, revoke_tokens
from tests.e2e.http_process import legacy, modern

from .oauth import key, oauth_team
from .stack import Team, team
from .table import Row

_ERAS = {"2025": legacy, "2026": modern}
_SUTRO_KEY = "sk_of_ana_0123456789"
# Refusals beyond this rate are 429, which would hide what they are.
_MANY = {"SUTRO_MCP_ANONYMOUS_RATE": "100000/10000"}
_LOOKS = 200


@dataclass(frozen=True)
class Case:
    """Headers with a credential, or none, and the status of the answer to them."""

    headers: tuple[tuple[str, str], ...]
    status: int = 401
    tool: str = "get_job"
    query: str = ""


def _authorization(*values: str, status: int = 401, tool: str = "get_job") -> Case:
    return Case(tuple(("Authorization", value) for value in values), status, tool)


def _bearer(token: str, status: int = 401, tool: str = "get_job") -> Case:
    return _authorization(f"Bearer {token}", status=status, tool=tool)


def _anywhere(good: str) -> dict[str, Case]:
    """Values that are no bearer token, or `good` where none belongs."""
    return {
        "none": _authorization(),
        "empty": _authorization(""),
        "the scheme alone": _authorization("Bearer"),
        "two in one header": _authorization(f"Bearer {good}, Bearer {good}"),
        "Basic": _authorization("Basic YW5hOng="),
        "without scheme": _authorization(good),
        "another scheme": _authorization(f"Token {good}"),
        "two headers": _authorization(f"Bearer {good}", f"Bearer {good}"),
        "two tokens": _bearer(f"{good} {good}"),
        "in the query": Case((), query=f"?access_token={good}"),
        "in a cookie": Case((("Cookie", f"token={good}"),)),
        "not ASCII": _bearer("smcp_\u00e9"),
        "9 KiB": _bearer(f"{good}{'A' * 9216}"),
        "a Sutro key": _bearer(_SUTRO_KEY),
        "a Sutro key in its header": Case((("X-Sutro-Key", _SUTRO_KEY),)),
    }


async def every_mode(folder: Path) -> list[Row]:
    """D7: what is wrong with each credential is what it is called."""
    return [await _oauth(folder / "oauth"), await _tokens(folder / "tokens"), await _keys(folder / "keys")]


async def _oauth(folder: Path) -> Row:
    async with oauth_team(folder, _MANY) as (served, issuer):
        read, cancel = await issuer.token("ana", "sutro:read"), await issuer.token("ana", "sutro:cancel")
        other = await issuer.token("ana", "sutro:read", resource="https://other.example/mcp")
        cases = {
            "reads": _bearer(read, 200),
            "may cancel, reads": _bearer(cancel, 200),
            "may cancel, cancels": _bearer(cancel, 200, "cancel_job"),
            "reads, cancels": _bearer(read, 403, "cancel_job"),
            "no scope": _bearer(await issuer.token("ana", ""), 403),
            **_anywhere(read),
            "of another resource": _bearer(other),
            **{name: _bearer(token) for name, token in _forged(read, issuer.url).items()},
        }
        row = await _row(served, cases, "tokens of oidc-provider, and forged ones", _bearer(_changed(read)))
        root = served.url.removesuffix("/mcp")
        async with httpx.AsyncClient(trust_env=False) as http:
            for path in ("", "/mcp"):
                document = await http.get(f"{root}/.well-known/oauth-protected-resource{path}")
                assert document.json()["authorization_servers"] == [issuer.url]
        return row


def _forged(good: str, issuer: str) -> dict[str, str]:
    """Tokens that only look as if the issuer had made them; and one of its own, changed."""
    claims: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    now = int(time.time())

    def signed(with_key: Any = None, algorithm: str = "RS256", kid: str = "first", **changes: Any) -> str:
        kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(kept, with_key or key("first"), algorithm, {"kid": kid, "typ": "at+jwt"})

    return {
        "another key": signed(key("stranger")),
        "unknown key id": signed(key("stranger"), kid="stranger"),
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
    }


def _confused(claims: dict[str, Any]) -> str:
    """Sealed with what everybody knows, the public key; the library does not let itself be used for this."""
    pem = key("first").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = ({"alg": "HS256", "kid": "first", "typ": "at+jwt"}, claims)
    signed = ".".join(base64url_encode(json.dumps(part).encode()).decode() for part in parts)
    return f"{signed}.{base64url_encode(hmac.digest(pem, signed.encode(), 'sha256')).decode()}"


def _changed(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body[:-6]}{'B' if body[-6] != 'B' else 'C'}{body[-5:]}.{signature}"


async def _tokens(folder: Path) -> Row:
    async with team(folder, settings=_MANY) as served:
        served.sutro.add(_SUTRO_KEY)
        cancel = served.access.add("ana", _SUTRO_KEY)
        read = served.access.add("ana", _SUTRO_KEY, "sutro:read")
        a_minute_ago = datetime.now(UTC) - timedelta(minutes=1)
        gone = served.access.add("gone", _SUTRO_KEY)
        revoke_tokens(served.access.folder / "tokens", "gone")
        cases = {
            "reads": _bearer(read, 200),
            "may cancel, reads": _bearer(cancel, 200),
            "may cancel, cancels": _bearer(cancel, 200, "cancel_job"),
            "reads, cancels": _bearer(read, 403, "cancel_job"),
            **_anywhere(read),
            "expired": _bearer(served.access.add("ana", _SUTRO_KEY, expires=a_minute_ago)),
            "revoked": _bearer(gone),
            "of another deployment": _bearer(f"smcp_{secrets.token_urlsafe(32)}"),
            "its hash": _bearer(digest_of(read)),
            "the hash with its prefix": _bearer(f"smcp_{digest_of(read)}"),
            "without prefix": _bearer(read.removeprefix("smcp_")),
            "cut short": _bearer(read[:-1]),
            "one character more": _bearer(f"{read}A"),
            "another case": _bearer(read.swapcase()),
            "a JWT": _bearer(jwt.encode({"sub": "ana"}, "x" * 32, "HS256")),
        }
        await anyio.sleep(5)
        bad = _bearer(f"smcp_{secrets.token_urlsafe(32)}")
        return await _row(served, cases, "tokens of a file, and what resembles them", bad)


async def _keys(folder: Path) -> Row:
    def own(*values: str, status: int = 401, tool: str = "get_job") -> Case:
        return Case(tuple(("X-Sutro-Key", value) for value in values), status, tool)

    good = _SUTRO_KEY
    none = {"SUTRO_MCP_TOKENS_FILE": "", "SUTRO_MCP_KEYS_DIR": ""}
    async with team(folder, settings={"SUTRO_MCP_AUTH": "sutro-key", **none, **_MANY}) as served:
        served.sutro.add(good)
        token = served.access.add("ana", good)
        cases = {
            "reads": own(good, status=200),
            "cancels": own(good, status=200, tool="cancel_job"),
            **{name: case for name, case in _anywhere(good).items() if name != "a Sutro key in its header"},
            "as Bearer": _bearer(good),
            "as Sutro takes it": _authorization(f"Key {good}"),
            "a token of ours as Bearer": _bearer(token),
            "in another header": Case((("X-Api-Key", good),)),
            "an empty key": own(""),
            "7 characters": own(good[:7]),
            "513 characters": own(good + "A" * (513 - len(good))),
            "a key of 9 KiB": own("A" * 9216),
            "a blank in it": own(f"{good} {good}"),
            "a key that is not ASCII": own(f"{good}\u00e9"),
            "two of the header": own(good, good),
        }
        await anyio.sleep(5)
        row = await _row(served, cases, "Sutro keys of callers, and what is none", own(good[:7]))
        # Whether a key of the right shape counts, only Sutro knows.
        stranger, request = (
            own("sk_of_a_stranger", status=200),
            modern("tools/call", _call(served, "get_job")),
        )
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            told = (await _ask(http, served.url, stranger, request)).text
        assert '"isError":true' in told
        assert "support-ticket-triage" not in told
        return row


def _call(served: Team, tool: str) -> dict[str, Any]:
    (account,) = served.sutro.accounts.values()
    return {"name": tool, "arguments": {"job_id": account.find("support-ticket-triage")}}


async def _row(served: Team, cases: Mapping[str, Case], done: str, bad: Case) -> Row:
    """Ask in both eras with each credential, and often with a bad one, for what it costs to refuse it."""
    wrong: list[str] = []
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        for era, make in _ERAS.items():
            for name, case in cases.items():
                before = served.sutro.requests
                reply = await _ask(http, served.url, case, make("tools/call", _call(served, case.tool)))
                challenge = reply.headers.get("www-authenticate", "")
                is_told = challenge.startswith("Bearer realm=") and served.sutro.requests == before
                is_served = reply.is_success and '"isError":true' not in reply.text
                if reply.status_code != case.status or not (is_served or is_told):
                    wrong.append(f"{era} {name}: {reply.status_code} {challenge}"[:160])
        cost = await _milliseconds(http, served, bad)
    refused = sum(case.status != 200 for case in cases.values())
    found = f"{refused} bad ones × 2 eras, {len(wrong)} answered otherwise; {cost:.2f} ms of CPU a refusal"
    found += "".join(f"; {one}" for one in wrong[:3])
    return Row("D7", f"{done}, both eras", "401 and 403; Sutro not asked", found, not wrong)


async def _ask(
    http: httpx.AsyncClient, url: str, case: Case, request: Mapping[str, Any], **more: str
) -> httpx.Response:
    own = [(name.encode(), value.encode()) for name, value in {**request["headers"], **more}.items()]
    shown = [(name.encode(), value.encode("latin-1")) for name, value in case.headers]
    return await http.post(f"{url}{case.query}", json=request["json"], headers=[*own, *shown])


async def _milliseconds(http: httpx.AsyncClient, served: Team, case: Case) -> float:
    """CPU of a replica that refusing takes."""
    replica = served.replicas[0]
    before = replica.usage()[0]
    for _ in range(_LOOKS):
        request, host = modern("tools/list", {}), served.url.split("/")[2]
        reply = await _ask(http, f"http://127.0.0.1:{replica.port}/mcp", case, request, Host=host)
        assert reply.status_code == 401
    return (replica.usage()[0] - before) / _LOOKS * 1000
