"""The server's own settings: `SUTRO_MCP_*` variables and flags, as one frozen value.

Flag beats variable beats default. Key and URL of the deployment are not here: they are resolved as a pair by
`client`, when first needed, so that a server without them still starts and explains itself.
"""

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sutro_mcp.errors import ConfigurationError

PREFIX = "SUTRO_MCP_"


def is_blank(value: str) -> bool:
    """Whether a variable counts as unset: empty, or a desktop bundle's unfilled `${user_config.…}`."""
    return not value.strip() or value.strip().startswith("${user_config.")


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _is_fixed(folder: Path) -> Path:
    """The same folder wherever the server is started."""
    if not _home(folder).is_absolute() or folder.parent == folder:
        raise ValueError("must be an absolute path to a folder, or begin with ~/")
    return folder


def _home(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError:
        raise ValueError("there is no home folder to find it in") from None


def _is_loopback(host: str) -> str:
    """`host`, without the brackets that a URL would have."""
    bare = host.removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        if bare in ("localhost", "::1") or IPv4Address(bare).is_loopback:
            return bare
    raise ValueError(
        "only this computer can be served (127.0.0.1, ::1 or localhost), as callers need no key;"
        " to reach it from another, forward the port (ssh -L)"
    )


class Settings(BaseModel):
    """How this server behaves, whatever the deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    read_only: bool = False
    """Without the tools that change something: they are neither listed nor callable."""
    cancel: Annotated[Literal["off", "confirm", "elicit", "allow"], BeforeValidator(_lower)] = "confirm"
    """Whose word `cancel_job` takes: nobody's (`off`), a person's through the host or the assistant's
    (`confirm`), only a person's (`elicit`); with `allow` it needs none."""
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(_upper),
    ] = "WARNING"
    export_dir: Annotated[Path, AfterValidator(_is_fixed)] = Path("~/sutro-exports")
    """The one folder that `export_job_results` writes into and reads from; made on first use."""
    cache_dir: Annotated[Path, AfterValidator(_is_fixed)] = Path("~/.cache/sutro-mcp")
    """Where fetched results are kept for the next call and the next server process."""
    cache_max_bytes: Annotated[int, Field(ge=0)] = 5 * 1024**3
    """The most that is kept there; 0 keeps nothing from one process to the next."""
    demo: bool = False
    """Serve the embedded emulator instead of a deployment."""
    transport: Annotated[Literal["stdio", "http"], BeforeValidator(_lower)] = "stdio"
    host: Annotated[str, BeforeValidator(_lower), AfterValidator(_is_loopback)] = "127.0.0.1"
    """Where `http` listens: a loopback address, as nobody is asked who they are."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Where `http` listens; 0 takes a free one."""

    @property
    def cache_folder(self) -> Path | None:
        """`cache_dir` with the home folder filled in; None where nothing is kept, or there is no home."""
        if not self.cache_max_bytes or self.demo:
            return None
        try:
            return _home(self.cache_dir)
        except ValueError:
            return None

    @property
    def export_folder(self) -> Path:
        """`export_dir` with the home folder filled in. Raises ConfigurationError when there is none."""
        try:
            return _home(self.export_dir)
        except ValueError as error:
            raise ConfigurationError(
                "find the export folder", str(error), "Set SUTRO_MCP_EXPORT_DIR to an absolute path"
            ) from None


def load_settings(env: Mapping[str, str], **flags: Any) -> Settings:
    """Settings from `env`, overridden by every flag that is not None.

    Raises ConfigurationError naming the variable and its accepted values.
    """
    found = {
        name: env[PREFIX + name.upper()]
        for name in Settings.model_fields
        if not is_blank(env.get(PREFIX + name.upper(), ""))
    }
    chosen = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings.model_validate({**found, **chosen})
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        variable = PREFIX + str(problem["loc"][0]).upper()
        raise ConfigurationError(
            "start with these settings", f"{variable}: {problem['msg']}", f"Correct or unset {variable}"
        ) from None
