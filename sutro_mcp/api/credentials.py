"""Where the URL and the key come from, and why they are never mixed.

A key belongs to exactly one deployment, so URL and key are taken as a pair from one source: the arguments,
the environment, or the official SDK's file. What is half set stays half set and is reported; a key is never
sent to a URL that came from somewhere else. Files are opened without blocking and read up to a limit, because
anything may lie in their place. A blank value and a literal `${user_config.…}` count as unset, because
desktop hosts pass both for optional fields their user left empty; any other placeholder is an error. In the
file no host writes them: a URL that says nothing beside a key could send the key elsewhere, and the file is
refused. (The official SDK counts a blank variable as set; there it hides the file.)
"""

import hashlib
import hmac
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.hosts.placeholders import is_unset, unfilled
from sutro_mcp.redaction import protect

from .addresses import DEFAULT_URL, is_loopback, normalise_base_url

_CONNECT = "connect to Sutro"
_URL, _KEY, _KEY_FILE = "SUTRO_API_URL", "SUTRO_API_KEY", "SUTRO_API_KEY_FILE"
_CONFIG = "~/.sutro/config.json"
_KEY_FILE_CAP = 10 * 1024
_CONFIG_CAP = 1024 * 1024
_PIPE_SECONDS = 5.0
_FIELDS = ("api_url", "base_url", "api_key")
_KEY_CHARS = re.compile(r"[\x21-\x7e]{1,512}")


logger = logging.getLogger(__name__)
_warned: set[Path] = set()


class _UnusableError(ValueError):
    """A file holds no key or configuration; the text says why, and repeats nothing of it."""


class ApiKey:
    """A Sutro API key. Shows only a fingerprint unless `reveal` is called."""

    __slots__ = ("__weakref__", "_secret")

    def __init__(self, value: str, source: str = "argument", *, of_caller: bool = False) -> None:
        """Strips whitespace; raises `ConfigurationError` if what is left cannot go into a header.

        The key of one caller of many is not taken out of everything that leaves: `redaction.hiding` takes it
        out of what leaves for that caller.
        """
        secret = value.strip()
        if not _KEY_CHARS.fullmatch(secret):
            raise ConfigurationError(
                _CONNECT,
                f"the API key from {source} is empty, longer than 512 characters, or not all printable ASCII",
                "Copy the key again from the API Keys panel, without quotes or blanks",
            )
        self._secret = secret
        if not of_caller:
            protect(self, secret)

    def reveal(self) -> str:
        """The secret itself, for the Authorization header only."""
        return self._secret

    def hide_in(self, text: str) -> str:
        """`text` with the key, should an upstream message repeat it, taken out."""
        return text.replace(self._secret, "[API key]")

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that identify the key without revealing it."""
        return hashlib.sha256(self._secret.encode()).hexdigest()[:8]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKey) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    def __repr__(self) -> str:
        return f"ApiKey(fingerprint={self.fingerprint})"


@dataclass(frozen=True)
class Connection:
    """A deployment and the key that belongs to it, and where each came from."""

    base_url: str
    """With the prefix of its generation and no trailing slash."""
    key: ApiKey
    url_source: str
    key_source: str

    @property
    def origin(self) -> str:
        """`scheme://host[:port]`, for showing."""
        return self.base_url.removesuffix("/v1")

    @property
    def on_loopback(self) -> bool:
        """Whether the deployment runs on this machine, as an emulator does."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def identity(self) -> str:
        """Hexadecimal digits that are the same for this pair in every process, and reveal neither half.

        The whole key goes in, not its fingerprint: two keys must not share what is kept for one of them.
        """
        return hmac.digest(self.key.reveal().encode(), self.base_url.encode(), "sha256").hex()


class _Value(NamedTuple):
    text: str
    source: str


class _Pair(NamedTuple):
    url: _Value | None
    key: _Value | None


def resolve_connection(
    api_url: str | None = None,
    api_key: str | None = None,
    *,
    env: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Connection:
    """The pair to use: arguments, then environment, then the official SDK's file; never a mixture.

    A key alone, as argument or in the environment, goes to the default URL unless the environment names
    one. A URL given as argument reuses an inherited key only if that key was meant for the same URL. Raises
    `ConfigurationError`, which says what is missing or wrong and what to do.
    """
    env = os.environ if env is None else env
    url, key = _present(api_url, "argument"), _present(api_key, "argument")
    if key:
        return _connection(_Pair(url or _present(env.get(_URL), _URL), key))
    inherited = _from_environment(env)
    if not inherited.url and not inherited.key:
        inherited = _from_file(home)
    if url:
        return _connection(_Pair(url, _key_for(url, inherited)))
    return _connection(inherited)


def deployment_url(env: Mapping[str, str]) -> str:
    """The base URL that keys of callers belong to. Raises `ConfigurationError` if it cannot be used."""
    url = _present(env.get(_URL), _URL) or _Value(DEFAULT_URL, "default")
    return normalise_base_url(url.text, url.source)


def key_of_caller(path: Path) -> ApiKey | None:
    """The key in a file of the operator's, None where there is no such file. Raises `ConfigurationError`."""
    try:
        return ApiKey(_read(path, _KEY_FILE_CAP).decode(), "the operator's folder", of_caller=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            _CONNECT,
            f"the file with your Sutro key cannot be used ({_why(error)})",
            "Ask the operator of this server to mend it",
        ) from None


def _connection(pair: _Pair) -> Connection:
    url = pair.url or _Value(DEFAULT_URL, "default")
    base_url = normalise_base_url(url.text, url.source)
    if pair.key is None:
        raise _no_key(pair.url)
    return Connection(base_url, ApiKey(pair.key.text, pair.key.source), url.source, pair.key.source)


def _key_for(url: _Value, inherited: _Pair) -> _Value | None:
    """The inherited key, if it was meant for exactly this URL."""
    meant = inherited.url or _Value(DEFAULT_URL, "default")
    try:
        same = normalise_base_url(meant.text, meant.source) == normalise_base_url(url.text, url.source)
    except ConfigurationError:
        return None
    return inherited.key if same else None


def _no_key(url: _Value | None) -> ConfigurationError:
    if url is None:
        return ConfigurationError(
            _CONNECT,
            "no API key is configured",
            f"Set {_KEY} (and {_URL} to your deployment), or run `sutro login`",
        )
    if url.source == _URL:
        return ConfigurationError(
            _CONNECT,
            f"{_URL} is set but {_KEY} is not, and a key saved in {_CONFIG} is never sent to a URL from the "
            "environment",
            f"Set {_KEY} (or {_KEY_FILE}) to a key of that deployment, or unset {_URL}",
        )
    return ConfigurationError(
        _CONNECT,
        f"there is a deployment URL (from {url.source}) but no key that belongs to it",
        f"Set {_KEY} to a key of that deployment together with {_URL}",
    )


def _from_environment(env: Mapping[str, str]) -> _Pair:
    return _Pair(
        _present(env.get(_URL), _URL), _present(env.get(_KEY), _KEY) or _from_key_file(env.get(_KEY_FILE))
    )


def _from_key_file(name: str | None) -> _Value | None:
    path = _present(name, _KEY_FILE)
    if path is None:
        return None
    try:
        data = _read(Path(path.text), _KEY_FILE_CAP, pipe_allowed=True)
        text = data.decode(json.detect_encoding(data))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            _CONNECT,
            f"the file named by {_KEY_FILE} cannot be used ({_why(error)})",
            f"Point {_KEY_FILE} to a readable file or pipe that holds nothing but the key",
        ) from None
    return _present(text, _KEY_FILE) or _Value(text, _KEY_FILE)


def _from_file(home: Path | None) -> _Pair:
    """URL and key from the file that `sutro login` writes; nothing if there is none."""
    try:
        path = (home or Path.home()) / ".sutro" / "config.json"
    except RuntimeError:  # a container's user may have no home at all
        return _Pair(None, None)
    try:
        config = _fields(_read(path, _CONFIG_CAP))
    except (FileNotFoundError, NotADirectoryError):
        return _Pair(None, None)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            _CONNECT, f"{_CONFIG} cannot be used ({_why(error)})", f"Run `sutro login` again, or set {_KEY}"
        ) from None
    url = _present(config["api_url"], _CONFIG) or _present(config["base_url"], _CONFIG)
    return _Pair(url, _present(config["api_key"], _CONFIG))


def _fields(data: bytes) -> dict[str, object]:
    """The fields that concern us. One of another type than text could hide where a key belongs."""
    loaded: object = json.loads(data, object_pairs_hook=_each_once)
    if not isinstance(loaded, dict):
        raise _UnusableError("it is not a JSON object")
    found = {name: cast("dict[str, object]", loaded).get(name) for name in _FIELDS}
    for name, value in found.items():
        if not isinstance(value, str | None):
            raise _UnusableError(f"its field {name} is not text")
        if value is not None and name != "api_key" and found["api_key"] and not _present(value, _CONFIG):
            raise _UnusableError(f"its field {name} is blank or a placeholder")
    return found


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, unless a field of ours stands in it twice: readers differ in which one counts."""
    names = [name for name, _ in pairs]
    for name in _FIELDS:
        if names.count(name) > 1:
            raise _UnusableError(f"its field {name} is given twice")
    return dict(pairs)


def _read(path: Path, cap: int, *, pipe_allowed: bool = False) -> bytes:
    """Read a small file whole. A pipe's writer has five seconds to come and finish."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        facts = os.fstat(descriptor)
        if pipe_allowed and stat.S_ISFIFO(facts.st_mode):
            data = _from_pipe(descriptor, cap)
        elif stat.S_ISREG(facts.st_mode):
            _warn_if_exposed(path, facts)
            data = file.read(cap + 1)
        else:
            raise _UnusableError("it is not a regular file")
    if len(data) > cap:
        raise _UnusableError("it is too large")
    return data


def _from_pipe(descriptor: int, cap: int) -> bytes:
    data = b""
    never = threading.Event()
    end = time.monotonic() + _PIPE_SECONDS
    while time.monotonic() < end:
        try:
            part = os.read(descriptor, cap + 1)
        except BlockingIOError:
            part = None
        data += part or b""
        if len(data) > cap or (data and part == b""):
            return data
        if not part:
            # The end of a pipe without a byte only says that its writer is still to come. Not by `select`,
            # which takes no descriptor above 1,023.
            never.wait(0.02)
    raise _UnusableError(f"it is a pipe that was not written and closed within {_PIPE_SECONDS:g} seconds")


def _warn_if_exposed(path: Path, facts: os.stat_result) -> None:
    """Say once that other users can read the key, or change it and the URL that it is sent to."""
    if os.name != "posix" or path in _warned:
        return
    if facts.st_uid not in (0, os.geteuid()):
        exposed = "belongs to another user: make your own"
    elif facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        exposed = "can be read or written by other users: remove their rights (chmod 600)"
    else:
        return
    _warned.add(path)
    logger.warning("%s holds an API key and %s", path, exposed)


def _why(error: Exception) -> str:
    """The fault of a file, in our words: the text of a decoding error can hold part of a key."""
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else "it cannot be read"
    if isinstance(error, _UnusableError):
        return str(error)
    return "it is not text" if isinstance(error, UnicodeDecodeError) else "it is not JSON"


def _present(value: object, source: str) -> _Value | None:
    if not isinstance(value, str) or is_unset(value):
        return None
    if reason := unfilled(value):
        raise ConfigurationError(_CONNECT, f"{source} {reason}", "Put the value itself there, or unset it")
    return _Value(value.strip(), source)
