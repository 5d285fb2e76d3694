"""An artifact in the object store, read in parts, each of them proven to be of the same artifact.

A part belongs to the artifact if store and client agree on its strong entity tag, its place and the length of
the whole. A connection that breaks is continued where it stopped.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from functools import partial
from typing import cast

import anyio
import httpx

from sutro_mcp.errors import (
    ArtifactChangedError,
    ConnectionFailedError,
    IncompleteReplyError,
    RangesUnsupportedError,
    UnexpectedReplyError,
)

from ._bodies import chunks, content_length
from ._download import SIZE_CAP, Offer, refusal
from ._failures import deadline
from ._files import STRONG_ETAG
from ._http import Http
from ._retry import retrying

# Links are asked for 600 seconds.
_LINK_SECONDS = 540
_IN_FLIGHT = 4
_BREAKS = 3
# The slowest line that is waited for: below it, a store that drips.
_GRACE, _BYTES_PER_SECOND = 60.0, 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_AGAIN = "Call again; if it stays, report it"
_BROKEN = (IncompleteReplyError, ConnectionFailedError)


class RemoteArtifact:
    """The results of a job where they lie. `etag` is their strong entity tag, known after the first reply."""

    def __init__(
        self, http: Http, ask: Callable[[], Awaitable[Offer]], offer: Offer, size: int, job_id: str
    ) -> None:
        """`ask` gets another link when `offer` has expired."""
        self.job_id = job_id
        self.size = size
        self.etag: str | None = None
        self._http = http
        self._ask = ask
        self._offer = offer
        self._doing = f"read the results of {job_id}"
        self._expires = anyio.current_time() + _LINK_SECONDS
        self._renewing = anyio.Lock()
        self._slots = anyio.Semaphore(_IN_FLIGHT)

    async def chunks(self, start: int, stop: int, etag: str | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` to `stop`, in order, as they come.

        `etag` is that of bytes read before. Raises ArtifactChangedError if the store has another artifact
        now, and RangesUnsupportedError where parts cannot be had, or not be proven to be of one artifact.
        """
        self._agree(etag)
        until = anyio.current_time() + _GRACE + (stop - start) / _BYTES_PER_SECOND
        at, breaks = start, 0
        async with self._slots:
            while at < stop:
                try:
                    with self._in_time(until):
                        response = await retrying(partial(self._open, at, stop))
                    try:
                        parts = chunks(response, self._doing, min(stop - at, SIZE_CAP), secret=True)
                        async with aclosing(parts):
                            while True:
                                with self._in_time(until):
                                    data = await anext(parts, None)
                                if data is None:
                                    break
                                at, breaks = at + len(data), 0
                                yield data
                    finally:
                        await response.aclose()
                    if at < stop:
                        raise self._incomplete(f"{stop - at:,} bytes are missing")
                except RangesUnsupportedError:
                    if at > start:
                        raise self._incomplete("it broke off and cannot be continued") from None
                    raise
                except _BROKEN:
                    breaks += 1
                    if self.etag is None or breaks > _BREAKS:
                        raise

    async def _open(self, at: int, stop: int) -> httpx.Response:
        """The reply that holds the bytes from `at` to `stop`."""
        offer = await self._current(self._offer if anyio.current_time() > self._expires else None)
        response = await self._get(offer, at, stop)
        if response.status_code == 403:
            # Expired, most likely, or its clock is not ours.
            await response.aclose()
            response = await self._get(await self._current(offer), at, stop)
        try:
            self._accept(response, at, stop)
        except BaseException:
            await response.aclose()
            raise
        return response

    async def _get(self, offer: Offer, at: int, stop: int) -> httpx.Response:
        headers: dict[str, str] = {}
        if (at, stop) != (0, self.size):
            headers["Range"] = f"bytes={at}-{stop - 1}"
        if self.etag:
            headers["If-Match"] = self.etag
        return await self._http.open_blob(offer.url.reveal(), headers, self._doing)

    async def _current(self, stale: Offer | None) -> Offer:
        """A link that is not `stale`; one is asked for once, however many need it."""
        async with self._renewing:
            if stale is self._offer:
                self._offer = await self._ask()
                self._expires = anyio.current_time() + _LINK_SECONDS
                if self._offer.size != self.size:
                    raise self._changed()
            return self._offer

    def _accept(self, response: httpx.Response, at: int, stop: int) -> None:
        """Raises unless the reply is what was asked for."""
        status = response.status_code
        if status in (412, 416):
            raise self._changed()
        if status not in (200, 206):
            raise refusal(status, self._doing)
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise self._unexpected("the artifact store sent the artifact compressed, which was not asked for")
        found = cast("str", response.headers.get("etag", ""))
        found = found if STRONG_ETAG.fullmatch(found) else ""
        length = content_length(response, self._doing)
        if status == 200:
            if (at, stop) != (0, self.size):
                raise RangesUnsupportedError(
                    self._doing, "the artifact store does not give parts of an artifact", _AGAIN
                )
        else:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            if match is None or not found:
                raise RangesUnsupportedError(
                    self._doing, "the artifact store does not say what a part belongs to", _AGAIN
                )
            if int(match[3]) != self.size:
                raise self._changed()
            if (int(match[1]), int(match[2])) != (at, stop - 1):
                raise self._unexpected("the artifact store sent another part than was asked for")
        if length is not None and length != stop - at:
            raise self._unexpected(f"the artifact store sent {length:,} bytes instead of {stop - at:,}")
        self._agree(found or None)

    def _agree(self, etag: str | None) -> None:
        """All bytes belong to one entity tag, whoever read them."""
        if self.etag is None:
            self.etag = etag
        elif etag is not None and etag != self.etag:
            raise self._changed()

    def _in_time(self, until: float) -> AbstractContextManager[None]:
        return deadline(max(until - anyio.current_time(), 0), self._doing)

    def _incomplete(self, happened: str) -> IncompleteReplyError:
        return IncompleteReplyError(self._doing, happened, _AGAIN)

    def _unexpected(self, happened: str) -> UnexpectedReplyError:
        return UnexpectedReplyError(self._doing, happened, _AGAIN)

    def _changed(self) -> ArtifactChangedError:
        return ArtifactChangedError(
            self._doing, "they were replaced while they were read", "Call again to read the new ones"
        )
