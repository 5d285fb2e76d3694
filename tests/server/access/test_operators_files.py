"""The files that an operator writes: tokens, keys that seal, Sutro keys."""

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mcp.server.request_state import InvalidRequestState
from starlette.datastructures import Headers
from starlette.requests import Request

from sutro_mcp.api import ApiKey, Connection
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.redaction import redact
from sutro_mcp.server.access.authentication import Caller, CredentialError
from sutro_mcp.server.access.header_credentials import BearerTokens, OwnKeys
from sutro_mcp.server.access.request_state_keys import request_state_security
from sutro_mcp.server.access.sutro_keys import SutroKeys
from sutro_mcp.server.access.token_file import (
    TOKEN,
    add_token,
    digest_of,
    list_tokens,
    parse_tokens,
    revoke_tokens,
)
from sutro_mcp.server.access.watched_file import WatchedFile, reason
from sutro_mcp.server.context import Principal

from .team import keys_folder, no_key, team_settings

pytestmark = pytest.mark.anyio
UNTIL = datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_token_is_in_no_file_and_found_by_its_hash(tmp_path: Path) -> None:
    """The file is its owner's alone; what else stands in it stays."""
    file = tmp_path / "tokens"
    first = add_token(file, "alice", ["sutro:read"], UNTIL)
    file.write_text(file.read_text() + "\n# of the night shift\n")
    second = add_token(file, "bob", ["sutro:cancel", "sutro:read"], None)
    text = file.read_text()
    assert TOKEN.fullmatch(first)
    assert first not in text
    assert "# of the night shift\n" in text
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    assert [str(token) for token in parse_tokens(text).values()] == [
        f"{digest_of(first)} alice sutro:read 2100-01-02T03:04:05Z",
        f"{digest_of(second)} bob sutro:read,sutro:cancel never",
    ]


def test_tokens_of_one_name_are_revoked_together_or_singly(tmp_path: Path) -> None:
    """So that a new one can be handed out before the old one goes."""
    file = tmp_path / "tokens"
    for name in ("alice", "alice", "bob", "alice", "carol"):
        add_token(file, name, ["sutro:read"], UNTIL)
    old = list_tokens(file)[0]
    assert revoke_tokens(file, "alice", old.token_id) == 1
    assert revoke_tokens(file, "alice") == 2
    assert revoke_tokens(file, "alice") == 0
    assert revoke_tokens(file, "carol") == 1
    assert [token.name for token in list_tokens(file)] == ["bob"]


@pytest.mark.parametrize(
    "expires",
    [
        "2100-01-02T03:04:05+00:00",
        "2100-01-02T03:04:05.000Z",
        "21000102T030405Z",
        "2100-01-02T05:04:05+02:00",
        "2100-01-02T03:04Z",
    ],
)
def test_a_token_is_revoked_however_an_operator_spelled_its_line(tmp_path: Path, expires: str) -> None:
    """Every spelling that lets a caller in can be taken back, and is counted once for each line."""
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n{'a' * 64} \t ana  sutro:read {expires}\n{'b' * 64} bob sutro:read {expires}\n")
    assert revoke_tokens(file, "ana") == 1
    assert file.read_text() == f"# ours\n{'b' * 64} bob sutro:read {expires}\n"


def test_a_command_on_tokens_reads_nothing_while_another_writes(tmp_path: Path) -> None:
    """What it had read would bring back what the other revokes. A command that fails keeps none out."""
    file, other = tmp_path / "tokens", tmp_path / "tokens.new"
    file.write_bytes(b"\xff")
    other.touch()
    busy = r"another command is writing .*tokens\. Try again"
    with pytest.raises(ConfigurationError, match=busy):
        add_token(file, "ana", [], None)
    with pytest.raises(ConfigurationError, match=busy):
        revoke_tokens(file, "ana")
    other.unlink()
    with pytest.raises(ConfigurationError, match=r"Cannot add a token: .* \(it is not text\)"):
        add_token(file, "ana", [], None)
    file.write_text("wrong")
    with pytest.raises(ConfigurationError, match="Cannot revoke a token: line 1 is not"):
        revoke_tokens(file, "ana")
    assert not other.exists()


def test_a_tokens_file_that_is_a_link_stays_one(tmp_path: Path) -> None:
    """Servers that were given the file itself see a revoke too."""
    file, link = tmp_path / "tokens", tmp_path / "link"
    link.symlink_to(file)
    add_token(link, "ana", ["sutro:read"], UNTIL)
    add_token(link, "bob", ["sutro:read"], UNTIL)
    assert revoke_tokens(link, "ana") == 1
    assert link.is_symlink()
    assert [token.name for token in list_tokens(file)] == ["bob"]


def test_a_tokens_file_keeps_its_owner_and_mode(tmp_path: Path) -> None:
    """A server that runs as another user than the operator reads it as before."""
    file = tmp_path / "tokens"
    add_token(file, "ana", ["sutro:read"], UNTIL)
    with suppress(OSError):  # only root gives files away
        os.chown(file, 1, 1)
    file.chmod(0o640)
    before = file.stat()
    add_token(file, "bob", ["sutro:read"], UNTIL)
    revoke_tokens(file, "ana")
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_tokens_file_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    """Each command says what is wrong with it, or with the name."""
    (tmp_path / "folder").mkdir()
    for path, read, written in (
        (tmp_path / "none", "there is no file", None),
        (tmp_path / "folder", r"cannot be read \(invalid argument\)", "cannot be read"),
        (tmp_path / "none" / "x", "there is no file", r"cannot be written \(no such file or directory\)"),
    ):
        with pytest.raises(ConfigurationError, match=f"Cannot list the tokens: .*{read}"):
            list_tokens(path)
        if written:
            with pytest.raises(ConfigurationError, match=f"Cannot add a token: .*{written}"):
                add_token(path, "ana", [], None)
    for name in ("", "two words", "-x", "a" * 65, "é"):
        with pytest.raises(ConfigurationError, match="is no name"):
            add_token(tmp_path / "none", name, [], None)


@pytest.mark.parametrize(
    "line",
    [
        "x alice sutro:read never",
        "alice",
        f"{'a' * 64} alice sutro:admin never",
        f"{'a' * 64} a sutro:read 2100-01-01",
        f"{'a' * 64} a sutro:read sometime",
    ],
)
async def test_nobody_is_let_in_by_a_file_with_a_line_that_is_wrong(tmp_path: Path, line: str) -> None:
    """It may be the line that revokes; the log names it."""
    file = tmp_path / "tokens"
    token = add_token(file, "alice", ["sutro:read"], UNTIL)
    file.write_text(f"{file.read_text()}{line}\n")
    tokens = BearerTokens(file)
    with pytest.raises(CredentialError) as caught:
        await tokens(Headers({"authorization": f"Bearer {token}"}))
    assert caught.value.reason == "unavailable"
    assert not await tokens.is_ready()
    with pytest.raises(ConfigurationError, match=r"line 3 is not: sha256 name scopes expires"):
        list_tokens(file)
    file.unlink()
    with pytest.raises(CredentialError, match="cannot be checked at the moment"):
        await tokens(Headers({"authorization": f"Bearer {token}"}))


async def test_a_token_says_who_calls_until_when_and_for_what(tmp_path: Path) -> None:
    """One that is known; another, and one that is too long to be any, say nobody."""
    file = tmp_path / "tokens"
    given = [add_token(file, "ana", ["sutro:read"], UNTIL), add_token(file, "bob", ["sutro:cancel"], None)]
    tokens = BearerTokens(file)
    assert await tokens.is_ready()
    found = [await tokens(Headers({"authorization": f"bearer  {token}"})) for token in given]
    assert [(each.principal.id, sorted(each.principal.scopes), each.expires) for each in found] == [
        ("bearer ana", ["read"], UNTIL.timestamp()),
        ("bearer bob", ["cancel", "read"], None),
    ]
    (line, _) = list_tokens(file)
    assert (line.token_id, line.has_expired(UNTIL)) == (digest_of(given[0])[:8], True)
    assert not line.has_expired(UNTIL - timedelta(seconds=1))
    for length, expected in ((193, "unknown"), (194, "malformed")):
        with pytest.raises(CredentialError) as caught:
            await tokens(Headers({"authorization": f"Bearer {'a' * length}"}))
        assert caught.value.reason == expected


async def test_a_callers_own_key_gives_it_the_same_name_on_every_replica() -> None:
    """From which nobody guesses the key."""
    keys = OwnKeys()
    assert await keys.is_ready()
    found = (await keys(Headers({"x-sutro-key": "sk_alice_0123456789"}))).principal
    assert (found.id, found.label) == ("sutro-key 4f1e1a9dade0acfb8ab68d705cc57cda", "4f1e1a9d")
    assert redact("sk_alice_0123456789") == "sk_alice_0123456789"  # in the answers of others
    for given in ([], ["short"], ["sk_alice_0123456789"] * 2):
        with pytest.raises(CredentialError) as caught:
            await keys(Headers(raw=[(b"x-sutro-key", each.encode()) for each in given]))
        assert caught.value.reason == ("malformed" if given else "missing")


def test_a_file_is_read_again_when_it_has_changed_and_no_more_than_once_a_second(tmp_path: Path) -> None:
    """Also through a link that is put elsewhere, as mounted secrets are."""
    now = 0.0
    for name in ("one", "three"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "link"
    link.symlink_to("one")
    read: list[str] = []
    file = WatchedFile(link, lambda text: read.append(text) or text, lambda: now)
    for moment, target, seen in (
        (0.0, "one", "one"),
        (0.9, "three", "one"),
        (1.0, "three", "three"),
        (1.9, "one", "three"),
        (3.5, "one", "one"),
        (4.5, "one", "one"),
    ):
        now = moment
        link.unlink()
        link.symlink_to(target)
        assert (file.value(), file.value()) == (seen, seen)
    assert read == ["one", "three", "one"]
    link.unlink()
    now = 9.0
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            file.value()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "/etc/tokens"), "no such file or directory"),
        (OSError("odd"), "odd"),
        (ValueError("line 1 is wrong"), "line 1 is wrong"),
        (UnicodeDecodeError("utf-8", b"sk_", 0, 1, "sk_"), "it is not text"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reason_is_said_without_what_is_in_the_file(error: OSError | ValueError, said: str) -> None:
    """Nor where it is."""
    assert reason(error) == said


def test_a_file_that_others_may_change_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who writes it decides who is let in."""
    path = tmp_path / "tokens"
    path.write_text("")
    file = WatchedFile(path, parse_tokens, count(0.0, 2.0).__next__)
    path.chmod(0o644)
    file.value()
    assert caplog.messages == []
    path.chmod(0o666)
    for _ in range(3):
        file.value()
    assert caplog.messages == [f"{path} can be changed by other users: remove their rights (chmod go-w)"]


def test_keys_that_seal_change_one_replica_after_the_other(tmp_path: Path) -> None:
    """The first line seals, every line opens; without the file nothing does."""
    old, new = "o" * 32, "n" * 40
    (tmp_path / "first").write_text(f"{old}\n")
    (tmp_path / "second").write_text(f"{new}\n{old}\n")
    (tmp_path / "third").write_text(f"{new}\n")
    first, second, third = (
        request_state_security(tmp_path / name).codec for name in ("first", "second", "third")
    )
    assert second.unseal(first.seal(b"x")) == b"x"
    assert third.unseal(second.seal(b"x")) == b"x"
    with pytest.raises(InvalidRequestState):
        third.unseal(first.seal(b"x"))
    (tmp_path / "short").write_text(f"{old}\n{'s' * 31}")
    (tmp_path / "empty").write_text("\n")
    for name, why in (
        ("short", "a key is missing or too short"),
        ("empty", "a key is missing or too short"),
        ("missing", "no such file"),
    ):
        with pytest.raises(ConfigurationError, match=f"{why}.*at least 32 random characters"):
            request_state_security(tmp_path / name)


@pytest.mark.parametrize("content", [None, "short"], ids=["gone", "wrong"])
def test_nothing_is_opened_while_the_file_of_keys_cannot_be_used(
    tmp_path: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old key may be what was taken away."""
    monkeypatch.setattr("sutro_mcp.server.access.watched_file._LOOK_SECONDS", 0.0)
    path = tmp_path / "keys"
    path.write_text("k" * 32)
    codec = request_state_security(path).codec
    sealed = codec.seal(b"x")
    path.unlink()
    if content:
        path.write_text(content)
    with pytest.raises(InvalidRequestState, match="no keys: "):
        codec.unseal(sealed)


def test_what_is_sealed_is_opened_for_the_same_caller_and_program_alone(tmp_path: Path) -> None:
    """A yes of Bob's is no answer to what Alice was asked, on any replica."""
    path = tmp_path / "keys"
    path.write_text("k" * 32)
    bind: Any = request_state_security(path).bind_principal

    def bound(name: str, client: str) -> str:
        caller = Caller(Principal(name, name, "oauth", frozenset({"cancel"}), client_id=client))
        return bind(SimpleNamespace(request=Request({"type": "http", "user": caller})))

    names = [bound("alice", "one"), bound("alice", "two"), bound("bob", "one"), bound("alice", "one")]
    assert names == ["one alice", "two alice", "one bob", "one alice"]
    assert bind(SimpleNamespace(request=None)) is None


def principal(label: str, *groups: str) -> Principal:
    return Principal(label, label, "oauth", frozenset({"read"}), groups)


def test_the_key_of_a_person_goes_before_that_of_a_group_and_no_name_reaches_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are the issuer's: they may hold anything."""
    monkeypatch.setenv("SUTRO_API_URL", "https://sutro.example.com")
    folder = keys_folder(tmp_path / "keys", alice="sk_alice_0123456789")
    (folder / "group-night").write_text("sk_night_0123456789")
    (tmp_path / "stolen").write_text("sk_stolen_0123456789")
    keys = SutroKeys(team_settings(auth="oauth", oidc_issuer="https://i.example", keys_dir=folder), no_key)
    assert keys(principal("alice", "night")).key.reveal() == "sk_alice_0123456789"
    assert keys(principal("carol", "day", "night")).key.reveal() == "sk_night_0123456789"
    for label in ("night", "../stolen", "x/../../stolen", "group-night", "alice\0", "alice_"):
        with pytest.raises(ConfigurationError, match="no Sutro key for"):
            keys(principal(label))
    shared = Connection("https://sutro.example.com/v1", ApiKey("sk_shared_0123456789", "x"), "a", "b")
    for given in ({"shared_key": True}, {"demo": True}):
        settings = team_settings(auth="oauth", oidc_issuer="https://i.example", **given)
        assert SutroKeys(settings, lambda: shared)(principal("carol")) is shared
    (folder / "principal-bob").write_text("two words")
    with pytest.raises(ConfigurationError, match="not all printable ASCII"):
        keys(principal("bob"))
