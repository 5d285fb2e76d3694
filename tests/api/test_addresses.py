"""Which addresses the key or a download may go to."""

import pytest

from sutro_mcp.api import ApiKey, Connection
from sutro_mcp.api.addresses import normalise_base_url
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
    "http://a.example.com": "must use https",
    "http://0.0.0.0:8000": "must use https",
    "http://host.docker.internal": "must use https",
    "http://x.localhost": "must use https",
    "http://127.1": "must use https",
    "http://api.sutro.sh": "must use https",
    "https://a.example.com/api": "a path other than /v1",
    "https://a.example.com/v1/jobs": "a path other than /v1",
    "https://a.example.com/V1": "a path other than /v1",
    "https://a.example.com//v1": "a path other than /v1",
    "https://a.example.com?x=1": "a query or a fragment",
    "https://a.example.com#x": "a query or a fragment",
    "https://user:canary@a.example.com": "a user name or password",
    "https://canary@a.example.com": "a user name or password",
    "https://good.example.com\\@evil.example.com": "a user name or password",
    "a.example.com": "not an absolute http(s) URL",
    "ftp://a.example.com": "not an absolute http(s) URL",
    "https://": "not an absolute http(s) URL",
    "https:a.example.com": "not an absolute http(s) URL",
    "": "not an absolute http(s) URL",
    "https://a.example.com:99999": "not a valid URL",
    "https://[::1": "not a valid URL",
    "https://a.exam\tple.com": "blanks or control characters",
    "https://a b.example.com": "blanks or control characters",
    "https://a.example.com.": "not a plain ASCII name",
    "https://a..example.com": "not a plain ASCII name",
    "https://a%2eexample.com": "not a plain ASCII name",
    "https://bücher.example.com": "not a plain ASCII name",
    "https://a.example.com;x": "not a plain ASCII name",
}

CENTRAL = [
    "https://serve.sutro.sh",
    "https://api.materialized.dev",
    "https://API.Materialized.dev",
    "https://api.materialized.dev.",
    "https://api.sutro.sh.",
    "https://eu.api.sutro.sh",
    "https://api%2Esutro.sh",
    "https://%61pi.materialized.dev",
    "https://x.serve.sutro.sh:8443",
    "https://acme--tensor-factory-fastapi-app.modal.run",
    "https://acme--Tensor-Factory-fastapi-app.modal.run.",
]


@pytest.mark.parametrize("url", ACCEPTED, ids=repr)
def test_a_deployment_url_gets_the_prefix_of_its_generation(url: str) -> None:
    """/v1, except on the documented central host."""
    assert normalise_base_url(url, "SUTRO_API_URL") == ACCEPTED[url]


@pytest.mark.parametrize("url", REFUSED, ids=repr)
def test_a_url_that_could_lead_elsewhere_is_refused_without_being_repeated(url: str) -> None:
    """The message says the source and the reason; the URL may hold credentials."""
    with pytest.raises(ConfigurationError) as caught:
        normalise_base_url(url, "SUTRO_API_URL")
    assert caught.value.happened.startswith("the deployment URL from SUTRO_API_URL ")
    assert REFUSED[url] in str(caught.value)
    assert "canary" not in str(caught.value)
    assert len(url) < 9 or url not in str(caught.value)


@pytest.mark.parametrize("url", CENTRAL, ids=repr)
def test_a_retired_central_host_is_refused_with_the_way_to_move(url: str) -> None:
    """However the host is spelt."""
    with pytest.raises(ConfigurationError, match="no longer serves the Batch API directly") as caught:
        normalise_base_url(url, "argument")
    assert "Set SUTRO_API_URL to the URL of your own Sutro deployment" in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://a.example.com:8443/v1", "https://a.example.com:8443"),
        ("https://api.sutro.sh", "https://api.sutro.sh"),
    ],
)
def test_a_connection_shows_its_origin(base_url: str, origin: str) -> None:
    """Without the prefix."""
    assert Connection(base_url, ApiKey("k"), "default", "argument").origin == origin
