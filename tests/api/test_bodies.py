"""Bodies are bounded, whole and strict JSON, or an error."""

import gzip
import json
import zlib
from collections.abc import Callable

import httpx
import pytest

from sutro_mcp.api.bodies import chunks, parse_object
from sutro_mcp.errors import IncompleteReplyError, ReplyTooLargeError, UnexpectedReplyError

from .wire import JOB, answering, client, error_of, job, reply

pytestmark = pytest.mark.anyio


BAD_JSON = {
    "empty": b"",
    "cut": b'{"job": ',
    "trailing": b'{"job": 1} x',
    "null": b"null",
    "list": b"[]",
    "string": b'"x"',
    "NaN": b'{"job": NaN}',
    "Infinity": b'{"job": -Infinity}',
    "1e999": b'{"job": 1e999}',
    "duplicate keys": b'{"status": "RUNNING", "status": "FAILED"}',
    "5000 digits": b'{"job": ' + b"9" * 5000 + b"}",
    "deep": b'{"a":' * 100_000,
    "bad UTF-8": b'{"job": "\xff"}',
    "surrogate bytes": b'{"job": "\xed\xa0\x80"}',
    "UTF-16": '{"job": 1}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_json_that_is_not_strict_is_refused(body: bytes) -> None:
    """Python's own reader accepts some of it, silently."""
    with pytest.raises(UnexpectedReplyError, match="the reply is"):
        parse_object(body, "test")


def test_json_may_start_with_a_byte_order_mark() -> None:
    """And hold a lone surrogate, which is shown as U+FFFD later."""
    assert parse_object(b'\xef\xbb\xbf{"a": 1.5, "b": "\\ud83d"}', "test") == {"a": 1.5, "b": "\ud83d"}


async def test_a_large_list_is_read_beside_other_calls() -> None:
    """Above a mebibyte it is parsed in a thread."""
    many = [job(f"job-{number}", description="x" * 200) for number in range(8000)]
    async with client(answering(reply(200, {"jobs": many}))) as api:
        assert len(await api.list_jobs()) == 8000


async def test_a_reply_above_its_cap_is_refused() -> None:
    """Announced or not."""
    piece = b" " * 1024 * 1024
    for length in (True, False):
        found = await error_of(answering(lambda length=length: reply(200, [piece] * 9, length=length)))
        assert isinstance(found, ReplyTooLargeError)
        assert "larger than 8,388,608 bytes" in str(found)


@pytest.mark.parametrize("length", [True, False], ids=["announced", "not announced"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_body_may_be_as_long_as_its_cap(encoding: str, length: bool) -> None:
    """And not a byte longer, once it is unpacked."""

    def body(size: int) -> httpx.Response:
        packed = PACKED[encoding](b"x" * size)
        return reply(200, packed, headers={"content-encoding": encoding}, length=length)

    assert b"".join([part async for part in chunks(body(100), "test", 100)]) == b"x" * 100
    with pytest.raises(ReplyTooLargeError):
        _ = [part async for part in chunks(body(101), "test", 100)]


@pytest.mark.parametrize("value", ["-1", "abc", "1_0", "1" * 30, "5, 6"])
async def test_a_length_that_is_no_number_is_refused(value: str) -> None:
    """h11 lets some through."""
    response = reply(200, b"{}", length=False)
    response.headers["content-length"] = value
    with pytest.raises(UnexpectedReplyError, match="a length that is not a number"):
        _ = [part async for part in chunks(response, "test", 100)]


@pytest.mark.parametrize(
    ("announced", "happened"), [(100, "ended after 2 of 100 bytes"), (1, "longer than announced")]
)
async def test_a_body_of_another_length_than_announced_is_incomplete(announced: int, happened: str) -> None:
    """Never a partial result."""
    found = await error_of(answering(lambda: reply(200, b"{}", headers={"content-length": str(announced)})))
    assert isinstance(found, IncompleteReplyError)
    assert happened in str(found)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "GZip": gzip.compress,
    "identity": lambda body: body,
}


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_compressed_reply_that_nobody_asked_for_is_unpacked(encoding: str) -> None:
    """In steps, however it is cut."""
    body = json.dumps({"job": job(description="x" * 200_000)}).encode()
    packed = PACKED[encoding](body)
    pieces = [packed[at : at + 50] for at in range(0, len(packed), 50)]
    transport = answering(reply(200, pieces, headers={"content-encoding": encoding}))
    async with client(transport) as api:
        assert (await api.get_job(JOB)).description == "x" * 200_000
    assert transport.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("size", [64 * 1024 * k + d for k in (1, 2) for d in (-1, 0, 1)])
async def test_unpacking_is_complete_at_the_borders_of_its_steps(size: int) -> None:
    """Output may wait inside zlib when all input is used up."""
    response = reply(200, gzip.compress(b"x" * size), headers={"content-encoding": "gzip"})
    assert b"".join([part async for part in chunks(response, "test", 10**6)]) == b"x" * size


BROKEN_PACKING = {
    "cut": ("gzip", gzip.compress(b'{"job": 1}' * 50)[:-9], IncompleteReplyError),
    "damaged": ("gzip", gzip.compress(b'{"job": 1}')[:-8] + b"\0" * 8, IncompleteReplyError),
    "not gzip at all": ("gzip", b'{"job": 1}', IncompleteReplyError),
    "lie about deflate": ("deflate", gzip.compress(b'{"job": 1}'), IncompleteReplyError),
    "more behind it": ("gzip", gzip.compress(b'{"job": 1}') + b"more", IncompleteReplyError),
    "empty": ("gzip", b"", IncompleteReplyError),
    "brotli": ("br", b"\x0b\x02\x80{}\x03", UnexpectedReplyError),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), UnexpectedReplyError),
    "bomb": ("gzip", gzip.compress(b" " * 50_000_000), ReplyTooLargeError),
}


@pytest.mark.parametrize("case", BROKEN_PACKING)
async def test_a_broken_or_hostile_compression_is_an_error(case: str) -> None:
    """httpx takes a truncated gzip for an empty body."""
    encoding, body, kind = BROKEN_PACKING[case]
    found = await error_of(answering(lambda: reply(200, body, headers={"content-encoding": encoding})))
    assert type(found) is kind
