"""What `sutro-mcp check` says of a server for a team: what works, what could be better, what does not work."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.server.access.token_file import add_token
from sutro_mcp.server.operator_check import findings
from sutro_mcp.settings import Settings

pytestmark = pytest.mark.anyio

# Nothing listens there, and nothing is asked of a name server.
PUBLIC_URL = "http://127.0.0.1:9/mcp"
UNUSABLE = "the file named by SUTRO_MCP_STATE_KEYS_FILE cannot be used"
ELSEWHERE = (
    "warn: what is served at http://127.0.0.1:9/.well-known/oauth-protected-resource was not seen from here: "
)


async def said(settings: dict[str, Any], token: str | None = None) -> list[str]:
    made = Settings.model_validate({"transport": "http", "public_url": PUBLIC_URL, **settings})
    lines = [f"{finding.level}: {finding.text}" async for finding in findings(made, token)]
    return [line.partition(ELSEWHERE)[1] or line for line in lines]


async def test_tokens_keys_and_secrets_are_looked_at(tmp_path: Path) -> None:
    """Each with what is to be done; a token that is given is tried."""
    tokens, keys, state = tmp_path / "tokens", tmp_path / "keys", tmp_path / "state"
    good = add_token(tokens, "ana", ["sutro:read"], None)
    keys.mkdir()
    (keys / "principal-ana").write_text("sk_canary_12345")
    (keys / "principal-ana").chmod(0o600)
    state.write_text("k" * 40)
    settings = {"auth": "bearer", "tokens_file": tokens, "keys_dir": keys, "state_keys_file": state}
    assert await said(settings, good) == [
        "ok: mode bearer, callers find it at http://127.0.0.1:9/mcp",
        "ok: tokens: 1 valid, 0 expired",
        "ok: Sutro keys of persons or groups: everyone with a token has one",
        "ok: state key dc7ff6ae: it must be the same on every replica",
        ELSEWHERE,
        "ok: the token is accepted: ana, who may do: read",
    ]
    add_token(tokens, "bo", ["sutro:read"], datetime(2020, 1, 1, tzinfo=UTC))
    tokens.chmod(0o666)
    state.write_text("short")
    redis = tmp_path / "redis"
    redis.write_text(f"unix://{tmp_path}/none.sock")
    assert await said(settings | {"redis_url_file": redis}, "smcp_wrong") == [
        "ok: mode bearer, callers find it at http://127.0.0.1:9/mcp",
        "fail: tokens: 1 valid, 1 expired; others may write into the file: chmod 600 it",
        "warn: 1 have a token and no Sutro key, such as bo",
        f"fail: state keys: {UNUSABLE} (a key is missing or too short)",
        "warn: Redis does not answer: watching costs more, and rates are each replica's share",
        ELSEWHERE,
        "fail: the token is not accepted (unknown): There is no such token. Ask the operator for one",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX")
@pytest.mark.parametrize(
    ("folder", "file", "words"),
    [
        (0o700, 0o666, None),
        (0o755, 0o640, None),
        (0o1777, 0o640, None),
        (0o755, 0o644, "warn: others may read what is in the keys folder: chmod it"),
        (0o755, 0o620, "fail: others may write into what is in the keys folder: chmod it"),
        (0o777, 0o600, "fail: others may write into what is in the keys folder: chmod it"),
    ],
)
async def test_files_that_others_may_open_are_told(
    tmp_path: Path, folder: int, file: int, words: str | None
) -> None:
    """Of the keys, and of the tokens, in which there are only hashes."""
    tokens, keys = tmp_path / "tokens", tmp_path / "keys"
    add_token(tokens, "ana", ["sutro:read"], None)
    tokens.chmod(0o644)
    keys.mkdir()
    (keys / "principal-ana").write_text("sk_canary_12345")
    (keys / "principal-ana").chmod(file)
    keys.chmod(folder)
    lines = await said({"auth": "bearer", "tokens_file": tokens, "keys_dir": keys})
    assert lines[1] == "warn: tokens: 1 valid, 0 expired; others may read the file: chmod 600 it"
    assert [line for line in lines if "keys folder" in line] == ([words] if words else [])


async def test_an_issuer_that_cannot_be_reached_is_a_failure(tmp_path: Path) -> None:
    """Nobody can be let in."""
    lines = await said({"auth": "oauth", "oidc_issuer": "http://127.0.0.1:9", "keys_dir": tmp_path})
    assert [line.partition(":")[0] for line in lines] == [
        "ok",
        "fail",
        "warn",
        "warn",
        "ok",
        "ok",
        "warn",
        "warn",
    ]
    assert lines[4] == f"ok: tokens have to be for {PUBLIC_URL}"
