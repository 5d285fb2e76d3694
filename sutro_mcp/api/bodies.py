"""Reading bodies without trusting them: bounded in bytes, checked to be whole, strict about JSON.

httpx neither bounds a body nor notices a compressed one that ends early, so bodies are read raw. We ask for
no compression; what comes compressed all the same is unpacked here in small steps.
"""

import json
import math
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import NoReturn, cast

import httpx

from sutro_mcp.errors import IncompleteReplyError, ReplyTooLargeError, SutroError, UnexpectedReplyError

from .network_errors import mapped

_STEP = 64 * 1024
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


async def chunks(
    response: httpx.Response, doing: str, cap: int, *, secret: bool = False
) -> AsyncGenerator[bytes]:
    """The body, unpacked. Raises before the end if it passes `cap`, at the end if it is not whole."""
    expected = content_length(response, doing)
    if expected is not None and expected > cap:
        raise _too_large(doing, cap)
    unpack = _unpacker(response, doing)
    received = given = 0
    async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as raw:
        while True:
            with mapped(doing, reading=True, secret=secret):
                data = await anext(raw, None)
            if data is None:
                break
            received += len(data)
            if expected is not None and received > expected:
                raise IncompleteReplyError(doing, "the reply is longer than announced")
            for part in unpack.feed(data) if unpack else (data,):
                given += len(part)
                if given > cap:
                    raise _too_large(doing, cap)
                yield part
    if expected is not None and received < expected:
        raise IncompleteReplyError(doing, f"the reply ended after {received:,} of {expected:,} bytes")
    if unpack and not unpack.whole:
        raise IncompleteReplyError(doing, "the compressed reply ended early")


async def read_whole(response: httpx.Response, doing: str, cap: int) -> bytes:
    """The whole body."""
    return b"".join([part async for part in chunks(response, doing, cap)])


async def read_start(response: httpx.Response) -> bytes:
    """As much of an error's body as can be had: the status matters more than why its text is cut."""
    start = bytearray()
    try:
        async with aclosing(chunks(response, "read an error reply", _STEP)) as parts:
            async for part in parts:
                start += part
    except SutroError:
        pass
    return bytes(start)


def content_length(response: httpx.Response, doing: str) -> int | None:
    """The announced length of the body on the wire, if it is announced."""
    value = response.headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise UnexpectedReplyError(doing, "the reply announces a length that is not a number")
    return int(value)


def parse_object(body: bytes, doing: str) -> dict[str, object]:
    """A JSON object: strict UTF-8 (a BOM is allowed), finite numbers, no key twice."""
    try:
        value: object = json.loads(
            body.decode("utf-8-sig"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError):
        # `from None`: the text of these errors repeats the body.
        raise UnexpectedReplyError(doing, "the reply is not valid JSON") from None
    if not isinstance(value, dict):
        raise UnexpectedReplyError(doing, "the reply is JSON but not an object")
    return cast("dict[str, object]", value)


class _Unpacker:
    """One gzip or zlib stream, unpacked at most `_STEP` bytes at a time."""

    def __init__(self, window_bits: int, doing: str) -> None:
        self._stream = zlib.decompressobj(window_bits)
        self._doing = doing

    @property
    def whole(self) -> bool:
        return self._stream.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        more = True
        while more:
            try:
                part = self._stream.decompress(data, _STEP)
            except zlib.error:
                raise IncompleteReplyError(self._doing, "the reply is compressed in a broken way") from None
            if self._stream.unused_data:
                raise IncompleteReplyError(self._doing, "something follows the compressed reply")
            data = self._stream.unconsumed_tail
            # A full step may leave output inside zlib although all input is used up.
            more = bool(data) or len(part) == _STEP
            yield part


def _unpacker(response: httpx.Response, doing: str) -> _Unpacker | None:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in _WINDOW_BITS:
        raise UnexpectedReplyError(
            doing, "the reply is compressed in a way that was not asked for and is not supported"
        )
    return _Unpacker(_WINDOW_BITS[encoding], doing)


def _too_large(doing: str, cap: int) -> ReplyTooLargeError:
    return ReplyTooLargeError(
        doing, f"the reply is larger than {cap:,} bytes", "Ask for less, or report it if that is not possible"
    )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError
