"""Fetching an artifact from its signed URL: no credentials, resumed where the store can prove it is the same.

A signed URL is itself a credential. It is held in `SignedUrl`, which does not show it; no error, log line or
file repeats it.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from sutro_mcp.errors import (
    AccessDeniedError,
    IncompleteReplyError,
    ReplyTooLargeError,
    ServiceUnavailableError,
    SutroError,
    UnexpectedReplyError,
)

from ._bodies import chunks, content_length
from ._files import PartFile
from ._http import Http
from ._retry import retrying

SIZE_CAP = 8 * 1024**3

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_AGAIN = "Call again; if it stays, report it"

Progress = Callable[[int, int | None], None]


class SignedUrl:
    """A URL whose query is a credential."""

    __slots__ = ("_url",)

    def __init__(self, url: httpx.URL) -> None:
        self._url = url

    def reveal(self) -> httpx.URL:
        """The URL itself, for the request only."""
        return self._url

    def __repr__(self) -> str:
        return "SignedUrl(…)"


@dataclass(frozen=True)
class Offer:
    """Where an artifact can be fetched for some minutes, and its size if the deployment says it."""

    url: SignedUrl
    size: int | None


class Download:
    """One artifact on its way into a file."""

    def __init__(
        self,
        http: Http,
        ask: Callable[[], Awaitable[Offer]],
        part: PartFile,
        doing: str,
        on_progress: Progress | None,
    ) -> None:
        """`ask` gets a signed URL; it is called again once if the store refuses the first."""
        self._http = http
        self._ask = ask
        self._part = part
        self._doing = doing
        self._on_progress = on_progress
        self._renewed = False
        self._total: int | None = None

    async def run(self) -> None:
        """Fills the file. A connection that breaks is resumed up to three times."""
        self._offer = await self._ask()
        self._total = self._offer.size
        if self._total is not None and self._total > SIZE_CAP:
            raise ReplyTooLargeError(
                self._doing,
                f"the results are {self._total:,} bytes, more than the {SIZE_CAP:,} that are fetched",
                "Fetch them with the official SDK instead",
            )
        await retrying(self._pour)

    async def _pour(self) -> None:
        start = self._start()
        response = await self._get(start)
        if response.status_code == 403 and not self._renewed:
            # Expired, most likely: links live for minutes and the first try may have taken that long.
            await response.aclose()
            self._renewed = True
            self._offer = await self._ask()
            response = await self._get(start)
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

    async def _get(self, start: int) -> httpx.Response:
        headers = {"Range": f"bytes={start}-", "If-Range": self._part.etag or ""} if start else {}
        return await self._http.open_blob(self._offer.url.reveal(), headers, self._doing)

    def _accept(self, response: httpx.Response, start: int) -> None:
        """Checks that the reply is what was asked for, and prepares the file for it."""
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise self._unexpected("the artifact store sent the artifact compressed, which was not asked for")
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
        else:
            if response.status_code == 416:
                self._forget()
                raise self._incomplete("the artifact changed while it was fetched")
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
        return IncompleteReplyError(self._doing, happened, _AGAIN)

    def _unexpected(self, happened: str) -> UnexpectedReplyError:
        return UnexpectedReplyError(self._doing, happened, _AGAIN)


def refusal(status: int, doing: str) -> SutroError:
    """What a status of the artifact store means that is no success."""
    if status == 403:
        return AccessDeniedError(
            doing,
            "the artifact store refused two download links in a row (403)",
            "Check that this machine's clock is right and call again; if it stays, report it",
        )
    if status in (408, 429) or status >= 500:
        return ServiceUnavailableError(
            doing, f"the artifact store failed ({status})", "Wait a moment and call again"
        )
    return UnexpectedReplyError(doing, f"the artifact store answered {status} to a download", _AGAIN)
