"""An issuer of access tokens on loopback: metadata, signing keys, and tokens of any kind."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sutro_mcp.asgi_serving import listen, serving

AUDIENCE = "https://mcp.example/mcp"


@dataclass
class Issuer:
    """Keys by their id; those in `published` are in its document."""

    url: str
    keys: dict[str, Any] = field(default_factory=dict[str, Any])
    published: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    keys_url: str | None = None
    """Where its metadata say that the keys are, if not where they are."""
    fetches: int = 0
    is_down: bool = False

    def add_rsa(self, key_id: str) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.keys[key_id] = key
        self.published[key_id] = json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": key_id}

    def add_ec(self, key_id: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.keys[key_id] = key
        self.published[key_id] = json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": key_id}

    def token(
        self,
        key_id: str = "r1",
        algorithm: str = "RS256",
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A good token but for what is given, of which None leaves a claim out."""
        now = int(time.time())
        expires_in = claims.pop("expires_in", 300)
        fields = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": now + expires_in,
            "iat": now,
            "scope": "openid sutro:read",
            "azp": "a-client",
        } | claims
        payload = {name: value for name, value in fields.items() if value is not None}
        named = {"kid": key_id, **(headers or {})}
        kept = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(payload, self.keys[key_id], algorithm, kept)

    async def metadata(self, _: Request) -> Response:
        return self._answer({"issuer": self.url, "jwks_uri": self.keys_url or f"{self.url}/keys"})

    async def jwks(self, _: Request) -> Response:
        self.fetches += 1
        return self._answer({"keys": list(self.published.values())})

    def _answer(self, document: dict[str, Any]) -> Response:
        return JSONResponse(document, 503 if self.is_down else 200)


@asynccontextmanager
async def issuing() -> AsyncGenerator[Issuer]:
    """An issuer with one key of each kind."""
    listening = listen("127.0.0.1", 0)
    issuer = Issuer(f"http://127.0.0.1:{listening.getsockname()[1]}")
    issuer.add_rsa("r1")
    issuer.add_ec("e1")
    app = Starlette(
        routes=[Route("/.well-known/openid-configuration", issuer.metadata), Route("/keys", issuer.jwks)]
    )
    with listening:
        async with serving(app, listening, grace_seconds=1):
            yield issuer
