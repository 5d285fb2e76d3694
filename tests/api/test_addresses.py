"""Addresses that the key or a download may go to."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sutro_mcp.api import ApiKey, Connection
from sutro_mcp.api.addresses import is_public, may_be_public, normalise_base_url
from sutro_mcp.errors import ConfigurationError

ACCEPTED = {
    "https://a.example.com": "https://a.example.com/v1",
    "https://a.example.com/": "https://a.example.com/v1",
    "https://a.example.com/v1": "https://a.example.com/v1",
    "https://a.example.com/v1/": "https://a.example.com/v1",
    "https://a.example.com/v1//": "https://a.example.com/v1",
    "https://a.example.com:8443": "https://a.example.com:8443/v1",
    "https://a.example.com:": "https://a.example.com/v1",
    "https://a.example.com?": "https://a.example.com/v1",
    "  https://a.example.com\n": "https://a.example.com/v1",
    "HTTPS://A.Example.com": "https://A.Example.com/v1",
    "https://my_deployment.internal": "https://my_deployment.internal/v1",
    "https://10.0.0.7": "https://10.0.0.7/v1",
    "http://localhost:8000": "http://localhost:8000/v1",
    "http://LOCALHOST:8000": "http://LOCALHOST:8000/v1",
    "http://127.0.0.1:9": "http://127.0.0.1:9/v1",
    "http://127.8.9.1": "http://127.8.9.1/v1",
    "http://[::1]:80/v1": "http://[::1]:80/v1",
    "https://api.sutro.sh": "https://api.sutro.sh",
    "https://api.sutro.sh/v1/": "https://api.sutro.sh",
    "https://API.sutro.sh": "https://API.sutro.sh",
    "https://notapi.sutro.sh.example.com": "https://notapi.sutro.sh.example.com/v1",
}

REFUSED = {
    "must use https": [
        *("http://a.example.com", "http://0.0.0.0:8000", "http://host.docker.internal"),
        *("http://x.localhost", "http://127.1", "http://api.sutro.sh"),
    ],
    "a path other than /v1": [
        *("https://a.example.com/api", "https://a.example.com/v1/jobs", "https://a.example.com/V1"),
        "https://a.example.com//v1",
    ],
    "a query or a fragment": ["https://a.example.com?x=1", "https://a.example.com#x"],
    "a user name or password": [
        *("https://user:canary@a.example.com", "https://canary@a.example.com"),
        "https://good.example.com\\@evil.example.com",
    ],
    "not an absolute http(s) URL": [
        "a.example.com",
        "ftp://a.example.com",
        "https://",
        "https:a.example.com",
        "",
    ],
    "not a valid URL": ["https://a.example.com:99999", "https://[::1"],
    "blanks or control characters": ["https://a.exam\tple.com", "https://a b.example.com"],
    "not a plain ASCII name": [
        *("https://a.example.com.", "https://a..example.com", "https://a%2eexample.com"),
        *("https://bücher.example.com", "https://a.example.com;x"),
    ],
}

CENTRAL = [
    *("https://serve.sutro.sh", "https://api.materialized.dev", "https://API.Materialized.dev"),
    *("https://api.materialized.dev.", "https://api.sutro.sh.", "https://eu.api.sutro.sh"),
    *("https://api%2Esutro.sh", "https://%61pi.materialized.dev", "https://x.serve.sutro.sh:8443"),
    "https://acme--tensor-factory-fastapi-app.modal.run",
    "https://acme--Tensor-Factory-fastapi-app.modal.run.",
]


@pytest.mark.parametrize("url", ACCEPTED, ids=repr)
def test_a_deployment_url_gets_the_prefix_of_its_generation(url: str) -> None:
    """/v1, except on the documented central host."""
    assert normalise_base_url(url, "SUTRO_API_URL") == ACCEPTED[url]


@pytest.mark.parametrize(("why", "url"), [(why, url) for why in REFUSED for url in REFUSED[why]])
def test_a_url_that_could_lead_elsewhere_is_refused_without_being_repeated(why: str, url: str) -> None:
    """The message says the source and the reason; the URL may hold credentials."""
    with pytest.raises(ConfigurationError) as caught:
        normalise_base_url(url, "SUTRO_API_URL")
    assert caught.value.happened.startswith("the deployment URL from SUTRO_API_URL ")
    assert why in str(caught.value)
    assert "canary" not in str(caught.value)
    assert len(url) < 9 or url not in str(caught.value)


@pytest.mark.parametrize("url", CENTRAL, ids=repr)
def test_a_retired_central_host_is_refused_with_the_way_to_move(url: str) -> None:
    """However the host is spelt."""
    with pytest.raises(ConfigurationError, match="no longer serves the Batch API directly") as caught:
        normalise_base_url(url, "argument")
    assert "Set SUTRO_API_URL to the URL of your own Sutro deployment" in str(caught.value)


@pytest.mark.parametrize("origin", ["https://a.example.com:8443", "https://api.sutro.sh"])
def test_a_connection_shows_its_origin(origin: str) -> None:
    """Without the prefix."""
    base_url = normalise_base_url(origin, "argument")
    assert Connection(base_url, ApiKey("k"), "default", "argument").origin == origin


PRIVATE = {
    "this network": ("0.0.0.0", "0.255.255.255"),  # noqa: S104 - nothing is bound
    "private, large": ("10.0.0.0", "10.255.255.255"),
    "shared": ("100.64.0.0", "100.127.255.255"),
    "loopback": ("127.0.0.0", "127.255.255.255"),
    "link-local, with the metadata of clouds": ("169.254.0.0", "169.254.255.255"),
    "private, medium": ("172.16.0.0", "172.31.255.255"),
    "protocol assignments": ("192.0.0.0", "192.0.0.255"),
    "documentation 1": ("192.0.2.0", "192.0.2.255"),
    "6to4 relays": ("192.88.99.0", "192.88.99.255"),
    "private, small": ("192.168.0.0", "192.168.255.255"),
    "benchmarks": ("198.18.0.0", "198.19.255.255"),
    "documentation 2": ("198.51.100.0", "198.51.100.255"),
    "documentation 3": ("203.0.113.0", "203.0.113.255"),
    "multicast and reserved": ("224.0.0.0", "255.255.255.255"),
    "unspecified": ("::", "::"),
    "loopback of IPv6": ("::1", "::1"),
    "IPv4-compatible": ("::0.0.0.0", "::ffff:ffff"),
    "IPv4-mapped": ("::ffff:0.0.0.0", "::ffff:255.255.255.255"),
    "translated": ("64:ff9b::", "64:ff9b::ffff:ffff"),
    "translated, local": ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    "discard": ("100::", "100::ffff:ffff:ffff:ffff"),
    "Teredo": ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
    "benchmarks of IPv6": ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"),
    "ORCHID": ("2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff"),
    "documentation of IPv6": ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    "6to4": ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "the old test network": ("3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "documentation of IPv6, new": ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "segment routing": ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "unique local": ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "link-local of IPv6": ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "site-local": ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "multicast of IPv6": ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_addresses_for_special_purposes_are_not_public(name: str) -> None:
    """The first and the last of each range that the registries list."""
    assert [is_public(address) for address in PRIVATE[name]] == [False, False]


@pytest.mark.parametrize(
    "address",
    [
        *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
        *("128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"),
        *("192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
        *("2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "2606:4700::1111", "3fff:1000::"),
    ],
)
def test_their_neighbours_are(address: str) -> None:
    """A range that is too wide would refuse somebody's store."""
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_counts_as_public_that_python_knows_not_to_be(address: IPv4Address | IPv6Address) -> None:
    """Whatever range it may be."""
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(
            (name, True)
            for name in ("93.184.216.34", "store.example.com", "store.zone", "a.b1", "my_store.io")
        ),
        *((name, False) for name in ("10.0.0.1", "127.1", "0x7f.1", "a.1b", "localhost", "a.LOCALHOST")),
        *((name, False) for name in ("store.example.com.", "a b", "bücher.example.com")),
    ],
)
def test_a_host_may_be_public_unless_a_resolver_could_read_it_as_something_else(
    host: str, expected: bool
) -> None:
    """Short and hexadecimal addresses, and this machine by its names."""
    assert may_be_public(host) is expected


def test_what_is_no_address_is_not_judged() -> None:
    """Names are resolved first."""
    with pytest.raises(ValueError, match="does not appear to be"):
        is_public("localhost")
