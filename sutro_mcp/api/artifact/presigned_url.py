"""Presigned URLs of an artifact: kept secret, judged, renewed in time, and all that a store is asked with.

A presigned URL is itself a credential. No error, log line or file repeats it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import anyio
import httpx

from sutro_mcp.api.addresses import is_loopback, may_be_public
from sutro_mcp.api.http_client import Http
from sutro_mcp.api.job_ids import CANCEL_WORD
from sutro_mcp.api.public_transport import PrivateAddressError
from sutro_mcp.errors import AccessDeniedError, ServiceUnavailableError, SutroError, UnexpectedReplyError

SIZE_CAP = 8 * 1024**3

_PRIVATE = "leads to a private address"
# A URL is used for this share of its life, so that none expires on its way to the store.
_USED = 0.9


@dataclass(frozen=True)
class PresignedUrl:
    """Where an artifact can be fetched for so many seconds, and its size if the deployment says it."""

    url: httpx.URL = field(repr=False)
    size: int | None
    seconds: float


Ask = Callable[[], Awaitable[PresignedUrl]]


class RenewingUrl:
    """The way to one artifact, shared by all its readers."""

    def __init__(self, http: Http, ask: Ask, presigned: PresignedUrl, doing: str) -> None:
        """`ask` gets another URL when this one has expired."""
        self._http = http
        self._ask = ask
        self._doing = doing
        self._renewing = anyio.Lock()
        self._keep(presigned)

    async def get(self, headers: Mapping[str, str]) -> httpx.Response:
        """Any reply of the store; a URL that it refuses is renewed once. The caller closes the reply."""
        presigned = self._presigned
        if anyio.current_time() >= self._expires:
            presigned = await self._renewed(presigned)
        response = await self._open(presigned, headers)
        if response.status_code != 403:
            return response
        # Expired, most likely: its life may be shorter than was said, or this machine may have slept.
        await response.aclose()
        return await self._open(await self._renewed(presigned), headers)

    async def _open(self, presigned: PresignedUrl, headers: Mapping[str, str]) -> httpx.Response:
        try:
            return await self._http.open_blob(presigned.url, headers, self._doing)
        except PrivateAddressError:
            raise _bad_link(self._doing, _PRIVATE) from None

    async def _renewed(self, stale: PresignedUrl) -> PresignedUrl:
        """A URL other than `stale`; one is asked for, however many need it."""
        async with self._renewing:
            if self._presigned is stale:
                self._keep(await self._ask())
            return self._presigned

    def _keep(self, presigned: PresignedUrl) -> None:
        self._presigned = presigned
        self._expires = anyio.current_time() + presigned.seconds * _USED


def check_artifact_url(value: str, doing: str, *, api_on_loopback: bool) -> httpx.URL:
    """The URL, if a download may go there: https on the default port to a public host.

    When the API itself is on loopback (the emulator), http and other ports on loopback are allowed too. What
    a name stands for is checked when it is connected to. Errors never show the URL.
    """
    try:
        url = httpx.URL(value)
    except (httpx.InvalidURL, ValueError):
        raise _bad_link(doing, "is not a URL") from None
    if CANCEL_WORD in url.path.lower():
        raise _bad_link(doing, "would cancel a job")
    if url.userinfo:
        raise _bad_link(doing, "contains a user name or password")
    host = url.raw_host.decode("ascii")
    if is_loopback(host) and api_on_loopback and url.scheme in ("http", "https"):
        return url
    if url.scheme != "https" or url.port is not None:
        raise _bad_link(doing, "is not https on the default port")
    if not may_be_public(host):
        raise _bad_link(doing, _PRIVATE)
    return url


def check_identity(response: httpx.Response, doing: str) -> None:
    """Raises if the bytes are not those of the artifact itself: positions in them would mean nothing."""
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise UnexpectedReplyError(
            doing, "the artifact store sent the artifact compressed, which was not asked for"
        )


def refusal(status: int, doing: str) -> SutroError:
    """The error for a status of the artifact store that is no success."""
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
    return UnexpectedReplyError(doing, f"the artifact store answered {status} to a download")


def _bad_link(doing: str, happened: str) -> UnexpectedReplyError:
    return UnexpectedReplyError(
        doing,
        f"the download link from the deployment {happened}",
        "Report this to whoever runs the deployment",
    )
