"""Settings: flag beats variable beats default, and a wrong one names itself."""

from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("name", "value"),
    [("SUTRO_MCP_CANCEL", "maybe"), ("SUTRO_MCP_READ_ONLY", "perhaps"), ("SUTRO_MCP_LOG_LEVEL", "LOUD")],
)
def test_a_wrong_value_names_its_variable_and_not_itself(name: str, value: str) -> None:
    """A value may be a secret in the wrong place."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: value})
    assert name in str(caught.value)
    assert value not in str(caught.value)


def test_a_value_of_the_wrong_kind_is_refused_too() -> None:
    """From a caller in Python."""
    with pytest.raises(ConfigurationError, match="SUTRO_MCP_CANCEL"):
        load_settings({}, cancel=3)


@pytest.mark.parametrize("folder", ["/srv/exports", "~/exports"])
def test_the_export_folder_is_the_same_wherever_the_server_starts(folder: str, tmp_path: Path) -> None:
    """Absolute, or in the home folder, which is looked up when it is needed."""
    settings = load_settings({"SUTRO_MCP_EXPORT_DIR": folder})
    assert settings.export_folder == Path(folder.replace("~", str(tmp_path / "home")))
    assert load_settings({}).export_folder == tmp_path / "home" / "sutro-exports"


@pytest.mark.parametrize("folder", ["exports", "./exports", "../exports", "/"])
def test_an_export_folder_that_depends_on_where_the_server_starts_is_refused(folder: str) -> None:
    """Hosts start servers anywhere; and nobody means the whole disk."""
    with pytest.raises(ConfigurationError, match=r"SUTRO_MCP_EXPORT_DIR: .* must be an absolute path"):
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
    with pytest.raises(ConfigurationError, match=r"SUTRO_MCP_HOST: .*only this computer can be served"):
        load_settings({}, host=host)


def test_results_are_kept_in_the_home_folder_unless_nothing_is_to_be_kept(tmp_path: Path) -> None:
    """A demo's are not worth keeping."""
    assert load_settings({}).cache_folder == tmp_path / "home" / ".cache" / "sutro-mcp"
    assert load_settings({"SUTRO_MCP_CACHE_MAX_BYTES": "0"}).cache_folder is None
    assert load_settings({"SUTRO_MCP_DEMO": "true"}).cache_folder is None
