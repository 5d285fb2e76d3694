"""An artifact in the object store, read in parts, each of them proven to be of the same artifact.

A part belongs to the artifact if store and client agree on its strong entity tag, its place and the length of
the whole. A connection that breaks is continued where it stopped.
"""

import re
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import anyio
import httpx

from sutro_mcp import errors
from sutro_mcp.api.bodies import chunks, content_length
from sutro_mcp.api.http_client import Http
from sutro_mcp.api.retries import retrying
from sutro_mcp.api.status_errors import RouteUnknownError

from .part_file import strong_etag
from .presigned_url import SIZE_CAP, Ask, PresignedUrl, RenewingUrl, check_identity, refusal

_PATIENCE = 60.0
_BYTES_PER_SECOND = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
# A connection that is silent for too long is broken, too. Patience that has run out passes for the same, but
# then nothing is sent any more.
_BROKEN = (errors.IncompleteReplyError, errors.ConnectionFailedError, errors.DeadlineExceededError)


@dataclass
class _Read:
    """Bytes from `start` up to `stop`, of which those before `at` were given out."""

    start: int
    stop: int
    etag: str | None
    """The artifact that bytes read earlier belong to."""
    at: int
    patience: "_Patience"
    broken: errors.SutroError | None = None
    """How the last connection broke: the first failed attempt of the next one."""
    from_zero: bool = False
    """Whether the store has sent all from the start again, which is accepted once."""


class RemoteArtifact:
    """The results of a job in the object store, as long as they stay the same."""

    def __init__(self, http: Http, ask: Ask, presigned: PresignedUrl, size: int, job_id: str) -> None:
        """`ask` gets another URL when `presigned` has expired."""
        self.job_id = job_id
        self.size = size
        self.etag: str | None = None
        """The strong entity tag, known after the first reply; None before, or if the store sends none."""
        self._http = http
        self._patience = min(_PATIENCE, http.results_timeout)
        self._ask = ask
        self._doing = f"read the results of {job_id}"
        self._url = RenewingUrl(http, self._ask_again, presigned, self._doing)

    async def chunks(self, start: int, stop: int, etag: str | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop`, in order, each once, as they come. Close it when done.

        `etag` is what bytes read earlier belong to. At most four calls per client are served at once. One
        that gets less than 64 KiB per second is given up after a minute of that.

        Raises ArtifactChangedError if the store has another artifact now; RangesUnsupportedError, before the
        first byte and never for the whole, where a part cannot be had or not be proven to belong;
        IncompleteReplyError if what broke off cannot be continued.
        """
        if etag and self.etag and etag != self.etag:
            raise self._changed()
        patience = _Patience(self._patience, self._doing)
        read = _Read(start, stop, etag, start, patience)
        async with self._http.blob_slots:
            while read.at < stop:
                try:
                    with patience.spent():
                        body, data = await self._begin(read)
                except errors.RangesUnsupportedError:
                    if read.at == start:
                        raise
                    raise errors.IncompleteReplyError(
                        self._doing, "the connection broke and the store does not continue"
                    ) from None
                async with aclosing(body):
                    while data is not None:
                        if data:
                            yield data
                        try:
                            with patience.spent():
                                data = await anext(body, None)
                        except _BROKEN as error:
                            if (etag or self.etag) is None:
                                raise
                            # To go on is no repeat.
                            self._http.budget.deposit(10)
                            read.broken, data = error, None

    async def _begin(self, read: _Read) -> tuple[AsyncGenerator[bytes], bytes]:
        """A body from `read.at` on, and the first that came of it, which may be nothing new."""

        async def once() -> tuple[AsyncGenerator[bytes], bytes]:
            if read.broken:
                error, read.broken = read.broken, None
                raise error
            body = self._body(read)
            return body, await anext(body)

        return await retrying(once, self._http.budget)

    async def _body(self, read: _Read) -> AsyncGenerator[bytes]:
        """The bytes of one reply that are still to come: all of them, or an error after some."""
        headers: dict[str, str] = {}
        if (read.at, read.stop) != (0, self.size):
            headers["Range"] = f"bytes={read.at}-{read.stop - 1}"
        if known := read.etag or self.etag:
            headers["If-Match"] = known
        response = await self._url.get(headers)
        try:
            position, end = self._accept(response, read)
            async with aclosing(chunks(response, self._doing, SIZE_CAP, secret=True)) as parts:
                async for data in parts:
                    # A store that began from zero sends what was given out before, and what follows `stop`.
                    wanted = data[max(read.at - position, 0) : max(read.stop - position, 0)]
                    position += len(data)
                    read.patience.earn(len(data))
                    if position > end:
                        raise errors.UnexpectedReplyError(
                            self._doing, "the artifact store sent more bytes than were asked for"
                        )
                    read.at += len(wanted)
                    yield wanted
        finally:
            await response.aclose()
        if read.at < read.stop:
            raise errors.IncompleteReplyError(
                self._doing, f"the reply ended {read.stop - read.at:,} bytes early"
            )

    def _accept(self, response: httpx.Response, read: _Read) -> tuple[int, int]:
        """Where the bytes of the reply begin and end; raises unless they are of use."""
        status = response.status_code
        if status in (412, 416):
            raise self._changed()
        known = read.etag or self.etag
        found = strong_etag(response.headers.get("etag"))
        start, stop = read.at, read.stop
        whole = (start, stop) == (0, self.size)
        if status == 200 and not whole:
            if start == read.start or read.from_zero or not found:
                raise errors.RangesUnsupportedError(
                    self._doing, "the artifact store does not give parts of an artifact"
                )
            read.from_zero = whole = True
            start, stop = 0, self.size
        if status != (200 if whole else 206):
            raise refusal(status, self._doing)
        check_identity(response, self._doing)
        if not whole:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            if match is None or found is None:
                raise errors.RangesUnsupportedError(
                    self._doing, "the artifact store does not say what a part belongs to"
                )
            if int(match[3]) != self.size:
                raise self._changed()
            if (int(match[1]), int(match[2])) != (start, stop - 1):
                raise errors.UnexpectedReplyError(
                    self._doing, "the artifact store sent another part than was asked for"
                )
        if known and found != known:
            raise self._changed()
        length = content_length(response, self._doing)
        if whole and length not in (None, self.size):
            raise self._changed()
        if length not in (None, stop - start):
            raise errors.UnexpectedReplyError(
                self._doing, f"the artifact store sent {length:,} bytes instead of {stop - start:,}"
            )
        self.etag = found
        return start, stop

    async def _ask_again(self) -> PresignedUrl:
        """Another URL of the same artifact."""
        try:
            presigned = await self._ask()
        except (errors.JobNotFoundError, RouteUnknownError, errors.RejectedError) as error:
            raise self._changed() from error
        if presigned.size != self.size:
            raise self._changed()
        return presigned

    def _changed(self) -> errors.ArtifactChangedError:
        return errors.ArtifactChangedError(
            self._doing, "they were replaced or removed while they were read", "Call again"
        )


class _Patience:
    """How long a store may keep its reader waiting: so many seconds, of which each byte gives some back.

    What a reader does between two bytes does not count. So a slow line is waited for however much there is
    to fetch, and one that drips is not.
    """

    def __init__(self, seconds: float, doing: str) -> None:
        self._most = self._left = seconds
        self._doing = doing

    @contextmanager
    def spent(self) -> Generator[None]:
        """Bounds the waiting inside, and takes it off."""
        began = anyio.current_time()
        try:
            with anyio.fail_after(self._left):
                yield
        except TimeoutError:
            raise errors.DeadlineExceededError(
                self._doing,
                f"the artifact store sends less than {_BYTES_PER_SECOND // 1024} KiB per second",
                "Wait a moment and call again",
            ) from None
        finally:
            self._left -= anyio.current_time() - began

    def earn(self, count: int) -> None:
        """`count` bytes have come."""
        self._left = min(self._left + count / _BYTES_PER_SECOND, self._most)
