"""The server's own settings: `SUTRO_MCP_*` variables and flags, as one frozen value.

Flag beats variable beats default. Key and URL of the deployment are not here: `api` resolves them as a pair
when they are first needed, so that a server without them still starts and explains itself.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.hosts.placeholders import is_unset, unfilled
from sutro_mcp.untrusted_text import quote, visible

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
        raise ValueError("it must be an absolute path below /, or begin with ~/")
    return folder


def _home(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError:
        raise ValueError("there is no home folder to find it in") from None


def _is_address(host: str) -> str:
    """`host`, without the brackets that a URL would have."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return bare if bare == "localhost" else str(ip_address(bare))
    except ValueError:
        raise ValueError("it must be an IP address of this computer, or localhost") from None


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches `host`, in a spelling that every platform reads alike."""
    with suppress(ValueError):
        return host in ("localhost", "::1") or IPv4Address(host).is_loopback
    return False


def _is_safe_url(url: str) -> str:
    """`url`, if what is sent there cannot be read on the way: it is HTTPS, or stays on this computer."""
    parts = urlsplit(url)
    if parts.query or parts.fragment or parts.username is not None or not parts.hostname:
        raise ValueError("it must be a URL without user, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("it must begin with https:// (http:// only for this computer)")
    return url


def _words(value: Any) -> Any:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _per_minute(value: Any) -> Any:
    """Calls a minute and calls at once, from "120/40"."""
    if not isinstance(value, str):
        return value
    try:
        per_minute, burst = (int(part) for part in value.split("/"))
        if min(per_minute, burst) < 1:
            raise ValueError
    except ValueError:
        raise ValueError("it must be the calls a minute and the calls at once, as in 120/40") from None
    return per_minute, burst


_Rate = Annotated[tuple[int, int], BeforeValidator(_per_minute)]
_Folder = Annotated[Path, AfterValidator(_is_fixed)]
_Url = Annotated[str, AfterValidator(_is_safe_url)]
_Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


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
    """The least that stderr gets: `DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    export_dir: _Folder = Path("~/sutro-exports")
    """The one folder that `export_job_results` writes into and reads from; made on first use."""
    cache_dir: _Folder = Path("~/.cache/sutro-mcp")
    """The folder of fetched results, kept for the next call and the next server process."""
    cache_max_bytes: int = Field(default=5 * 1024**3, ge=0, description="a whole number of bytes, 0 or more")
    """The most that is kept there; 0 keeps nothing from one process to the next."""
    sql: Annotated[Literal["wall", "lock"], BeforeValidator(_lower)] = "wall"
    """Where `query_job_results` works: behind a process without rights (`wall`), which only Linux has, or
    elsewhere also behind DuckDB's own lock alone (`lock`)."""
    demo: bool = Field(default=False, description="true or false")
    """Serve the embedded emulator instead of a deployment."""
    transport: Annotated[Literal["stdio", "http"], BeforeValidator(_lower)] = "stdio"
    """`stdio`, or Streamable HTTP (`http`)."""
    host: Annotated[str, BeforeValidator(_lower), AfterValidator(_is_address)] = "127.0.0.1"
    """The address of `http`: loopback, unless callers prove who they are (`auth`)."""
    port: int = Field(default=8000, ge=0, le=65535, description="a whole number from 0 to 65535")
    """The port of `http`; 0 takes a free one."""

    auth: Annotated[Literal["none", "bearer", "oauth", "sutro-key"], BeforeValidator(_lower)] = "none"
    """How callers over `http` prove who they are: not at all, by a token of `tokens_file`, by an access token
    of `oidc_issuer`, or by their own Sutro key."""
    public_url: _Url | None = None
    """Where callers find the server: also the resource that access tokens are for, and an allowed Host."""
    allowed_hosts: _Words = ()
    """Further values of the header Host."""
    allowed_origins: _Words = ()
    """Further values of the header Origin."""
    tokens_file: _Folder | None = None
    """The hashed tokens of `bearer`, written by `sutro-mcp token`."""
    oidc_issuer: _Url | None = None
    """The issuer of access tokens, exactly as it names itself."""
    oidc_audience: _Words = ()
    """The audiences that an access token may have; `public_url` if none is given."""
    oidc_jwks_url: _Url | None = None
    """The keys of the issuer, where its metadata do not say."""
    oidc_scope_claim: str | None = None
    """The claim with a token's scopes; `scope` or `scp` if none is given."""
    oidc_principal_claim: str = "sub"
    """The claim that names a person for ever."""
    oidc_group_claim: str | None = None
    """The claim with the groups whose Sutro keys a person may use."""
    scope_read: str = "sutro:read"
    """The issuer's name of the scope for reading."""
    scope_cancel: str = "sutro:cancel"
    """The issuer's name of the scope for cancelling, which includes reading."""
    keys_dir: _Folder | None = None
    """The Sutro keys of principals and groups, a file each."""
    shared_key: bool = Field(default=False, description="true or false")
    """Whether principals without a key of their own may use the server's."""
    state_keys_file: _Folder | None = None
    """The keys that all replicas share, one a line; the first seals, the others still open."""
    sessions: Annotated[Literal["stateless", "sticky"], BeforeValidator(_lower)] = "stateless"
    """Whether clients of 2025 get sessions, which need a balancer that keeps each on its replica (`sticky`).
    Without `auth` there is one process, and they do."""
    rate: _Rate = (120, 40)
    """How often each caller may call, where callers are told apart: calls a minute, and at once."""
    rate_heavy: _Rate = (10, 5)
    """The same for SQL, comparisons and summaries, which cost the most."""
    anonymous_rate: _Rate = (60, 20)
    """The same for one address: refusals of callers who do not prove who they are, and Sutro keys that are
    new."""
    redis_url_file: _Folder | None = None
    """A file with the URL of the Redis through which replicas share their work; they do without as well."""
    replicas: int = Field(default=2, ge=1, le=1000, description="a whole number from 1 to 1000")
    """How many replicas there are: each gives its share of a rate while Redis is down."""
    trusted_proxies: _Words = ()
    """Addresses and networks whose word is taken for the address of a caller (X-Forwarded-For)."""
    admin_host: Annotated[str, BeforeValidator(_lower), AfterValidator(_is_address)] = "127.0.0.1"
    """The address of the probes and metrics, which ask for no credentials."""
    admin_port: int | None = Field(default=None, ge=0, le=65535, description="a whole number from 0 to 65535")
    """Their port; 0 takes a free one, and without one there are none."""
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = "text"
    """How the log looks on stderr: for people, or an object a line."""
    audit_file: _Folder | None = None
    """Where it is written who cancelled what; without it, a server with `auth` writes that to stdout."""
    drain_seconds: float | None = Field(default=None, ge=0, le=600, description="a number from 0 to 600")
    """How long a server that is told to stop still answers, while it says that it is not ready."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = list(_contradictions(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def for_a_team(self) -> bool:
        """Whether callers are told apart."""
        return self.auth != "none"

    @property
    def has_sessions(self) -> bool:
        """Whether a client of 2025 is known from one request to the next."""
        return not self.for_a_team or self.sessions == "sticky"

    @property
    def drains_for(self) -> float:
        """`drain_seconds`; 10 if none are given and a balancer can see that the server is not ready."""
        if self.drain_seconds is None:
            return 0.0 if self.admin_port is None else 10.0
        return self.drain_seconds

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


def _contradictions(settings: Settings) -> Iterator[str]:
    """Settings that are right each, and cannot be together."""
    if not settings.for_a_team:
        if not is_loopback(settings.host):
            yield (
                f"other computers reach the host {settings.host}, so callers have to prove who they are: set"
                f" {PREFIX}AUTH, or serve 127.0.0.1 and forward the port (ssh -L)"
            )
        return
    mode = f"{PREFIX}AUTH={settings.auth}"
    if settings.transport != "http":
        yield f"{mode} is for HTTP: add --transport http"
    needed = ["public_url", *{"bearer": ["tokens_file"], "oauth": ["oidc_issuer"]}.get(settings.auth, [])]
    yield from (f"{mode} needs {PREFIX}{name.upper()}" for name in needed if not getattr(settings, name))
    finds_key = settings.keys_dir or settings.shared_key
    if settings.auth == "sutro-key" and finds_key:
        yield f"with {mode} each caller brings a key: unset {PREFIX}KEYS_DIR and {PREFIX}SHARED_KEY"
    elif settings.auth != "sutro-key" and not finds_key and not settings.demo:
        yield (
            f"callers have no Sutro key: set {PREFIX}KEYS_DIR, or {PREFIX}SHARED_KEY=true to let all of them"
            " use the server's"
        )
    if settings.cancel == "elicit" and settings.sessions == "stateless" and not settings.state_keys_file:
        yield (
            f"{PREFIX}CANCEL=elicit needs {PREFIX}STATE_KEYS_FILE, or no replica understands the answer to"
            " the question of another"
        )


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
            if not problem["loc"]:
                problems.append(str(problem.get("ctx", {}).get("error")))
                continue
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
