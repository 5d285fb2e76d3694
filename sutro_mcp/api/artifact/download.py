"""Fetching a whole artifact into a file, resumed where the store can prove that it is the same."""

import re
from collections.abc import Awaitable, Callable

import httpx

from sutro_mcp.api.bodies import chunks, content_length
from sutro_mcp.api.http import Http
from sutro_mcp.api.retries import retrying
from sutro_mcp.errors import IncompleteReplyError, ReplyTooLargeError, UnexpectedReplyError

from .part_file import PartFile
from .presigned_url import AGAIN, SIZE_CAP, Link, Offer, check_identity, refusal

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)

OnBytes = Callable[[int, int | None], None]


class Download:
    """One artifact on its way into a file."""

    def __init__(
        self,
        http: Http,
        ask: Callable[[], Awaitable[Offer]],
        part: PartFile,
        doing: str,
        on_bytes: OnBytes | None,
    ) -> None:
        """`ask` gets a signed URL, and another one if the store refuses the first."""
        self._http = http
        self._ask = ask
        self._part = part
        self._doing = doing
        self._on_progress = on_bytes
        self._total: int | None = None

    async def run(self) -> None:
        """Fills the file. A connection that breaks is resumed up to three times."""
        offer = await self._ask()
        self._link = Link(self._http, self._ask, offer, self._doing)
        self._total = offer.size
        if self._total is not None and self._total > SIZE_CAP:
            raise ReplyTooLargeError(
                self._doing,
                f"the results are {self._total:,} bytes, more than the {SIZE_CAP:,} that are fetched",
                "Fetch them with the official SDK instead",
            )
        await retrying(self._pour)

    async def _pour(self) -> None:
        start = self._start()
        response = await self._link.get(
            {"Range": f"bytes={start}-", "If-Range": self._part.etag or ""} if start else {}
        )
        try:
            self._accept(response, start)
            async for data in chunks(response, self._doing, SIZE_CAP, secret=True):
                self._part.write(data)
                if self._total is not None and self._part.size > self._total:
                    raise self._incomplete("more bytes came than the artifact has")
                if self._on_progress:
                    self._on_progress(self._part.size, self._total)
        finally:
            await response.aclose()
        if self._total is not None and self._part.size < self._total:
            raise self._incomplete(f"{self._part.size:,} of {self._total:,} bytes came")

    def _start(self) -> int:
        """How many bytes need not be fetched again."""
        part = self._part
        if part.etag is None or (self._total is not None and part.size > self._total):
            part.restart()
        elif part.size == self._total:
            # Complete already: one byte is fetched again, to learn whether it is still the same artifact.
            part.cut(part.size - 1)
        return part.size

    def _accept(self, response: httpx.Response, start: int) -> None:
        """Checks that the reply is what was asked for, and prepares the file for it."""
        check_identity(response, self._doing)
        if response.status_code == 206 and start:
            self._accept_rest(response, start)
        elif response.status_code == 200:
            if start and response.headers.get("etag") != self._part.etag:
                self._forget()
            length = content_length(response, self._doing)
            if length is not None and self._total is not None and length != self._total:
                raise self._unexpected(
                    f"the artifact has {length:,} bytes although {self._total:,} were announced"
                )
            self._total = self._total if length is None else length
            self._part.restart(response.headers.get("etag"))
        elif response.status_code == 416:
            self._forget()
            raise self._incomplete("the artifact changed while it was fetched")
        else:
            raise refusal(response.status_code, self._doing)

    def _accept_rest(self, response: httpx.Response, start: int) -> None:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        same = response.headers.get("etag", self._part.etag) == self._part.etag
        if match is None or not same or match[3] not in ("*", str(self._total or match[3])):
            self._forget()
            raise self._incomplete("the artifact changed while it was fetched")
        if int(match[1]) != start:
            raise self._unexpected("the artifact store sent another part than was asked for")
        self._total = self._total if match[3] == "*" else int(match[3])

    def _forget(self) -> None:
        """The artifact was replaced: neither its bytes nor the size that was announced are worth anything."""
        self._part.restart()
        self._total = None

    def _incomplete(self, happened: str) -> IncompleteReplyError:
        return IncompleteReplyError(self._doing, happened, AGAIN)

    def _unexpected(self, happened: str) -> UnexpectedReplyError:
        return UnexpectedReplyError(self._doing, happened, AGAIN)
