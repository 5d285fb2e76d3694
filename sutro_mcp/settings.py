"""The server's own settings: `SUTRO_MCP_*` variables and flags, as one frozen value.

Flag beats variable beats default. Key and URL of the deployment are not here: `api` resolves them as a pair
when they are first needed, so that a server without them still starts and explains itself.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.hosts.placeholders import is_unset, unfilled
from sutro_mcp.untrusted import quote, visible

PREFIX = "SUTRO_MCP_"
# A key in the wrong variable: how Sutro's begin, or as long and even as any.
_LIKE_A_KEY = re.compile(r"\bsk[-_]|[a-z0-9_-]{24}", re.IGNORECASE)


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _is_fixed(folder: Path) -> Path:
    """The same folder wherever the server is started."""
    if not _home(folder).is_absolute() or folder.parent == folder:
        raise ValueError("it must be an absolute path to a folder, or begin with ~/")
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
        "only this computer can be served (127.0.0.1, ::1 or localhost), as callers need no key:"
        " to reach it from another, forward the port (ssh -L)"
    )


class Settings(BaseModel):
    """The behaviour of this server, whatever the deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    read_only: bool = Field(default=False, description="true or false")
    """Without the tools that change something: they are neither listed nor callable."""
    cancel: Annotated[Literal["off", "confirm", "elicit", "allow"], BeforeValidator(_lower)] = "confirm"
    """Consent that `cancel_job` needs: a person's, through the host or in the assistant's word (`confirm`) or
    through the host alone (`elicit`), or none (`allow`); with `off` there is no such tool."""
    output: Annotated[Literal["both", "text", "structured"], BeforeValidator(_lower)] = "both"
    """The channels of an answer: `text` leaves out the structured one and its schemas, `structured` all but
    the first line of the text."""
    views: Annotated[Literal["on", "off"], BeforeValidator(_lower)] = "on"
    """Whether `show_jobs` and its page are there for hosts that can show pages."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "WARNING"
    export_dir: Annotated[Path, AfterValidator(_is_fixed)] = Path("~/sutro-exports")
    """The one folder that `export_job_results` writes into and reads from; made on first use."""
    cache_dir: Annotated[Path, AfterValidator(_is_fixed)] = Path("~/.cache/sutro-mcp")
    """The folder of fetched results, kept for the next call and the next server process."""
    cache_max_bytes: int = Field(default=5 * 1024**3, ge=0, description="a whole number of bytes, 0 or more")
    """The most that is kept there; 0 keeps nothing from one process to the next."""
    sql: Annotated[Literal["wall", "lock"], BeforeValidator(_lower)] = "wall"
    """Where `query_job_results` works: behind a process without rights (`wall`), which only Linux has, or
    elsewhere also behind DuckDB's own lock alone (`lock`)."""
    demo: bool = Field(default=False, description="true or false")
    """Serve the embedded emulator instead of a deployment."""
    transport: Annotated[Literal["stdio", "http"], BeforeValidator(_lower)] = "stdio"
    host: Annotated[str, BeforeValidator(_lower), AfterValidator(_is_loopback)] = "127.0.0.1"
    """The address of `http`: loopback, as callers need no key."""
    port: int = Field(default=8000, ge=0, le=65535, description="a whole number from 0 to 65535")
    """The port of `http`; 0 takes a free one."""

    @property
    def shows_views(self) -> bool:
        """Whether there is a view: a page can draw nothing but the structured channel."""
        return self.views == "on" and self.output != "text"

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

    A variable that is blank, or a desktop bundle's unfilled `${user_config.…}`, counts as unset. Raises
    ConfigurationError, which names everything that is wrong: each variable or flag, its value unless that may
    be a key, and what is allowed; and each `SUTRO_MCP_*` variable that is no setting, with the nearest one.
    """
    variables = {PREFIX + name.upper(): name for name in Settings.model_fields}
    found = {
        variable: value.strip()
        for variable, value in env.items()
        if variable.upper().startswith(PREFIX) and not is_unset(value)
    }
    given = {name: value for name, value in flags.items() if value is not None}
    values = {
        variables[variable]: value for variable, value in found.items() if variable in variables
    } | given
    problems = [_unknown(variable, list(variables)) for variable in found if variable not in variables]
    for variable, value in found.items():
        name = variables.get(variable)
        if name and name not in given and (reason := unfilled(value)):
            problems.append(f"{variable} {reason}")
            del values[name]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = str(problem["loc"][0])
            source = "--" + name.replace("_", "-") if name in given else PREFIX + name.upper()
            value = _shown(str(values[name]), env.get("SUTRO_API_KEY"))
            problems.append(f"{source} is {value}: {_allowed(name, problem.get('ctx', {}).get('error'))}")
    else:
        if not problems:
            return settings
    raise ConfigurationError(
        "start with these settings",
        "; ".join(problems),
        f"Correct or unset {'them' if problems[1:] else 'it'}",
    )


def _unknown(variable: str, known: list[str]) -> str:
    from difflib import get_close_matches

    (nearest,) = get_close_matches(variable.upper(), known, n=1, cutoff=0)
    return f"{visible(variable[:80])} is no setting: the nearest is {nearest}"


def _allowed(name: str, reason: Exception | None) -> str:
    """The values that the setting `name` takes: in our validator's words, or as a list."""
    if reason is not None:
        return str(reason)
    field = Settings.model_fields[name]
    *others, last = (
        map(str, get_args(field.annotation)) if field.description is None else (field.description,)
    )
    return f"it must be {', '.join(others)} or {last}" if others else f"it must be {last}"


def _shown(value: str, key: str | None) -> str:
    if _LIKE_A_KEY.search(value) or (key and key.strip() in value):
        return "a text that may be a key"
    return quote(value, 100)
