"""Which addresses the key or a download may go to."""

import pytest

from sutro_mcp.api import ApiKey, Connection
from sutro_mcp.api.addresses import normalise_base_url
from sutro_mcp.api.artifact.presigned_url import check_artifact_url
from sutro_mcp.errors import ConfigurationError, UnexpectedReplyError

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


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.amazonaws.com/a/b.parquet?X-Amz-Signature=canary",
        "https://bucket.s3.amazonaws.com:443/x",
        "https://8.8.8.8/x",
        "https://[2606:4700::1111]/x",
    ],
)
def test_a_signed_url_to_a_public_host_is_accepted(url: str) -> None:
    """https on the default port."""
    assert check_artifact_url(url, "read", api_on_loopback=False).scheme == "https"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8788/x?sig=1", "http://localhost:9/x", "http://[::1]:9/x", "https://127.0.0.1:8788/x"],
)
def test_loopback_is_accepted_exactly_when_the_api_is_there(url: str) -> None:
    """As with the emulator."""
    assert check_artifact_url(url, "read", api_on_loopback=True).path == "/x"
    with pytest.raises(UnexpectedReplyError):
        check_artifact_url(url, "read", api_on_loopback=False)


@pytest.mark.parametrize("api_on_loopback", [False, True], ids=["public API", "loopback API"])
@pytest.mark.parametrize(
    "url",
    [
        "http://bucket.example.com/x?sig=canary",
        "https://bucket.example.com:8443/x?sig=canary",
        "https://canary@bucket.example.com/x",
        "https://169.254.169.254/latest?sig=canary",
        "https://10.0.0.1/?sig=canary",
        "https://100.64.0.1/?sig=canary",
        "https://[::ffff:127.0.0.1]/?sig=canary",
        "https://[fe80::1]/?sig=canary",
        "https://127.1/?sig=canary",
        "https://2130706433/?sig=canary",
        "https://0x7f000001/?sig=canary",
        "https://0/?sig=canary",
        "https://localhost./?sig=canary",
        "https://db.localhost/?sig=canary",
        "file:///etc/passwd?sig=canary",
        "ftp://127.0.0.1/?sig=canary",
        "https://[canary/",
        "https://x:canary/",
        "/relative?sig=canary",
        "",
    ],
    ids=repr,
)
def test_a_signed_url_that_leads_elsewhere_is_refused_without_being_shown(
    url: str, api_on_loopback: bool
) -> None:
    """Private addresses, other schemes and ports, credentials, junk."""
    with pytest.raises(UnexpectedReplyError) as caught:
        check_artifact_url(url, "read", api_on_loopback=api_on_loopback)
    assert "the download link from the deployment" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_download_never_goes_where_a_job_would_be_cancelled() -> None:
    """Cancelling is a GET, so a link could do it."""
    with pytest.raises(UnexpectedReplyError, match="would cancel a job"):
        check_artifact_url("https://a.example.com/v1/job-cancel/job-1?sig=1", "read", api_on_loopback=False)
