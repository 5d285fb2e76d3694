"""Settings: flag beats variable beats default, and a wrong one names itself."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.settings import Settings, load_settings


def test_without_anything_the_defaults_hold() -> None:
    """Cancelling needs consent; the log is quiet."""
    assert load_settings({}) == Settings(read_only=False, cancel="confirm", log_level="WARNING", demo=False)


def test_variables_are_read_leniently() -> None:
    """Words in any case, booleans as people write them."""
    env = {"SUTRO_MCP_CANCEL": " OFF ", "SUTRO_MCP_READ_ONLY": "1", "SUTRO_MCP_LOG_LEVEL": "debug"}
    assert load_settings(env) == Settings(read_only=True, cancel="off", log_level="DEBUG")


def test_a_flag_beats_a_variable() -> None:
    """And one that was not given does not."""
    env = {"SUTRO_MCP_CANCEL": "off", "SUTRO_MCP_LOG_LEVEL": "ERROR"}
    settings = load_settings(env, cancel="allow", log_level=None)
    assert (settings.cancel, settings.log_level) == ("allow", "ERROR")


@pytest.mark.parametrize("policy", ["off", "confirm", "elicit", "allow"])
def test_the_policies_of_cancelling_are_four(policy: str) -> None:
    """By variable."""
    assert load_settings({"SUTRO_MCP_CANCEL": policy}).cancel == policy


@pytest.mark.parametrize("blank", ["", "  ", "${user_config.cancel}"])
def test_blank_counts_as_unset(blank: str) -> None:
    """Also the literal that desktop bundles pass for an unfilled field."""
    assert load_settings({"SUTRO_MCP_CANCEL": blank}).cancel == "confirm"


def test_a_placeholder_that_the_host_did_not_fill_in_is_told_as_that() -> None:
    """A flag that is given beside it counts."""
    env = {"SUTRO_MCP_CANCEL": "${env:POLICY}", "SUTRO_MCP_EXPORT_DIR": '"/exports"'}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(env)
    assert str(caught.value) == (
        "Cannot start with these settings: SUTRO_MCP_CANCEL holds the placeholder ${env:POLICY}: your host "
        "did not fill it in; SUTRO_MCP_EXPORT_DIR holds its value in quotes: your host passed them on. "
        "Correct or unset them."
    )
    assert load_settings(env, cancel="off", export_dir="/exports").cancel == "off"


WRONG = {
    "SUTRO_MCP_READ_ONLY": "perhaps",
    "SUTRO_MCP_CANCEL": "maybe",
    "SUTRO_MCP_LOG_LEVEL": "sk_canary_1",
    "SUTRO_MCP_EXPORT_DIR": "exports",
    "SUTRO_MCP_CACHE_DIR": "/",
    "SUTRO_MCP_CACHE_MAX_BYTES": "-1",
    "SUTRO_MCP_DEMO": "my key",
    "SUTRO_MCP_TRANSPORT": "\u202ehttp",
    "SUTRO_MCP_HOST": "mcp.example",
    "SUTRO_MCP_PORT": "http",
    "SUTRO_MCP_READONLY": "true",
    "sutro_mcp_cancel": "off",
    "SUTRO_MCP_CACHE_SIZE": " ",
    "SUTRO_API_KEY": "my key",
}


def test_everything_that_is_wrong_is_named_at_once_with_what_is_allowed() -> None:
    """Each value as it was given, unless it may be a key; each unknown variable with the nearest one."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(WRONG, port="99999")
    assert str(caught.value).replace("; ", ";\n") == snapshot("""\
Cannot start with these settings: SUTRO_MCP_READONLY is no setting: the nearest is SUTRO_MCP_READ_ONLY;
sutro_mcp_cancel is no setting: the nearest is SUTRO_MCP_CANCEL;
SUTRO_MCP_READ_ONLY is "perhaps": it must be true or false;
SUTRO_MCP_CANCEL is "maybe": it must be off, confirm, elicit or allow;
SUTRO_MCP_LOG_LEVEL is a text that may be a key: it must be DEBUG, INFO, WARNING or ERROR;
SUTRO_MCP_EXPORT_DIR is "exports": it must be an absolute path below /, or begin with ~/;
SUTRO_MCP_CACHE_DIR is "/": it must be an absolute path below /, or begin with ~/;
SUTRO_MCP_CACHE_MAX_BYTES is "-1": it must be a whole number of bytes, 0 or more;
SUTRO_MCP_DEMO is a text that may be a key: it must be true or false;
SUTRO_MCP_TRANSPORT is "\\u{202E}http": it must be stdio or http;
SUTRO_MCP_HOST is "mcp.example": it must be an IP address of this computer, or localhost;
--port is "99999": it must be a whole number from 0 to 65535. Correct or unset them.\
""")


def test_a_misspelt_variable_does_not_leave_the_server_able_to_cancel() -> None:
    """It is refused, not ignored."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"SUTRO_MCP_READONLY": "true"})
    assert str(caught.value) == snapshot(
        "Cannot start with these settings: SUTRO_MCP_READONLY is no setting: the nearest is "
        "SUTRO_MCP_READ_ONLY. Correct or unset it."
    )


def test_a_key_in_the_wrong_variable_is_not_repeated() -> None:
    """Whether it begins as Sutro's do, or looks as long and even as others."""
    for key in ("sk_1", "x-sk-proj-1", "0123456789abcdef01234567"):
        with pytest.raises(ConfigurationError) as caught:
            load_settings({"SUTRO_MCP_CANCEL": key})
        assert key not in str(caught.value)


@pytest.mark.parametrize("folder", ["/srv/exports", "~/exports"])
def test_the_export_folder_is_the_same_wherever_the_server_starts(folder: str, tmp_path: Path) -> None:
    """Absolute, or in the home folder, which is looked up when it is needed."""
    settings = load_settings({"SUTRO_MCP_EXPORT_DIR": folder})
    assert settings.export_folder == Path(folder.replace("~", str(tmp_path / "home")))
    assert load_settings({}).export_folder == tmp_path / "home" / "sutro-exports"


@pytest.mark.parametrize("folder", ["exports", "./exports", "../exports", "/"])
def test_an_export_folder_that_depends_on_where_the_server_starts_is_refused(folder: str) -> None:
    """Hosts start servers anywhere; and nobody means the whole disk."""
    with pytest.raises(ConfigurationError, match=r"--export-dir is .* must be an absolute path"):
        load_settings({}, export_dir=folder)


def test_http_listens_on_loopback_port_8000_unless_told_otherwise() -> None:
    """stdio is the default; the address is for those who choose http."""
    env = {"SUTRO_MCP_TRANSPORT": "HTTP", "SUTRO_MCP_HOST": "[::1]", "SUTRO_MCP_PORT": "0"}
    settings = load_settings(env)
    assert (settings.transport, settings.host, settings.port) == ("http", "::1", 0)
    settings = load_settings({})
    assert (settings.transport, settings.host, settings.port) == ("stdio", "127.0.0.1", 8000)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "LOCALHOST", "::1"])
def test_a_loopback_address_is_accepted(host: str) -> None:
    """The whole of 127.0.0.0/8 is this computer."""
    assert load_settings({"SUTRO_MCP_HOST": host}).host == host.lower()


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1", "::1%lo", "127.1", "example.com", "localhost.", "*"],  # noqa: S104
)
def test_any_other_address_is_refused(host: str) -> None:
    """Also the odd spellings of loopback, which not every platform reads alike."""
    with pytest.raises(ConfigurationError, match=r"prove who they are|must be an IP address"):
        load_settings({}, host=host)


TEAM = {
    "SUTRO_MCP_TRANSPORT": "http",
    "SUTRO_MCP_HOST": "0.0.0.0",  # noqa: S104
    "SUTRO_MCP_PUBLIC_URL": "https://mcp.example/mcp",
    "SUTRO_MCP_AUTH": "bearer",
    "SUTRO_MCP_TOKENS_FILE": "/etc/sutro/tokens",
    "SUTRO_MCP_KEYS_DIR": "/etc/sutro/keys",
}


def test_other_computers_are_served_when_callers_prove_who_they_are() -> None:
    """Lists are words between commas or spaces."""
    settings = load_settings({**TEAM, "SUTRO_MCP_ALLOWED_HOSTS": "a.example, b.example"})
    assert (settings.for_a_team, settings.allowed_hosts) == (True, ("a.example", "b.example"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"AUTH": "none"}, r"other computers reach the host 0.0.0.0"),
        ({"TRANSPORT": "stdio"}, r"is for HTTP"),
        ({"PUBLIC_URL": ""}, r"AUTH=bearer needs SUTRO_MCP_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://mcp.example/mcp"}, r"it must begin with https://"),
        ({"PUBLIC_URL": "https://me@mcp.example/mcp"}, r"without user"),
        ({"AUTH": "oauth"}, r"AUTH=oauth needs SUTRO_MCP_OIDC_ISSUER"),
        ({"AUTH": "sutro-key"}, r"each caller brings a key"),
        ({"KEYS_DIR": ""}, r"callers have no Sutro key: set .*KEYS_DIR, or .*SHARED_KEY=true"),
        ({"CANCEL": "elicit"}, r"needs SUTRO_MCP_STATE_KEYS_FILE"),
    ],
)
def test_settings_of_a_team_that_contradict_each_other_are_refused(change: dict[str, str], why: str) -> None:
    """Before anybody is served."""
    env = TEAM | {f"SUTRO_MCP_{name}": value for name, value in change.items()}
    with pytest.raises(ConfigurationError, match=why):
        load_settings(env)


def test_results_are_kept_in_the_home_folder_unless_nothing_is_to_be_kept(tmp_path: Path) -> None:
    """A demo's are not worth keeping."""
    assert load_settings({}).cache_folder == tmp_path / "home" / ".cache" / "sutro-mcp"
    assert load_settings({"SUTRO_MCP_CACHE_MAX_BYTES": "0"}).cache_folder is None
    assert load_settings({"SUTRO_MCP_DEMO": "true"}).cache_folder is None
