"""Signed links to an artifact: kept secret, renewed in time, and the only thing a store is asked with.

A signed URL is itself a credential. It is held in `SignedUrl`, which does not show it; no error, log line or
file repeats it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import anyio
import httpx

from sutro_mcp.api.http import Http
from sutro_mcp.errors import AccessDeniedError, ServiceUnavailableError, SutroError, UnexpectedReplyError

SIZE_CAP = 8 * 1024**3
AGAIN = "Call again; if it stays, report it"

# A link is used for this share of its life, so that none expires on its way to the store.
_USED = 0.9


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
    """Where an artifact can be fetched for so many seconds, and its size if the deployment says it."""

    url: SignedUrl
    size: int | None
    seconds: float


class Link:
    """The way to one artifact, shared by all who read it."""

    def __init__(self, http: Http, ask: Callable[[], Awaitable[Offer]], offer: Offer, doing: str) -> None:
        """`ask` gets another offer when this one has expired."""
        self._http = http
        self._ask = ask
        self._doing = doing
        self._renewing = anyio.Lock()
        self._keep(offer)

    async def get(self, headers: Mapping[str, str]) -> httpx.Response:
        """Any reply of the store; a link that it refuses is renewed once. The caller closes the reply."""
        offer = self._offer
        if anyio.current_time() >= self._expires:
            offer = await self._renewed(offer)
        response = await self._http.open_blob(offer.url.reveal(), headers, self._doing)
        if response.status_code != 403:
            return response
        # Expired, most likely: its life may be shorter than was said, or this machine may have slept.
        await response.aclose()
        offer = await self._renewed(offer)
        return await self._http.open_blob(offer.url.reveal(), headers, self._doing)

    async def _renewed(self, stale: Offer) -> Offer:
        """An offer other than `stale`; one is asked for, however many need it."""
        async with self._renewing:
            if self._offer is stale:
                self._keep(await self._ask())
            return self._offer

    def _keep(self, offer: Offer) -> None:
        self._offer = offer
        self._expires = anyio.current_time() + offer.seconds * _USED


def check_identity(response: httpx.Response, doing: str) -> None:
    """Raises if the bytes are not those of the artifact itself: positions in them would mean nothing."""
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise UnexpectedReplyError(
            doing, "the artifact store sent the artifact compressed, which was not asked for", AGAIN
        )


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
    return UnexpectedReplyError(doing, f"the artifact store answered {status} to a download", AGAIN)
