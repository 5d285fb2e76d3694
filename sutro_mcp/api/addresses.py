"""Addresses: the URL of a deployment, what is loopback, and what is public.

The rules for deployment URLs are those of the official SDK, except that the documented host `api.sutro.sh` is
allowed; its paths have no `/v1`. What is public is decided by data of our own rather than by
`ipaddress.is_global`, whose answer depends on the version of Python and lets translated and tunnelled
addresses pass, behind which any other address may be.
"""

import re
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

from sutro_mcp.errors import ConfigurationError

CENTRAL_HOST = "api.sutro.sh"
DEFAULT_URL = f"https://{CENTRAL_HOST}"
MIGRATION = (
    "Set SUTRO_API_URL to the URL of your own Sutro deployment and SUTRO_API_KEY to a key from the API Keys "
    "panel of that deployment"
)

_CONNECT = "connect to Sutro"
_CENTRAL_HOSTS = (CENTRAL_HOST, "serve.sutro.sh", "api.materialized.dev")
_CENTRAL_SUFFIX = "--tensor-factory-fastapi-app.modal.run"
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_NETLOC = re.compile(rf"(?P<host>\[[0-9A-Fa-f:.]+\]|{_NAME.pattern})(?::(?P<port>[0-9]{{0,5}}))?")
_SPECIAL = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",  # this host on this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; clouds serve credentials there
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays to 6to4, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        # All of IPv6 outside of 2000::/3, which alone is assigned for global unicast:
        "::/3",  # unspecified, loopback, IPv4 in ::/96 and ::ffff:0:0/96, translated IPv4 in 64:ff9b::/96
        "4000::/2",  # reserved, segment routing 5f00::/16
        "8000::/1",  # private fc00::/7, link-local fe80::/10, site-local fec0::/10, multicast ff00::/8
        # And inside of it:
        "2001::/23",  # protocol assignments: Teredo tunnels, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 tunnels
        "3ffe::/16",  # a test network, returned
        "3fff::/20",  # documentation
    )
)


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
            _CONNECT, f"the host in {source} no longer serves the Batch API directly", MIGRATION
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
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    # From Python 3.13 on an IPv4 address in an IPv6 one counts too; nobody writes loopback that way honestly.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def is_public(address: str) -> bool:
    """Whether `address` is one of the public internet; `ValueError` if it is no address."""
    found = ip_address(address)
    return not any(found in network for network in _SPECIAL)


def may_be_public(host: str) -> bool:
    """Whether `host`, as written in a URL, is a public address, or a name that may resolve to one.

    `127.1` and `0x7f.1` are addresses to a resolver, though not to `ipaddress`: a name whose last label
    starts with a digit is refused.
    """
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
