"""The object store: signatures bound to a method and a time, ranges, validators, refusals in XML."""

import re
from dataclasses import dataclass

import httpx
import pytest

from sutro_mcp.emulator import ApiVariant, Emulator
from sutro_mcp.emulator.object_store.range_header import UnsatisfiableError, requested_range

from .conftest import Clock
from .support import Connect, urls_of

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Stored:
    """A client without a key, the signed addresses of an artifact, and its bytes."""

    client: httpx.AsyncClient
    urls: dict[str, str]
    body: bytes

    async def get(self, **headers: str) -> httpx.Response:
        """The answer at the address for GET; underscores in the names of headers become dashes."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(self.urls["get"], headers=names)


async def _store(connect: Connect, emulator: Emulator) -> Stored:
    job_id = emulator.add_job(outputs=[f"row {number}" for number in range(100)])
    api = await connect(emulator)
    urls = await urls_of(api, job_id, expires_in_seconds=600)
    body = (await api.get(f"/jobs/{job_id}/results?format=parquet")).content
    return Stored(await connect(emulator, key=""), urls, body)


@pytest.fixture
async def stored(connect: Connect, emulator: Emulator) -> Stored:
    """An artifact of the empty account."""
    return await _store(connect, emulator)


async def test_get_serves_the_whole_artifact(emulator: Emulator, stored: Stored) -> None:
    """§6.7."""
    response = await stored.get()
    assert (response.status_code, response.content) == (200, stored.body)
    assert response.headers["content-length"] == str(len(stored.body))
    assert response.headers["accept-ranges"] == "bytes"
    assert emulator.requests[-1].origin == "store"
    assert emulator.requests[-1].body_bytes == len(stored.body)


async def test_head_tells_the_size_and_the_tag_without_a_body(stored: Stored) -> None:
    """§6.7: what a client needs before it resumes."""
    head, get = await stored.client.head(stored.urls["head"]), await stored.get()
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(stored.body))
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["etag"].startswith('"')


@pytest.mark.parametrize(("method", "url"), [("GET", "head"), ("HEAD", "get")])
async def test_a_signature_is_bound_to_its_method(stored: Stored, method: str, url: str) -> None:
    """§6.7: two addresses, not one."""
    response = await stored.client.request(method, stored.urls[url])
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
async def test_a_spoilt_address_is_a_403_in_xml(stored: Stored, part: str, other: str, code: str) -> None:
    """§8."""
    response = await stored.client.get(re.sub(part, other, stored.urls["get"]))
    assert (response.status_code, response.headers["content-type"]) == (403, "application/xml")
    assert f"<Code>{code}</Code>" in response.text


async def test_an_address_expires(connect: Connect, clock: Clock) -> None:
    """§6.7: valid to the last second."""
    stored = await _store(connect, Emulator(seed_jobs=False, now=clock))
    clock.forward(600)
    assert (await stored.get()).status_code == 200
    clock.forward(1)
    expired = await stored.get()
    assert (expired.status_code, "Request has expired" in expired.text) == (403, True)


@pytest.mark.parametrize(
    ("method", "sent", "is_over", "status", "code"),
    [
        pytest.param("GET", "Key k", False, 400, "InvalidArgument", id="an API key has no business here"),
        pytest.param("PUT", None, False, 405, "MethodNotAllowed", id="only reading is possible"),
        pytest.param("GET", None, True, 404, "NoSuchKey", id="an artifact goes with the retention"),
    ],
)
async def test_a_refusal_is_told_in_xml(
    emulator: Emulator, stored: Stored, method: str, sent: str | None, is_over: bool, status: int, code: str
) -> None:
    """§2.2, §3 and §7.5."""
    (job,) = emulator.account.all()
    job.results_expired = is_over
    headers = {"Authorization": sent} if sent else {}
    response = await stored.client.request(method, stored.urls["get"], headers=headers)
    assert (response.status_code, f"<Code>{code}</Code>" in response.text) == (status, True)


WHOLE = slice(None)
RANGES = {
    "bytes=0-0": (206, slice(0, 1)),
    "bytes=5-9": (206, slice(5, 10)),
    "bytes=10-": (206, slice(10, None)),
    "bytes=-8": (206, slice(-8, None)),
    "bytes=3-999999": (206, slice(3, None)),
    "bytes=-999999": (206, WHOLE),
    "bytes=0-1,4-5": (200, WHOLE),
    "bytes=9-3": (200, WHOLE),
    "bytes=-": (200, WHOLE),
    "rows=0-5": (200, WHOLE),
    "bytes=a-b": (200, WHOLE),
    "bytes=999999-": (416, None),
    "bytes=-0": (416, None),
}


@pytest.mark.parametrize(("header", "expected"), RANGES.items(), ids=RANGES)
async def test_a_range_gives_its_part_and_one_without_a_meaning_the_whole(
    stored: Stored, header: str, expected: tuple[int, slice | None]
) -> None:
    """§6.7, RFC 9110 §14; a refusal names the size, so that a client can correct itself."""
    status, part = expected
    size = len(stored.body)
    response = await stored.get(Range=header)
    assert response.status_code == status
    if part is None:
        assert response.headers["content-range"] == f"bytes */{size}"
        return
    start, stop, _ = part.indices(size)
    assert response.content == stored.body[part]
    assert response.headers["content-length"] == str(stop - start)
    whole = None if status == 200 else f"bytes {start}-{stop - 1}/{size}"
    assert response.headers.get("content-range") == whole


def test_no_range_of_nothing_is_satisfiable() -> None:
    """An empty object has no last byte."""
    with pytest.raises(UnsatisfiableError):
        requested_range("bytes=-1", 0)


async def test_a_range_counts_only_if_its_validator_does(stored: Stored) -> None:
    """If-Range: by tag or by date; another one gets the whole new body."""
    head = (await stored.client.head(stored.urls["head"])).headers

    async def answer(validator: str) -> int:
        response = await stored.get(Range="bytes=4-", If_Range=validator)
        assert response.content == (stored.body[4:] if response.status_code == 206 else stored.body)
        return response.status_code

    assert await answer(head["etag"]) == 206
    assert await answer(head["last-modified"]) == 206
    assert await answer('"another"') == 200


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("*", 200), ('"x", {etag}', 200), ('"x"', 412)],
    ids=["any", "one of two", "another"],
)
async def test_if_match_refuses_another_object(stored: Stored, wanted: str, status: int) -> None:
    """A 412 rather than bytes of something else."""
    etag = (await stored.client.head(stored.urls["head"])).headers["etag"]
    assert (await stored.get(If_Match=wanted.format(etag=etag))).status_code == status


async def test_a_gateway_can_lack_ranges(connect: Connect) -> None:
    """§6.7: 200 with the full body."""
    stored = await _store(connect, Emulator(seed_jobs=False, variant=ApiVariant(store_ranges=False)))
    response = await stored.get(Range="bytes=4-")
    assert (response.status_code, response.content) == (200, stored.body)
    assert "accept-ranges" not in response.headers


async def test_a_gateway_can_lack_tags(connect: Connect) -> None:
    """§6.7: then no tag ever matches."""
    emulator = Emulator(seed_jobs=False, variant=ApiVariant(store_etag=False))
    stored = await _store(connect, emulator)
    assert "etag" not in (await stored.client.head(stored.urls["head"])).headers
    assert (await stored.get(Range="bytes=4-", If_Range='"a"')).status_code == 200


async def test_a_slow_store_still_sends_everything(emulator: Emulator, stored: Stored) -> None:
    """Latency and bandwidth are settings."""
    emulator.store.latency = 0.001
    emulator.store.bytes_per_second = len(stored.body) * 10
    assert (await stored.get()).content == stored.body


async def test_a_closing_server_ends_a_body_early(emulator: Emulator, stored: Stored) -> None:
    """So that leaving `serve` does not wait for a slow reader."""
    emulator.account.closing = True
    assert (await stored.get()).content == b""


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
