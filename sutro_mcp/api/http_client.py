"""The only place from which requests leave, and the two clients they leave through.

`api` carries the key, put into each request and never into the client. `blob` fetches signed URLs and carries
nothing. Neither follows redirects, reads proxies or certificates from the environment, or keeps a cookie.
"""

import json
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import TypeVar

import anyio
import httpx

from sutro_mcp.errors import UnexpectedReplyError

from .bodies import parse_object, read_start, read_whole
from .credentials import ApiKey, Connection
from .job_ids import CANCEL_WORD, job_segment
from .network_errors import deadline, mapped
from .public_transport import PublicTransport, Transport
from .retries import CircuitBreaker, RetryBudget, retrying
from .routes import MAY_CANCEL, TABLE, Route
from .status_errors import error_for, is_markup, markup_error

T = TypeVar("T")
Observer = Callable[[str, int | None, float, ApiKey], None]

observers: list[Observer] = []
"""Each is told of every request to a deployment: the name of its route, the status of the reply (None: none
came), the seconds until it began, and the key that was sent."""

# A pool of httpx slows down with its size: beyond eight, more requests at once mean fewer per second.
_IN_FLIGHT = 8
# Enough to fill a line although a store throttles each connection.
_BLOBS_IN_FLIGHT = 4
_DOCUMENT_BYTES = 256 * 1024
_DOCUMENT_SECONDS = 5.0
# A body above this is parsed in a thread, so that other calls go on.
_PARSE_IN_THREAD = 1024 * 1024


@dataclass(frozen=True)
class ApiRequest:
    """A request of the table, `doing` in the words of an error, with what fills it in."""

    route: Route
    doing: str
    job_id: str | None = None
    params: Mapping[str, str] | None = None
    body: Mapping[str, object] | None = None


class Http:
    """Sends the requests of the table, each under its deadline and with its retries."""

    def __init__(
        self,
        connection: Connection,
        transport: httpx.AsyncBaseTransport | None,
        blob_transport: httpx.AsyncBaseTransport | None,
        timeout: float,
        results_timeout: float,
    ) -> None:
        self.connection = connection
        self.results_timeout = results_timeout
        self._timeout = timeout
        self._transport = transport
        self._blob_transport = blob_transport or transport
        self.budget = RetryBudget()
        self._breaker = CircuitBreaker()
        self.blob_slots = anyio.Semaphore(_BLOBS_IN_FLIGHT)
        # Results may take minutes to begin; a status must not wait for them.
        self._slots = {slow: anyio.Semaphore(_IN_FLIGHT) for slow in (False, True)}

    async def aclose(self) -> None:
        """Closes the clients that were used."""
        for name in ("_api", "_blob"):
            if name in self.__dict__:
                await self.__dict__.pop(name).aclose()

    async def json(self, request: ApiRequest, read: Callable[[dict[str, object]], T]) -> T:
        """The result of `read` for the JSON object in the reply."""

        def parse(body: bytes) -> T:
            return read(parse_object(body, request.doing))

        async def consume(response: httpx.Response) -> T:
            body = await read_whole(response, request.doing, request.route.cap)
            if is_markup(response, body):
                raise markup_error(request.doing)
            if len(body) > _PARSE_IN_THREAD:
                return await anyio.to_thread.run_sync(parse, body)
            return parse(body)

        return await self.exchange(request, consume)

    async def exchange(self, request: ApiRequest, consume: Callable[[httpx.Response], Awaitable[T]]) -> T:
        """The result of `consume` for a successful reply; it is called anew for each attempt."""

        async def once() -> T:
            async with self._slots[request.route.slow]:
                with self._breaker.watch(request.doing):
                    response = await self._send(request)
                    try:
                        return await consume(response)
                    finally:
                        await response.aclose()

        with deadline(self.results_timeout if request.route.slow else self._timeout, request.doing):
            return await (retrying(once, self.budget, self._breaker) if request.route.retried else once())

    async def open(self, request: ApiRequest) -> httpx.Response:
        """A successful reply whose body is still to come, for as long as the caller likes to listen.

        It does not count among the requests in flight: a job may be followed for hours. The caller closes it.
        """

        async def once() -> httpx.Response:
            async with self._slots[request.route.slow]:
                with self._breaker.watch(request.doing):
                    return await self._send(request)

        with deadline(self._timeout, request.doing):
            return await retrying(once, self.budget, self._breaker)

    async def open_blob(self, url: httpx.URL, headers: Mapping[str, str], doing: str) -> httpx.Response:
        """Any reply of the artifact store to a GET of a signed URL. The caller closes it.

        Raises PrivateAddressError if the host of the URL has an address that is not public.
        """
        request = httpx.Request("GET", url, headers={"Accept-Encoding": "identity", **headers})
        with mapped(doing, secret=True):
            return await self._blob.send(request, stream=True)

    async def _send(self, request: ApiRequest) -> httpx.Response:
        built = build_request(self.connection, request)
        built.extensions["timeout"] = _timeouts(60 if request.route.slow else 30)
        began, status = time.perf_counter(), None
        try:
            with mapped(request.doing, built.url):
                response = await self._api.send(built, stream=True)
            status = response.status_code
        finally:
            for observe in observers:
                observe(request.route.name, status, time.perf_counter() - began, self.connection.key)
        if response.status_code == 200:
            return response
        try:
            start = await read_start(response)
        finally:
            await response.aclose()
        raise error_for(
            response, start, request.doing, self.connection.key, about_job=request.route.about_job
        )

    @cached_property
    def _api(self) -> httpx.AsyncClient:
        return _client(self._transport or Transport(self._tls))

    @cached_property
    def _blob(self) -> httpx.AsyncClient:
        return _client(
            self._blob_transport or PublicTransport(self._tls, loopback=self.connection.on_loopback)
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context(trust_env=False)


async def fetch_document(url: str, doing: str) -> dict[str, object]:
    """A JSON object that somebody publishes at a fixed address: no key is sent. Raises SutroError."""
    request = httpx.Request("GET", url, headers={"Accept": "application/json", "Accept-Encoding": "identity"})
    request.extensions["timeout"] = _timeouts(_DOCUMENT_SECONDS)
    with deadline(_DOCUMENT_SECONDS, doing):
        async with _client(Transport(httpx.create_ssl_context(trust_env=False))) as client:
            with mapped(doing, request.url):
                response = await client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    raise UnexpectedReplyError(doing, f"the reply has the status {response.status_code}")
                return parse_object(await read_whole(response, doing, _DOCUMENT_BYTES), doing)
            finally:
                await response.aclose()


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    # At INFO httpx logs every URL, signatures included, and the MCP SDK sets the root logger to INFO.
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(**_timeouts(30)),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def build_request(connection: Connection, request: ApiRequest) -> httpx.Request:
    """The request as httpx sends it, of the table and no other: checked on the bytes that will leave."""
    route, body = request.route, request.body
    path = route.path
    if request.job_id is not None:
        path = path.format(job_id=job_segment(request.job_id))
    headers = {
        "Authorization": f"Key {connection.key.reveal()}",
        "Accept": "application/json, */*",
        "Accept-Encoding": "identity",
        "User-Agent": _user_agent(),
    }
    if body is not None:
        headers["Content-Type"] = "application/json"
    built = httpx.Request(
        route.method,
        connection.base_url + path,
        params=request.params,
        headers=headers,
        content=json.dumps(body).encode() if body is not None else None,
    )
    sent = built.url.raw_path.decode("ascii").partition("?")[0]
    if route not in TABLE or not sent.endswith(path):
        raise AssertionError("not a request of the table")
    if CANCEL_WORD in sent.lower() and route not in MAY_CANCEL:
        raise AssertionError("only cancel_job may send a request that cancels")
    return built


def _timeouts(read: float) -> dict[str, float]:
    return {"connect": 10, "read": read, "write": 30, "pool": 30}


@cache
def _user_agent() -> str:
    return f"sutro-mcp/{version('sutro-mcp')}"
