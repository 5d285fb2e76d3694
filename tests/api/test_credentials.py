"""Where URL and key come from, and that they are never mixed."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from sutro_mcp.api import ApiKey, Connection, resolve_connection
from sutro_mcp.errors import ConfigurationError

KEY = "sk_live_from_environment"
FILE_KEY = "sk_live_from_file"
URL = "https://one.example.com"
FILE_URL = "https://two.example.com"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose owner did `sutro login`."""
    return saved(tmp_path, {"api_key": FILE_KEY, "api_url": FILE_URL})


def saved(home: Path, config: object) -> Path:
    folder = home / ".sutro"
    folder.mkdir(exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text)
    return home


def found(connection: Connection) -> tuple[str, str, str, str]:
    return connection.base_url, connection.key.reveal(), connection.url_source, connection.key_source


def test_the_environment_pair_is_used(home: Path) -> None:
    """Both variables set: the file is ignored."""
    env = {"SUTRO_API_URL": URL, "SUTRO_API_KEY": KEY}
    assert found(resolve_connection(env=env, home=home)) == (
        f"{URL}/v1",
        KEY,
        "SUTRO_API_URL",
        "SUTRO_API_KEY",
    )


def test_a_key_alone_in_the_environment_goes_to_the_default_url_not_to_that_of_the_file(home: Path) -> None:
    """The pair of the file stays a pair."""
    connection = resolve_connection(env={"SUTRO_API_KEY": KEY}, home=home)
    assert found(connection) == ("https://api.sutro.sh", KEY, "default", "SUTRO_API_KEY")


def test_a_url_alone_in_the_environment_is_refused_although_the_file_has_a_key(home: Path) -> None:
    """The message names the missing half and why the file's key is not used."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_connection(env={"SUTRO_API_URL": URL}, home=home)
    assert str(caught.value) == (
        "Cannot connect to Sutro: SUTRO_API_URL is set but SUTRO_API_KEY is not, and a key saved in "
        "~/.sutro/config.json is never sent to a URL from the environment. Set SUTRO_API_KEY (or "
        "SUTRO_API_KEY_FILE) to a key of that deployment, or unset SUTRO_API_URL."
    )


def test_without_variables_the_file_of_the_official_sdk_is_used(home: Path) -> None:
    """A user who did `sutro login` needs no configuration."""
    source = "~/.sutro/config.json"
    assert found(resolve_connection(env={}, home=home)) == (f"{FILE_URL}/v1", FILE_KEY, source, source)


@pytest.mark.parametrize(
    ("config", "url", "source"),
    [
        pytest.param(
            {"api_key": FILE_KEY, "base_url": FILE_URL},
            f"{FILE_URL}/v1",
            "~/.sutro/config.json",
            id="legacy name",
        ),
        pytest.param(
            {"api_key": FILE_KEY, "api_url": URL, "base_url": FILE_URL},
            f"{URL}/v1",
            "~/.sutro/config.json",
            id="the new name wins",
        ),
        pytest.param({"api_key": FILE_KEY}, "https://api.sutro.sh", "default", id="no URL"),
        pytest.param(
            {"api_key": FILE_KEY, "api_url": None, "other": 5}, "https://api.sutro.sh", "default", id="null"
        ),
    ],
)
def test_the_file_may_be_of_any_age(tmp_path: Path, config: dict[str, object], url: str, source: str) -> None:
    """Older SDKs wrote `base_url`, or only a key."""
    connection = resolve_connection(env={}, home=saved(tmp_path, config))
    assert (connection.base_url, connection.url_source) == (url, source)


@pytest.mark.parametrize(
    "blank", ["", "  ", "${user_config.sutro_api_key}", " ${user_config.api_url} "], ids=repr
)
def test_a_blank_variable_counts_as_unset(home: Path, blank: str) -> None:
    """Desktop hosts pass blanks for optional fields."""
    env = {"SUTRO_API_URL": blank, "SUTRO_API_KEY": blank, "SUTRO_API_KEY_FILE": blank}
    assert resolve_connection(blank, blank, env=env, home=home).key.reveal() == FILE_KEY


def test_an_explicit_pair_wins_over_everything(home: Path) -> None:
    """Nothing else is looked at, not even a broken variable."""
    env = {"SUTRO_API_URL": "nonsense", "SUTRO_API_KEY_FILE": "/nowhere"}
    assert found(resolve_connection(URL, KEY, env=env, home=home)) == (
        f"{URL}/v1",
        KEY,
        "argument",
        "argument",
    )


def test_an_explicit_key_may_use_the_url_of_the_environment_but_never_that_of_the_file(home: Path) -> None:
    """The environment is a deliberate choice for this process; the file may be stale."""
    with_variable = resolve_connection(api_key=KEY, env={"SUTRO_API_URL": URL}, home=home)
    without = resolve_connection(api_key=KEY, env={}, home=home)
    assert found(with_variable) == (f"{URL}/v1", KEY, "SUTRO_API_URL", "argument")
    assert found(without) == ("https://api.sutro.sh", KEY, "default", "argument")


@pytest.mark.parametrize(
    ("url", "env"),
    [
        pytest.param(f"{FILE_URL}/v1/", {}, id="the file's URL"),
        pytest.param(URL, {"SUTRO_API_URL": URL, "SUTRO_API_KEY": KEY}, id="the environment's URL"),
        pytest.param("https://api.sutro.sh/v1", {"SUTRO_API_KEY": KEY}, id="the default URL"),
    ],
)
def test_an_explicit_url_reuses_a_key_that_was_meant_for_it(
    home: Path, url: str, env: dict[str, str]
) -> None:
    """The normalised URLs decide."""
    connection = resolve_connection(url, env=env, home=home)
    assert connection.key.reveal() == (KEY if env else FILE_KEY)
    assert connection.url_source == "argument"


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="file"),
        pytest.param({"SUTRO_API_KEY": KEY}, id="environment"),
        pytest.param({"SUTRO_API_KEY": KEY, "SUTRO_API_URL": "nonsense"}, id="invalid URL beside the key"),
    ],
)
def test_an_explicit_url_never_gets_a_key_meant_for_another(home: Path, env: dict[str, str]) -> None:
    """A key belongs to one deployment."""
    with pytest.raises(ConfigurationError, match="no key that belongs to it"):
        resolve_connection("https://three.example.com", env=env, home=home)


@pytest.mark.parametrize("config", [None, "{}"], ids=["no file", "empty"])
def test_nothing_configured_says_what_to_do(tmp_path: Path, config: str | None) -> None:
    """Both ways out are named."""
    if config is not None:
        saved(tmp_path, config)
    with pytest.raises(ConfigurationError) as caught:
        resolve_connection(env={}, home=tmp_path)
    assert str(caught.value) == (
        "Cannot connect to Sutro: no API key is configured. Set SUTRO_API_KEY (and SUTRO_API_URL to your "
        "deployment), or run `sutro login`."
    )


def test_the_file_may_hold_a_url_without_a_key(tmp_path: Path) -> None:
    """`sutro set-api-url` clears the key."""
    with pytest.raises(ConfigurationError, match=r"deployment URL \(from ~/.sutro/config.json\) but no key"):
        resolve_connection(env={}, home=saved(tmp_path, {"api_url": URL}))


def test_a_user_without_a_home_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that nobody described."""

    def lost() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", lost)
    with pytest.raises(ConfigurationError, match="no API key is configured"):
        resolve_connection(env={})


def test_environment_and_home_of_the_process_are_the_defaults(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """What a program gets that passes nothing."""
    monkeypatch.setenv("HOME", str(home))
    assert resolve_connection().key.reveal() == FILE_KEY


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"\xff", "it is not text"),
        (b" " * (1024 * 1024 + 1), "it is too large"),
        (b"[]", "it is not a JSON object"),
        (b'{"api_key": "sk_1", "base_url": 5}', "its field base_url is not text"),
        (b'{"api_key": "sk_1", "api_url": ["https://a.example.com"]}', "its field api_url is not text"),
        (b'{"api_key": 7, "api_url": "https://a.example.com"}', "its field api_key is not text"),
        (b'{"api_key": "sk_1", "base_url": ""}', "its field base_url is blank or a placeholder"),
        (b'{"api_key": "sk_1", "api_url": " "}', "its field api_url is blank or a placeholder"),
        (
            b'{"api_key": "sk_1", "base_url": "${user_config.url}"}',
            "its field base_url is blank or a placeholder",
        ),
        (
            b'{"api_key": "sk_1", "base_url": "https://a.example.com", "base_url": null}',
            "its field base_url is given twice",
        ),
        (b'{"api_key": "sk_1", "api_key": "sk_2"}', "its field api_key is given twice"),
    ],
    ids=[
        *("broken", "deep", "binary", "huge", "list", "old URL", "URL", "key"),
        *("no URL", "blank URL", "placeholder", "two URLs", "two keys"),
    ],
)
def test_a_damaged_file_is_named_without_its_content(tmp_path: Path, content: bytes, why: str) -> None:
    """The text of a decoding error could hold part of a key; half a pair could send it elsewhere."""
    (saved(tmp_path, {}) / ".sutro" / "config.json").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        resolve_connection(env={}, home=tmp_path)
    assert f"~/.sutro/config.json cannot be used ({why})" in str(caught.value)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A folder in its place, for example."""
    (tmp_path / ".sutro" / "config.json").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"config.json cannot be used \(Is a directory\)"):
        resolve_connection(env={}, home=tmp_path)


ENCODINGS = pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])


@ENCODINGS
def test_files_of_windows_editors_are_read(tmp_path: Path, encoding: str) -> None:
    """With a byte-order mark, and in UTF-16."""
    config = json.dumps({"api_key": FILE_KEY, "api_url": FILE_URL})
    (saved(tmp_path, {}) / ".sutro" / "config.json").write_text(config, encoding)
    assert resolve_connection(env={}, home=tmp_path).key.reveal() == FILE_KEY
    secret = tmp_path / "secret"
    secret.write_text(f"{KEY}\r\n", encoding)
    assert resolve_connection(env={"SUTRO_API_KEY_FILE": str(secret)}).key.reveal() == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602], ids=oct)
def test_a_file_that_others_can_use_is_warned_of_once(
    home: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Its mode is its owner's business."""
    path = home / ".sutro" / "config.json"
    path.chmod(mode)
    for _ in range(2):
        assert resolve_connection(env={}, home=home).key.reveal() == FILE_KEY
    assert caplog.messages == [
        f"{path} holds an API key and can be read or written by other users: remove their rights (chmod 600)"
    ]
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_of_another_user_is_warned_of(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner can change where the key is sent; the administrator can do that anyway."""
    path = home / ".sutro" / "config.json"
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    resolve_connection(env={}, home=home)
    assert caplog.messages == [f"{path} holds an API key and belongs to another user: make your own"]


def test_a_private_file_is_not_warned_of(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As the official SDK leaves it."""
    (home / ".sutro" / "config.json").chmod(0o600)
    resolve_connection(env={}, home=home)
    assert caplog.messages == []


@pytest.mark.parametrize("odd", ["pipe", "device", "sparse"])
def test_what_is_no_file_of_settings_is_named_at_once(tmp_path: Path, odd: str) -> None:
    """Opening a pipe without a writer would wait for ever, and a device never ends."""
    path = saved(tmp_path, {}) / ".sutro" / "config.json"
    path.unlink()
    if odd == "pipe":
        os.mkfifo(path)
    elif odd == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 50 * 1024**3)
    why = "it is too large" if odd == "sparse" else "it is not a regular file"
    with pytest.raises(ConfigurationError) as caught:
        resolve_connection(env={}, home=tmp_path)
    assert f"~/.sutro/config.json cannot be used ({why})" in str(caught.value)


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A named pipe for a key, waited for briefly."""
    monkeypatch.setattr("sutro_mcp.api.credentials._PIPE_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def test_a_key_may_come_out_of_a_pipe(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a password manager, which may take its time."""
    monkeypatch.setattr("sutro_mcp.api.credentials._PIPE_SECONDS", 60)
    writer = threading.Thread(target=Path(pipe).write_text, args=(f"{KEY}\n",))
    writer.start()
    assert resolve_connection(env={"SUTRO_API_KEY_FILE": pipe}).key.reveal() == KEY
    writer.join()


@pytest.mark.parametrize("written", [None, KEY], ids=["no writer", "no end"])
def test_a_pipe_is_waited_for_only_so_long(pipe: str, written: str | None) -> None:
    """The variable is named, and nothing hangs."""
    end = os.open(pipe, os.O_RDWR) if written else None
    if end:
        os.write(end, KEY.encode())
    with pytest.raises(ConfigurationError, match=r"FILE cannot be used \(it is a pipe that was not written"):
        resolve_connection(env={"SUTRO_API_KEY_FILE": pipe})
    if end:
        os.close(end)


def test_a_pipe_that_never_ends_is_too_large(pipe: str) -> None:
    """It is read up to the limit of a key."""
    end = os.open(pipe, os.O_RDWR)
    os.write(end, b"x" * 10_241)
    with pytest.raises(ConfigurationError, match="it is too large"):
        resolve_connection(env={"SUTRO_API_KEY_FILE": pipe})
    os.close(end)


def test_a_docker_secret_is_stripped_and_counts_as_the_key_variable(tmp_path: Path, home: Path) -> None:
    """Secrets end in a newline."""
    secret = tmp_path / "secret"
    secret.write_text(f"{KEY}\n")
    connection = resolve_connection(env={"SUTRO_API_KEY_FILE": str(secret)}, home=home)
    assert found(connection) == ("https://api.sutro.sh", KEY, "default", "SUTRO_API_KEY_FILE")


def test_the_plain_variable_wins_over_the_secret_file(tmp_path: Path) -> None:
    """An image may set the file; whoever runs it the key."""
    env = {"SUTRO_API_KEY": KEY, "SUTRO_API_KEY_FILE": str(tmp_path / "missing")}
    assert resolve_connection(env=env, home=tmp_path).key_source == "SUTRO_API_KEY"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"x" * 10_241, "it is too large"),
        (b"\xff", "it is not text"),
    ],
    ids=["missing", "large", "binary"],
)
def test_an_unusable_secret_names_its_variable(tmp_path: Path, content: bytes | None, why: str) -> None:
    """The content is not repeated."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        resolve_connection(env={"SUTRO_API_KEY_FILE": str(secret)}, home=tmp_path)
    assert f"the file named by SUTRO_API_KEY_FILE cannot be used ({why})" in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "two words",
        "line\nbreak",
        "sk_\r\nX-Evil: 1",
        "nul\0",
        "“quoted”",
        "zero\u200bwidth",
        "naïve",
        "x" * 513,
        "x" * 10_240,
        "\x7f",
    ],
    ids=[
        "empty",
        "blank",
        "newline",
        "header",
        "nul",
        "quotes",
        "zero-width",
        "accent",
        "513",
        "10 KB",
        "DEL",
    ],
)
def test_a_key_that_cannot_be_a_header_is_refused_without_being_repeated(key: str) -> None:
    """httpx would put it into the text of its error."""
    with pytest.raises(ConfigurationError) as caught:
        ApiKey(key, "SUTRO_API_KEY")
    assert "the API key from SUTRO_API_KEY is empty" in str(caught.value)
    assert not key or key not in str(caught.value)


def test_a_key_is_stripped_and_shows_only_its_fingerprint() -> None:
    """Neither str, repr nor formatting shows it."""
    key = ApiKey(f"  {KEY}\n")
    assert key.reveal() == KEY
    assert repr(key) == str(key) == f"{key}" == f"ApiKey(fingerprint={key.fingerprint})"
    assert len(key.fingerprint) == 8
    assert KEY not in repr(Connection(URL, key, "argument", "argument"))


def test_keys_are_equal_when_their_secrets_are() -> None:
    """A connection can be compared and used as a cache key."""
    assert ApiKey(KEY) == ApiKey(KEY)
    assert hash(ApiKey(KEY)) == hash(ApiKey(KEY))
    assert ApiKey(KEY) != ApiKey("another")
    assert ApiKey(KEY) != KEY
