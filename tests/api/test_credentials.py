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


def found(
    url: str | None = None, key: str | None = None, *, home: Path | None = None, **env: str
) -> tuple[str, str, str, str]:
    """URL, key and the source of each, from these arguments and variables."""
    connection = resolve_connection(url, key, env=env, home=home)
    return connection.base_url, connection.key.reveal(), connection.url_source, connection.key_source


def refusal(url: str | None = None, *, home: Path | None = None, **env: str) -> str:
    """The error of these arguments and variables."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_connection(url, env=env, home=home)
    return str(caught.value)


FILE, CENTRAL = "~/.sutro/config.json", "https://api.sutro.sh"
PAIR = {"SUTRO_API_URL": URL, "SUTRO_API_KEY": KEY}

# Arguments and variables, and what is used while the file has a pair of its own.
SOURCES: dict[str, tuple[dict[str, str], tuple[str, str, str, str]]] = {
    "the pair of the environment": (PAIR, (f"{URL}/v1", KEY, "SUTRO_API_URL", "SUTRO_API_KEY")),
    "a key of the environment never with the URL of the file": (
        {"SUTRO_API_KEY": KEY},
        (CENTRAL, KEY, "default", "SUTRO_API_KEY"),
    ),
    "the pair of the file, after `sutro login`": ({}, (f"{FILE_URL}/v1", FILE_KEY, FILE, FILE)),
    "an explicit pair, whatever else is broken": (
        {"url": URL, "key": KEY, "SUTRO_API_URL": "nonsense", "SUTRO_API_KEY_FILE": "/nowhere"},
        (f"{URL}/v1", KEY, "argument", "argument"),
    ),
    "an explicit key with the URL of the environment": (
        {"key": KEY, "SUTRO_API_URL": URL},
        (f"{URL}/v1", KEY, "SUTRO_API_URL", "argument"),
    ),
    "an explicit key never with the URL of the file": ({"key": KEY}, (CENTRAL, KEY, "default", "argument")),
    "the URL of the file": ({"url": f"{FILE_URL}/v1/"}, (f"{FILE_URL}/v1", FILE_KEY, "argument", FILE)),
    "the URL of the environment": ({"url": URL, **PAIR}, (f"{URL}/v1", KEY, "argument", "SUTRO_API_KEY")),
    "the default URL": (
        {"url": f"{CENTRAL}/v1", "SUTRO_API_KEY": KEY},
        (CENTRAL, KEY, "argument", "SUTRO_API_KEY"),
    ),
    "the plain variable before the secret file": (
        {"SUTRO_API_KEY": KEY, "SUTRO_API_KEY_FILE": "/nowhere"},
        (CENTRAL, KEY, "default", "SUTRO_API_KEY"),
    ),
}


@pytest.mark.parametrize(("given", "expected"), SOURCES.values(), ids=SOURCES.keys())
def test_url_and_key_are_a_pair_that_was_meant_to_be_one(
    home: Path, given: dict[str, str], expected: tuple[str, str, str, str]
) -> None:
    """A key belongs to one deployment; the file may be stale, and normalised URLs decide."""
    assert found(home=home, **given) == expected


def test_a_url_alone_in_the_environment_is_refused_although_the_file_has_a_key(home: Path) -> None:
    """The message names the missing half and why the file's key is not used."""
    assert refusal(home=home, SUTRO_API_URL=URL) == (
        "Cannot connect to Sutro: SUTRO_API_URL is set but SUTRO_API_KEY is not, and a key saved in "
        "~/.sutro/config.json is never sent to a URL from the environment. Set SUTRO_API_KEY (or "
        "SUTRO_API_KEY_FILE) to a key of that deployment, or unset SUTRO_API_URL."
    )


@pytest.mark.parametrize(
    ("config", "url", "source"),
    [
        ({"base_url": FILE_URL}, f"{FILE_URL}/v1", FILE),
        ({"api_url": URL, "base_url": FILE_URL}, f"{URL}/v1", FILE),
        ({}, CENTRAL, "default"),
        ({"api_url": None, "other": 5}, CENTRAL, "default"),
    ],
    ids=["legacy name", "the new name wins", "no URL", "null"],
)
def test_the_file_may_be_of_any_age(tmp_path: Path, config: dict[str, object], url: str, source: str) -> None:
    """Older SDKs wrote `base_url`, or only a key."""
    saved(tmp_path, {"api_key": FILE_KEY, **config})
    assert found(home=tmp_path) == (url, FILE_KEY, source, FILE)


@pytest.mark.parametrize(
    "blank", ["", "  ", "${user_config.sutro_api_key}", " ${user_config.api_url} "], ids=repr
)
def test_a_blank_variable_counts_as_unset(home: Path, blank: str) -> None:
    """Desktop hosts pass blanks for optional fields."""
    env = {"SUTRO_API_URL": blank, "SUTRO_API_KEY": blank, "SUTRO_API_KEY_FILE": blank}
    assert found(blank, blank, home=home, **env) == (f"{FILE_URL}/v1", FILE_KEY, FILE, FILE)


@pytest.mark.parametrize(
    "value",
    [
        "${SUTRO_API_KEY}",
        "$SUTRO_API_KEY",
        "${env:SUTRO_API_KEY}",
        "${input:sutro_key}",
        "${{ secrets.SUTRO_API_KEY }}",
        "{env:SUTRO_API_KEY}",
        "%SUTRO_API_KEY%",
        "<your key>",
        "your-sutro-api-key",
    ],
)
@pytest.mark.parametrize("variable", ["SUTRO_API_KEY", "SUTRO_API_URL", "SUTRO_API_KEY_FILE"])
def test_a_placeholder_that_the_host_did_not_fill_in_is_told_as_that(
    home: Path, variable: str, value: str
) -> None:
    """As a key it would be refused, and its user would make a new one in vain."""
    env = {"SUTRO_API_KEY": KEY} if variable == "SUTRO_API_URL" else {}
    assert refusal(home=home, **env, **{variable: f" {value}"}) == (
        f"Cannot connect to Sutro: {variable} holds the placeholder {value}: your host did not fill it in. "
        "Put the value itself there, or unset it."
    )


@pytest.mark.parametrize("value", [f'"{KEY}"', f"'{KEY}'", f"${{{KEY}}}", f"${KEY}", f"%{'a1' * 12}%"])
def test_what_may_be_a_key_is_not_repeated(home: Path, tmp_path: Path, value: str) -> None:
    """Quotes that a host passes on belong to no key, wherever it is read from."""
    (tmp_path / "key").write_text(value)
    for env in ({"SUTRO_API_KEY": value}, {"SUTRO_API_KEY_FILE": str(tmp_path / "key")}):
        text = refusal(home=home, **env)
        assert ("in quotes: your host passed them on" in text) or ("holds a placeholder: your host" in text)
        assert value.strip("\"'$%{}") not in text


@pytest.mark.parametrize(
    "env",
    [{}, {"SUTRO_API_KEY": KEY}, {"SUTRO_API_KEY": KEY, "SUTRO_API_URL": "nonsense"}],
    ids=["file", "environment", "invalid URL beside the key"],
)
def test_an_explicit_url_never_gets_a_key_meant_for_another(home: Path, env: dict[str, str]) -> None:
    """A key belongs to one deployment."""
    assert "no key that belongs to it" in refusal("https://three.example.com", home=home, **env)


@pytest.mark.parametrize("config", [None, "{}"], ids=["no file", "empty"])
def test_nothing_configured_says_what_to_do(tmp_path: Path, config: str | None) -> None:
    """Both ways out are named."""
    if config is not None:
        saved(tmp_path, config)
    assert refusal(home=tmp_path) == (
        "Cannot connect to Sutro: no API key is configured. Set SUTRO_API_KEY (and SUTRO_API_URL to your "
        "deployment), or run `sutro login`."
    )


def test_the_file_may_hold_a_url_without_a_key(tmp_path: Path) -> None:
    """`sutro set-api-url` clears the key."""
    text = refusal(home=saved(tmp_path, {"api_url": URL}))
    assert "deployment URL (from ~/.sutro/config.json) but no key" in text


def test_a_user_without_a_home_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that nobody described."""

    def lost() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", lost)
    assert "no API key is configured" in refusal()


def test_environment_and_home_of_the_process_are_the_defaults(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """The outcome for a program that passes nothing."""
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
    assert f"~/.sutro/config.json cannot be used ({why})" in refusal(home=tmp_path)


def test_a_blank_key_in_the_file_is_no_key(tmp_path: Path) -> None:
    """Unlike a blank URL beside a key, it leads nothing elsewhere."""
    assert "no key that belongs to it" in refusal(home=saved(tmp_path, {"api_key": " ", "api_url": FILE_URL}))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_files_of_windows_editors_are_read(tmp_path: Path, encoding: str) -> None:
    """With a byte-order mark, and in UTF-16."""
    config = json.dumps({"api_key": FILE_KEY, "api_url": FILE_URL})
    (saved(tmp_path, {}) / ".sutro" / "config.json").write_text(config, encoding)
    assert found(home=tmp_path)[1] == FILE_KEY
    secret = tmp_path / "secret"
    secret.write_text(f"{KEY}\r\n", encoding)
    assert found(SUTRO_API_KEY_FILE=str(secret))[1] == KEY


OTHERS = "can be read or written by other users: remove their rights (chmod 600)"


@pytest.mark.parametrize(
    ("mode", "warning"),
    [
        *((mode, OTHERS) for mode in (0o640, 0o604, 0o620, 0o602)),
        (0o600, None),
        (None, "belongs to another user: make your own"),
    ],
)
def test_a_file_that_others_can_use_or_own_is_warned_of_once(
    home: Path,
    mode: int | None,
    warning: str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its mode is its owner's business; its owner can change where the key is sent."""
    path = home / ".sutro" / "config.json"
    path.chmod(mode or 0o600)
    if mode is None and os.geteuid() == 0:
        os.chown(path, 12345, -1)
    elif mode is None:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    for _ in range(2):
        assert found(home=home)[1] == FILE_KEY
    expected = warning and f"{path} holds an API key and {warning}"
    assert caplog.messages == ([expected] if expected else [])
    assert stat.S_IMODE(path.stat().st_mode) == (mode or 0o600)


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ("pipe", "it is not a regular file"),
        ("device", "it is not a regular file"),
        ("sparse", "it is too large"),
        ("folder", "Is a directory"),
    ],
)
def test_what_is_no_file_of_settings_is_named_at_once(tmp_path: Path, odd: str, why: str) -> None:
    """Opening a pipe without a writer would wait for ever, and a device never ends."""
    path = saved(tmp_path, {}) / ".sutro" / "config.json"
    path.unlink()
    if odd == "pipe":
        os.mkfifo(path)
    elif odd == "device":
        path.symlink_to("/dev/zero")
    elif odd == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 50 * 1024**3)
    assert f"~/.sutro/config.json cannot be used ({why})" in refusal(home=tmp_path)


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
    assert found(SUTRO_API_KEY_FILE=pipe)[1] == KEY
    writer.join()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (None, "it is a pipe that was not written"),
        (KEY.encode(), "it is a pipe that was not written"),
        (b"x" * 10_241, "it is too large"),
    ],
    ids=["no writer", "no end", "too much"],
)
def test_a_pipe_is_read_only_so_long_and_so_far(pipe: str, written: bytes | None, why: str) -> None:
    """The variable is named, and nothing hangs."""
    end = os.open(pipe, os.O_RDWR) if written else None
    if end and written:
        os.write(end, written)
    assert f"FILE cannot be used ({why}" in refusal(SUTRO_API_KEY_FILE=pipe)
    if end:
        os.close(end)


def test_a_pipe_is_read_also_where_many_files_are_open(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some ways to wait take no descriptor above 1,023."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 2_000:
        pytest.skip("so many files cannot be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2_000), limits[1]))
    monkeypatch.setattr("sutro_mcp.api.credentials._PIPE_SECONDS", 0.05)
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_030)]
    try:
        assert "it is a pipe that was not written" in refusal(SUTRO_API_KEY_FILE=pipe)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_docker_secret_is_stripped_and_counts_as_the_key_variable(tmp_path: Path, home: Path) -> None:
    """Secrets end in a newline."""
    secret = tmp_path / "secret"
    secret.write_text(f"{KEY}\n")
    assert found(home=home, SUTRO_API_KEY_FILE=str(secret)) == (
        *(CENTRAL, KEY),
        *("default", "SUTRO_API_KEY_FILE"),
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file or directory"), (b"x" * 10_241, "it is too large"), (b"\xff", "it is not text")],
    ids=["missing", "large", "binary"],
)
def test_an_unusable_secret_names_its_variable(tmp_path: Path, content: bytes | None, why: str) -> None:
    """The content is not repeated."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    text = refusal(home=tmp_path, SUTRO_API_KEY_FILE=str(secret))
    assert f"the file named by SUTRO_API_KEY_FILE cannot be used ({why})" in text


@pytest.mark.parametrize(
    "key",
    [
        *("", "two words", "line\nbreak", "sk_\r\nX-Evil: 1", "nul\0", "\x7f"),
        *("“quoted”", "zero\u200bwidth", "naïve", "x" * 513),
    ],
    ids=lambda key: repr(key[:20]),
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
    connection = Connection(URL, key, "argument", "argument")
    assert KEY not in repr(connection)
    assert (connection.on_loopback, len(connection.identity)) == (False, 64)


def test_keys_are_equal_when_their_secrets_are() -> None:
    """A connection can be compared and used as a cache key."""
    assert ApiKey(KEY) == ApiKey(f" {KEY}")
    assert hash(ApiKey(KEY)) == hash(ApiKey(f" {KEY}"))
    assert ApiKey(KEY) != ApiKey("another")
    assert ApiKey(KEY) != KEY
