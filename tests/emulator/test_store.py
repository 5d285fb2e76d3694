"""The object store: signatures bound to a method and a time, ranges, validators, refusals in XML."""

import re
from collections.abc import Mapping

import httpx
import pytest

from sutro_mcp.emulator import ApiVariant, Emulator
from sutro_mcp.emulator.object_store.range_header import UnsatisfiableError, requested_range

from .conftest import Clock
from .support import Connect, urls_of

pytestmark = pytest.mark.anyio


async def _opened(connect: Connect, emulator: Emulator) -> tuple[httpx.AsyncClient, dict[str, str], bytes]:
    """A client without a key, the signed addresses of an artifact, and its bytes."""
    job_id = emulator.add_job(outputs=[f"row {number}" for number in range(100)])
    api = await connect(emulator)
    urls = await urls_of(api, job_id, expires_in_seconds=600)
    body = (await api.get(f"/jobs/{job_id}/results?format=parquet")).content
    return await connect(emulator, key=""), urls, body


async def test_get_serves_the_whole_artifact(connect: Connect) -> None:
    """§6.7."""
    emulator = Emulator(seed_jobs=False)
    client, urls, body = await _opened(connect, emulator)

    response = await client.get(urls["get"])

    assert (response.status_code, response.content) == (200, body)
    assert response.headers["content-length"] == str(len(body))
    assert response.headers["accept-ranges"] == "bytes"
    assert emulator.requests[-1].origin == "store"
    assert emulator.requests[-1].body_bytes == len(body)


async def test_head_tells_the_size_and_the_tag_without_a_body(connect: Connect) -> None:
    """§6.7: what a client needs before it resumes."""
    client, urls, body = await _opened(connect, Emulator(seed_jobs=False))

    head, get = await client.head(urls["head"]), await client.get(urls["get"])

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(body))
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["etag"].startswith('"')


@pytest.mark.parametrize(("method", "url"), [("GET", "head"), ("HEAD", "get")])
async def test_a_signature_is_bound_to_its_method(connect: Connect, method: str, url: str) -> None:
    """§6.7: two addresses, not one."""
    client, urls, _ = await _opened(connect, Emulator(seed_jobs=False))

    response = await client.request(method, urls[url])

    assert response.status_code == 403
    assert method == "HEAD" or "<Code>SignatureDoesNotMatch</Code>" in response.text


@pytest.mark.parametrize(
    ("part", "other", "code"),
    [
        pytest.param(r"\?.*", "", "AccessDenied", id="no signature"),
        pytest.param(r"(Signature=).", r"\1g", "SignatureDoesNotMatch", id="a changed signature"),
        pytest.param(r"results~", "resultz~", "SignatureDoesNotMatch", id="another object"),
        pytest.param(r"Expires=600", "Expires=9999", "SignatureDoesNotMatch", id="a longer life"),
        pytest.param(r"$", "é", "SignatureDoesNotMatch", id="not ASCII"),
    ],
)
async def test_a_spoilt_address_is_a_403_in_xml(connect: Connect, part: str, other: str, code: str) -> None:
    """§8."""
    client, urls, _ = await _opened(connect, Emulator(seed_jobs=False))

    response = await client.get(re.sub(part, other, urls["get"]))

    assert (response.status_code, response.headers["content-type"]) == (403, "application/xml")
    assert f"<Code>{code}</Code>" in response.text


async def test_an_address_expires(connect: Connect, clock: Clock) -> None:
    """§6.7: valid to the last second."""
    client, urls, _ = await _opened(connect, Emulator(seed_jobs=False, now=clock))

    clock.forward(600)
    assert (await client.get(urls["get"])).status_code == 200
    clock.forward(1)
    expired = await client.get(urls["get"])

    assert (expired.status_code, "Request has expired" in expired.text) == (403, True)


async def test_an_api_key_has_no_business_here(connect: Connect) -> None:
    """§2.2: the signature in the address is the credential."""
    emulator = Emulator(seed_jobs=False)
    _, urls, _ = await _opened(connect, emulator)

    response = await (await connect(emulator)).get(urls["get"])

    assert (response.status_code, "<Code>InvalidArgument</Code>" in response.text) == (400, True)


async def test_only_reading_is_possible(connect: Connect) -> None:
    """§3: GET and HEAD."""
    client, urls, _ = await _opened(connect, Emulator(seed_jobs=False))

    assert (await client.put(urls["get"])).status_code == 405


async def test_an_artifact_goes_with_the_retention(connect: Connect) -> None:
    """§7.5: an address that is still valid leads nowhere."""
    emulator = Emulator(seed_jobs=False)
    client, urls, _ = await _opened(connect, emulator)
    (job,) = emulator.account.all()

    job.results_expired = True
    response = await client.get(urls["get"])

    assert (response.status_code, "<Code>NoSuchKey</Code>" in response.text) == (404, True)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-9", slice(5, 10)),
        ("bytes=10-", slice(10, None)),
        ("bytes=-8", slice(-8, None)),
        ("bytes=3-999999", slice(3, None)),
        ("bytes=-999999", slice(0, None)),
    ],
)
async def test_a_range_is_a_206_with_that_part(connect: Connect, header: str, part: slice) -> None:
    """§6.7, RFC 9110 §14."""
    client, urls, body = await _opened(connect, Emulator(seed_jobs=False))

    response = await client.get(urls["get"], headers={"Range": header})

    start, stop, _ = part.indices(len(body))
    assert (response.status_code, response.content) == (206, body[part])
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(body)}"
    assert response.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("header", ["bytes=0-1,4-5", "bytes=9-3", "bytes=-", "rows=0-5", "bytes=a-b"])
async def test_a_range_that_means_nothing_is_the_whole(connect: Connect, header: str) -> None:
    """As object stores do."""
    client, urls, body = await _opened(connect, Emulator(seed_jobs=False))

    response = await client.get(urls["get"], headers={"Range": header})

    assert (response.status_code, response.content) == (200, body)


@pytest.mark.parametrize("header", ["bytes=999999-", "bytes=-0"])
async def test_a_range_beyond_the_end_is_a_416(connect: Connect, header: str) -> None:
    """With the size, so that a client can correct itself."""
    client, urls, body = await _opened(connect, Emulator(seed_jobs=False))

    response = await client.get(urls["get"], headers={"Range": header})

    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(body)}"


def test_no_range_of_nothing_is_satisfiable() -> None:
    """An empty object has no last byte."""
    with pytest.raises(UnsatisfiableError):
        requested_range("bytes=-1", 0)


async def test_a_range_counts_only_if_its_validator_does(connect: Connect) -> None:
    """If-Range: by tag or by date; another one gets the whole new body."""
    client, urls, body = await _opened(connect, Emulator(seed_jobs=False))
    head = (await client.head(urls["head"])).headers

    async def answer(validator: str) -> int:
        headers = {"Range": "bytes=4-", "If-Range": validator}
        response = await client.get(urls["get"], headers=headers)
        assert response.content == (body[4:] if response.status_code == 206 else body)
        return response.status_code

    assert await answer(head["etag"]) == 206
    assert await answer(head["last-modified"]) == 206
    assert await answer('"another"') == 200


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("*", 200), ('"x", {etag}', 200), ('"x"', 412)],
    ids=["any", "one of two", "another"],
)
async def test_if_match_refuses_another_object(connect: Connect, wanted: str, status: int) -> None:
    """A 412 rather than bytes of something else."""
    client, urls, _ = await _opened(connect, Emulator(seed_jobs=False))
    etag = (await client.head(urls["head"])).headers["etag"]

    response = await client.get(urls["get"], headers={"If-Match": wanted.format(etag=etag)})

    assert response.status_code == status


async def test_a_gateway_can_lack_ranges(connect: Connect) -> None:
    """§6.7: 200 with the full body."""
    client, urls, body = await _opened(
        connect, Emulator(seed_jobs=False, variant=ApiVariant(store_ranges=False))
    )

    response = await client.get(urls["get"], headers={"Range": "bytes=4-"})

    assert (response.status_code, response.content) == (200, body)
    assert "accept-ranges" not in response.headers


async def test_a_gateway_can_lack_tags(connect: Connect) -> None:
    """§6.7: then no tag ever matches."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(store_etag=False))
    client, urls, _ = await _opened(connect, emulator)
    headers: Mapping[str, str] = {"Range": "bytes=4-", "If-Range": '"a"'}

    assert "etag" not in (await client.head(urls["head"])).headers
    assert (await client.get(urls["get"], headers=headers)).status_code == 200


async def test_a_slow_store_still_sends_everything(connect: Connect) -> None:
    """Latency and bandwidth are settings."""
    emulator = Emulator(seed_jobs=False)
    client, urls, body = await _opened(connect, emulator)
    emulator.store.latency = 0.001
    emulator.store.bytes_per_second = len(body) * 10

    assert (await client.get(urls["get"])).content == body


async def test_a_closing_server_ends_a_body_early(connect: Connect) -> None:
    """So that leaving `serve` does not wait for a slow reader."""
    emulator = Emulator(seed_jobs=False)
    client, urls, _ = await _opened(connect, emulator)
    emulator.account.closing = True

    assert (await client.get(urls["get"])).content == b""


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://store.example.com", "store.example.com"),
        ("https://store.example.com:443", "store.example.com"),
        ("http://store.example.com:80", "store.example.com"),
        ("http://store.example.com:9000", "store.example.com:9000"),
    ],
)
async def test_the_host_header_decides_who_answers(connect: Connect, origin: str, host: str) -> None:
    """One app for both origins."""
    emulator = Emulator(seed_jobs=False, store_origin=origin)
    client = await connect(emulator)

    await client.get("/list-jobs", headers={"Host": host})
    await client.get("/list-jobs", headers={"Host": "elsewhere"})

    assert [seen.origin for seen in emulator.requests] == ["store", "api"]
