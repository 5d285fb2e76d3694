"""What `sutro-mcp check` says of a server for a team: each thing that an operator may have missed."""

import hashlib
import os
import stat
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from sutro_mcp.api import Connection, fetch_document, resolve_connection
from sutro_mcp.errors import ConfigurationError, SutroError
from sutro_mcp.settings import Settings

from .access.authentication import CredentialError
from .access.authentication_modes import authenticate_by
from .access.issuer_keys import IssuerKeys
from .access.request_state_keys import request_state_security
from .access.sutro_keys import SutroKeys
from .access.token_file import TokenLine, parse_tokens
from .context import Principal

_DOING = "check the server for a team"


class Finding(NamedTuple):
    """One line: `warn` for what works worse than it could, `fail` for what does not work."""

    level: Literal["ok", "warn", "fail"]
    text: str


async def findings(settings: Settings, token: str | None = None) -> AsyncGenerator[Finding]:
    """All that is to be said, in the order of a call; `token` is one to be tried."""
    yield Finding("ok", f"mode {settings.auth}, callers find it at {settings.public_url}")
    tokens: dict[str, TokenLine] = {}
    if settings.auth == "oauth":
        async for finding in _issuer(settings):
            yield finding
    elif settings.tokens_file is not None and settings.auth == "bearer":
        path = settings.tokens_file.expanduser()
        try:
            tokens = parse_tokens(path.read_text("utf-8"))
            yield _of_tokens(tokens, path)
        except (OSError, ValueError) as error:
            yield Finding("fail", f"nobody is let in, as the tokens file cannot be used: {_reason(error)}")
    yield _sutro_keys(settings, tokens)
    if settings.keys_dir is not None and (finding := _keys_folder(settings.keys_dir.expanduser())):
        yield finding
    yield _state_keys(settings)
    if settings.redis_url_file is not None:
        yield await _redis(settings.redis_url_file)
    yield await _discovery(settings)
    if token is not None:
        yield await _token(settings, token)


async def _issuer(settings: Settings) -> AsyncGenerator[Finding]:
    issuer = settings.oidc_issuer or ""
    audience = " or ".join(settings.oidc_audience) or settings.public_url
    try:
        keys = IssuerKeys(issuer, settings.oidc_jwks_url, fetch_document)
        await keys.find(None)
        yield Finding("ok", f"issuer {issuer} publishes keys that can be used")
    except SutroError as error:
        yield Finding("fail", f"issuer {issuer}: {error.happened}")
    try:
        metadata = await fetch_document(f"{issuer.rstrip('/')}/.well-known/openid-configuration", _DOING)
    except SutroError as error:
        yield Finding("warn", f"no metadata of OpenID Connect at the issuer: {error.happened}")
        metadata: Mapping[str, object] = {}
    else:
        if "S256" not in str(metadata.get("code_challenge_methods_supported", "")):
            yield Finding("warn", "the issuer does not say that it knows PKCE (S256), which hosts demand")
    registers = ("client_id_metadata_document_supported", "registration_endpoint")
    if not any(metadata.get(name) for name in registers):
        yield Finding(
            "warn", "the issuer registers no clients by itself: claude.ai and ChatGPT need one there"
        )
    yield Finding("ok", f"tokens have to be for {audience}")


def _of_tokens(tokens: Mapping[str, TokenLine], path: Path) -> Finding:
    expired = sum(line.has_expired(datetime.now(UTC)) for line in tokens.values())
    text = f"tokens: {len(tokens) - expired} valid, {expired} expired"
    if (open_to := _open_to_others([path])) is not None:
        return Finding(open_to[0], f"{text}; others may {open_to[1]} the file: chmod 600 it")
    return Finding("ok" if len(tokens) > expired else "warn", text)


def _open_to_others(paths: Iterable[Path]) -> tuple[Literal["warn", "fail"], str] | None:
    """What other users of this computer may do with one of the files, and how bad that is."""
    modes = [path.stat().st_mode for path in paths] if os.name == "posix" else []
    if any(mode & 0o022 for mode in modes):
        return "fail", "write into"
    return ("warn", "read") if any(mode & 0o004 for mode in modes) else None


def _sutro_keys(settings: Settings, tokens: Mapping[str, TokenLine]) -> Finding:
    if settings.auth == "sutro-key":
        return Finding("ok", "each caller brings a Sutro key")
    if settings.shared_key or settings.demo:
        try:
            if not settings.demo:
                resolve_connection()
        except ConfigurationError as error:
            return Finding("fail", f"the shared Sutro key: {error.happened}")
        return Finding(
            "warn", "callers without a Sutro key of their own use the server's: each sees its jobs"
        )
    finds = SutroKeys(settings, _no_shared_key)
    without: list[str] = []
    for name in sorted({line.name for line in tokens.values()}):
        try:
            finds(Principal(f"bearer {name}", name, "bearer", frozenset()))
        except ConfigurationError:
            without.append(name)
    if without:
        return Finding("warn", f"{len(without)} have a token and no Sutro key, such as {without[0]}")
    known = "everyone with a token has one" if tokens else "who has one is known when they call"
    return Finding("ok", f"Sutro keys of persons or groups: {known}")


def _keys_folder(folder: Path) -> Finding | None:
    try:
        mode = folder.stat().st_mode
        # Files that nobody else may reach are not open to others, whatever their own modes are.
        files = [path for path in folder.iterdir() if path.is_file()] if mode & 0o011 else []
        open_to = _open_to_others(files)
        # A mounted Secret is a folder like /tmp: the sticky bit keeps others from replacing what is in it.
        if os.name == "posix" and mode & 0o022 and not mode & stat.S_ISVTX:
            open_to = "fail", "write into"
    except OSError as error:
        return Finding("fail", f"the keys folder cannot be used: {_reason(error)}")
    return open_to and Finding(open_to[0], f"others may {open_to[1]} what is in the keys folder: chmod it")


def _no_shared_key() -> Connection:
    raise ConfigurationError(_DOING, "there is no shared key", "Set SUTRO_MCP_SHARED_KEY")


def _state_keys(settings: Settings) -> Finding:
    if settings.state_keys_file is None:
        return Finding(
            "warn", "no state keys: one replica does not understand an answer to another's question"
        )
    try:
        request_state_security(settings.state_keys_file)
    except ConfigurationError as error:
        return Finding("fail", f"state keys: {error.happened}")
    first = settings.state_keys_file.expanduser().read_text("utf-8").split()[0]
    fingerprint = hashlib.sha256(f"state key {first}".encode()).hexdigest()[:8]
    return Finding("ok", f"state key {fingerprint}: it must be the same on every replica")


async def _redis(file: Path) -> Finding:
    try:
        from .replicas.redis_link import RedisDownError, RedisLink
    except ImportError:
        return Finding("fail", "Redis: the library is missing, install sutro-mcp[redis]")
    try:
        version, milliseconds, policy = await RedisLink.from_file(file).look()
    except ConfigurationError as error:
        return Finding("fail", f"Redis: {error.happened}")
    except RedisDownError:
        return Finding(
            "warn", "Redis does not answer: watching costs more, and rates are each replica's share"
        )
    text = f"Redis {version} answers in {milliseconds:.1f} ms, its eviction policy is {policy}"
    return Finding("ok" if policy in ("noeviction", "volatile-ttl") else "warn", text)


async def _discovery(settings: Settings) -> Finding:
    """What is served at the place where clients look for an issuer: with a header mode it must be nothing."""
    parts = urlsplit(settings.public_url or "")
    url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource"
    try:
        document: Mapping[str, Any] = await fetch_document(url, _DOING)
    except SutroError as error:
        if settings.auth != "oauth" and "404" in error.happened:
            return Finding("ok", "no discovery document is served, as it has to be")
        return Finding("warn", f"what is served at {url} was not seen from here: {error.happened}")
    if settings.auth != "oauth":
        return Finding("fail", f"something answers at {url}: hosts then forget the header, and begin OAuth")
    is_ours = document.get("resource") == settings.public_url
    return Finding("ok" if is_ours else "fail", f"discovery document for {document.get('resource')}")


async def _token(settings: Settings, token: str) -> Finding:
    name = "x-sutro-key" if settings.auth == "sutro-key" else "authorization"
    value = token if settings.auth == "sutro-key" else f"Bearer {token}"
    try:
        found = await authenticate_by(settings)(Headers({name: value}))
    except CredentialError as error:
        return Finding("fail", f"the token is not accepted ({error.reason}): {error.why}")
    scopes = ", ".join(sorted(found.principal.scopes)) or "nothing"
    return Finding("ok", f"the token is accepted: {found.principal.label}, who may do: {scopes}")


def _reason(error: OSError | ValueError) -> str:
    return os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
