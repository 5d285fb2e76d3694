"""Presigned URLs: where they may lead, that they are renewed, and that they are not shown."""

from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import pytest

from sutro_mcp.api.artifact.presigned_url import check_artifact_url
from sutro_mcp.errors import AccessDeniedError, ArtifactChangedError, SutroError, UnexpectedReplyError
from tests.api.wire import PARQUET, Body, client

from .stores import SIZE, Answer, asked, cut, failed, links, opened, part, read, status, store

pytestmark = pytest.mark.anyio


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
        *("http://bucket.example.com/x?sig=canary", "https://bucket.example.com:8443/x?sig=canary"),
        *("https://canary@bucket.example.com/x", "https://169.254.169.254/latest?sig=canary"),
        *("https://10.0.0.1/?sig=canary", "https://[::ffff:127.0.0.1]/?sig=canary"),
        *("https://127.1/?sig=canary", "https://2130706433/?sig=canary", "https://0x7f000001/?sig=canary"),
        *("https://0/?sig=canary", "https://localhost./?sig=canary", "https://db.localhost/?sig=canary"),
        *("file:///etc/passwd?sig=canary", "ftp://127.0.0.1/?sig=canary", "/relative?sig=canary"),
        "wss://bucket.example.com/x?sig=canary",
        *("https://[canary/", "https://x:canary/", ""),
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


async def test_a_link_that_is_refused_is_renewed_once() -> None:
    """Also where a connection broke."""
    transport = store(status(403), cut(1000), status(403))
    assert await part(transport, 0, SIZE) == PARQUET
    assert (links(transport), len(asked(transport))) == (3, 4)
    happened = await failed(store(status(403), status(403)), AccessDeniedError)
    assert "two download links in a row" in happened


async def test_the_reply_of_a_refusal_is_closed() -> None:
    """Its connection could not be used again."""
    bodies: list[Body] = []

    def refuse(_: httpx.Request) -> httpx.Response:
        bodies.append(Body([b"<Error/>"]))
        return httpx.Response(403, stream=bodies[-1])

    assert await part(store(refuse)) == PARQUET[100:9000]
    assert [body.closed for body in bodies] == [True]


async def test_a_link_of_no_duration_is_renewed_before_it_is_used() -> None:
    """The life that the deployment states counts, not the one asked for."""
    transport = store(offers=[{"expires_in_seconds": 0}, {"expires_in_seconds": 600}])
    async with client(transport) as api:
        artifact = await opened(api)
        await read(artifact, 0, 10)
        await read(artifact, 10, 20)
    assert (links(transport), len(asked(transport))) == (2, 2)


async def test_many_readers_of_an_expired_link_ask_for_one_new_one() -> None:
    """The deployment is not asked by each of them."""
    refused: list[Answer] = [status(403)] * 3
    transport = store(*refused)
    async with client(transport) as api:
        artifact = await opened(api)
        async with anyio.create_task_group() as tasks:
            for at in range(3):
                tasks.start_soon(read, artifact, at * 10, at * 10 + 10)
    assert (links(transport), len(asked(transport))) == (2, 6)


@pytest.mark.parametrize(
    ("offer", "kind"),
    [
        ({"artifact": {"size_bytes": SIZE + 1}}, ArtifactChangedError),
        ({"artifact": {}}, ArtifactChangedError),
        *(({"status": code}, ArtifactChangedError) for code in (404, 410, 405)),
        ({"status": 403}, AccessDeniedError),
        ({"job_id": "job-2"}, UnexpectedReplyError),
        ({"urls": {"get": "https://10.0.0.1/canary"}}, UnexpectedReplyError),
    ],
    ids=repr,
)
async def test_a_renewed_link_must_be_as_good_as_the_first_and_of_the_same_artifact(
    offer: Mapping[str, Any], kind: type[SutroError]
) -> None:
    """Results may be removed or made anew between two pages; an error of the deployment is told as such."""
    transport = store(status(403), offers=[{}, offer])
    await failed(transport, kind)
    assert len(asked(transport)) == 1


async def test_an_artifact_does_not_show_its_link() -> None:
    """Neither as a whole nor by its parts."""
    async with client(store()) as api:
        artifact = await opened(api)
    shown = [repr(artifact), repr(vars(artifact)), repr(vars(artifact._url))]  # pyright: ignore[reportPrivateUsage]
    assert "PresignedUrl(size=" in shown[2]
    assert "canary" not in "".join(shown)
