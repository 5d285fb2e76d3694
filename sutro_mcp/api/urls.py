"""Which addresses the key or a download may go to, and how an id becomes part of one.

Everything that decides *where* a request goes is here: the base URL a user sets, the one function that puts a
job id into a path, and the check of a signed artifact URL. The rules for base URLs are those of the official
SDK, except that the documented host `api.sutro.sh` is allowed; its paths have no `/v1`.
"""

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from sutro_mcp.errors import ConfigurationError, InvalidArgumentError, UnexpectedReplyError

from .addresses import is_public

if TYPE_CHECKING:
    import httpx

CENTRAL_HOST = "api.sutro.sh"
DEFAULT_URL = f"https://{CENTRAL_HOST}"
MIGRATION = (
    "set SUTRO_API_URL to the URL of your own Sutro deployment and SUTRO_API_KEY to a key from the API Keys "
    "panel of that deployment"
)
CANCEL_WORD = "job-cancel"

_CONNECT = "connect to Sutro"
_CENTRAL_HOSTS = (CENTRAL_HOST, "serve.sutro.sh", "api.materialized.dev")
_CENTRAL_SUFFIX = "--tensor-factory-fastapi-app.modal.run"
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_NETLOC = re.compile(rf"(?P<host>\[[0-9A-Fa-f:.]+\]|{_NAME.pattern})(?::(?P<port>[0-9]{{0,5}}))?")
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def normalise_base_url(value: str, source: str) -> str:
    """The base URL to which path templates are appended: with `/v1`, except on the central host.

    Raises `ConfigurationError`, which names `source` and never repeats the value: it may hold credentials.
    """
    value = value.strip()
    parts = _split(value, source)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise _refused(source, "is not an absolute http(s) URL")
    if "@" in parts.netloc:
        raise _refused(source, "contains a user name or password")
    if parts.query or parts.fragment:
        raise _refused(source, "contains a query or a fragment")
    if _is_central(parts.netloc):
        raise ConfigurationError(
            _CONNECT, f"the host in {source} no longer serves the Batch API directly", _sentence(MIGRATION)
        )
    match = _NETLOC.fullmatch(parts.netloc)
    if match is None or ".." in match["host"]:
        raise _refused(source, "has a host that is not a plain ASCII name or address")
    if parts.scheme == "http" and not is_loopback(match["host"]):
        raise _refused(source, "must use https, because its host is not on loopback")
    if parts.path.rstrip("/") not in ("", "/v1"):
        raise _refused(source, "has a path other than /v1")
    authority = match["host"] + (f":{match['port']}" if match["port"] else "")
    prefix = "" if match["host"].lower() == CENTRAL_HOST else "/v1"
    return f"{parts.scheme}://{authority}{prefix}"


def is_loopback(host: str) -> bool:
    """Whether `host`, as written in a URL, is `localhost` or a loopback address."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    # From Python 3.13 on an IPv4 address in an IPv6 one counts too; nobody writes loopback that way honestly.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def job_segment(job_id: str) -> str:
    """`job_id` as one path segment. The only way an id enters a path.

    Ids that could be read as another request (`..`, slashes, escapes, the cancel word) raise
    `InvalidArgumentError` before anything is sent.
    """
    if not _JOB_ID.fullmatch(job_id) or CANCEL_WORD in job_id.lower():
        raise InvalidArgumentError(
            "use this job id",
            "it is not one to 128 letters, digits, hyphens and underscores as Sutro's ids are",
            "Copy the job_id from an answer of list_jobs",
        )
    return quote(job_id, safe="")


def check_artifact_url(value: str, doing: str, *, api_on_loopback: bool) -> "httpx.URL":
    """The signed URL, if a download may go there: https on the default port to a public host.

    When the API itself is on loopback (the emulator), http and other ports on loopback are allowed too. What
    a name stands for is checked when it is connected to. Errors never show the URL.
    """
    import httpx  # not needed to put an id into a path, which the server does before it speaks HTTP

    try:
        url = httpx.URL(value)
    except (httpx.InvalidURL, ValueError):
        raise _bad_artifact(doing, "is not a URL") from None
    if CANCEL_WORD in url.path.lower():
        raise _bad_artifact(doing, "would cancel a job")
    if url.userinfo:
        raise _bad_artifact(doing, "contains a user name or password")
    host = url.raw_host.decode("ascii")
    if is_loopback(host) and api_on_loopback and url.scheme in ("http", "https"):
        return url
    if url.scheme != "https" or url.port is not None:
        raise _bad_artifact(doing, "is not https on the default port")
    if not _may_be_public(host):
        raise private_address(doing)
    return url


def _may_be_public(host: str) -> bool:
    # Names are judged by their text here, by what they resolve to later. `127.1` and `0x7f.1` are addresses
    # to a resolver, though not to `ipaddress`, so a name whose last label starts with a digit is refused.
    try:
        return is_public(host)
    except ValueError:
        last = host.rpartition(".")[2].lower()
        return _NAME.fullmatch(host) is not None and last != "localhost" and not last[0].isdigit()


def _is_central(netloc: str) -> bool:
    """Whether the host, however it is spelt, is a central one other than plain `api.sutro.sh`."""
    written = netloc.partition(":")[0].lower()
    host = unquote(written).rstrip(".")
    if written == CENTRAL_HOST:
        return False
    return host.endswith(_CENTRAL_SUFFIX) or any(
        host == central or host.endswith(f".{central}") for central in _CENTRAL_HOSTS
    )


def _split(value: str, source: str) -> SplitResult:
    # urlsplit drops tabs and line ends silently, so they are refused before.
    if any(char <= " " or char == "\x7f" for char in value):
        raise _refused(source, "contains blanks or control characters")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise _refused(source, "is not a valid URL") from None
    return parts


def _refused(source: str, happened: str) -> ConfigurationError:
    return ConfigurationError(
        _CONNECT,
        f"the deployment URL from {source} {happened}",
        "Set it to the origin of your deployment, such as https://sutro.example.com",
    )


def private_address(doing: str) -> UnexpectedReplyError:
    """The error for a signed URL whose host, or an address of it, is not a public one."""
    return _bad_artifact(doing, "leads to a private address")


def _bad_artifact(doing: str, happened: str) -> UnexpectedReplyError:
    return UnexpectedReplyError(
        doing,
        f"the download link from the deployment {happened}",
        "Report this to whoever runs the deployment",
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
