"""The only place from which requests leave, and the two clients they leave through.

`api` carries the key, put into each request and never into the client. `blob` fetches signed URLs and carries
nothing. Neither follows redirects, reads proxies or certificates from the environment, or keeps a cookie.
"""

import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import TypeVar

import anyio
import httpx

from .bodies import parse_object, read_start, read_whole
from .credentials import Connection
from .job_ids import CANCEL_WORD, job_segment
from .network_errors import deadline, mapped
from .retries import CircuitBreaker, RetryBudget, retrying
from .routes import MAY_CANCEL, TABLE, Route
from .status_errors import error_for, is_markup, markup_error
from .transport import PublicTransport, Transport

T = TypeVar("T")
Params = Mapping[str, str]

# A pool of httpx slows down with its size: beyond eight, more requests at once mean fewer per second.
_IN_FLIGHT = 8
# Enough to fill a line although a store throttles each connection.
_BLOBS_IN_FLIGHT = 4
# A body above this is parsed in a thread, so that other calls go on.
_PARSE_IN_THREAD = 1024 * 1024


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

    async def json(
        self,
        route: Route,
        doing: str,
        read: Callable[[dict[str, object]], T],
        *,
        job_id: str | None = None,
        params: Params | None = None,
    ) -> T:
        """The result of `read` for the JSON object that the route answers with."""

        def parse(body: bytes) -> T:
            return read(parse_object(body, doing))

        async def consume(response: httpx.Response) -> T:
            body = await read_whole(response, doing, route.cap)
            if is_markup(response, body):
                raise markup_error(doing)
            if len(body) > _PARSE_IN_THREAD:
                return await anyio.to_thread.run_sync(parse, body)
            return parse(body)

        return await self.exchange(route, doing, consume, job_id=job_id, params=params)

    async def exchange(
        self,
        route: Route,
        doing: str,
        consume: Callable[[httpx.Response], Awaitable[T]],
        *,
        job_id: str | None = None,
        params: Params | None = None,
        body: Mapping[str, object] | None = None,
    ) -> T:
        """The result of `consume` for a successful reply; it is called anew for each attempt."""

        async def once() -> T:
            async with self._slots[route.slow]:
                with self._breaker.watch(doing):
                    response = await self._send(route, doing, job_id, params, body)
                    try:
                        return await consume(response)
                    finally:
                        await response.aclose()

        with deadline(self.results_timeout if route.slow else self._timeout, doing):
            return await (retrying(once, self.budget, self._breaker) if route.retried else once())

    async def open(self, route: Route, doing: str, job_id: str) -> httpx.Response:
        """A successful reply whose body is still to come, for as long as the caller likes to listen.

        It does not count among the requests in flight: a job may be followed for hours. The caller closes it.
        """

        async def once() -> httpx.Response:
            async with self._slots[route.slow]:
                with self._breaker.watch(doing):
                    return await self._send(route, doing, job_id, None, None)

        with deadline(self._timeout, doing):
            return await retrying(once, self.budget, self._breaker)

    async def open_blob(self, url: httpx.URL, headers: Mapping[str, str], doing: str) -> httpx.Response:
        """Any reply of the artifact store to a GET of a signed URL. The caller closes it.

        Raises PrivateAddressError if the host of the URL has an address that is not public.
        """
        request = httpx.Request("GET", url, headers={"Accept-Encoding": "identity", **headers})
        with mapped(doing, secret=True):
            return await self._blob.send(request, stream=True)

    async def _send(
        self,
        route: Route,
        doing: str,
        job_id: str | None,
        params: Params | None,
        body: Mapping[str, object] | None,
    ) -> httpx.Response:
        request = build_request(self.connection, route, job_id, params, body)
        request.extensions["timeout"] = _timeouts(60 if route.slow else 30)
        with mapped(doing, request.url):
            response = await self._api.send(request, stream=True)
        if response.status_code == 200:
            return response
        try:
            start = await read_start(response)
        finally:
            await response.aclose()
        raise error_for(response, start, doing, self.connection.key, about_job=route.about_job)

    @cached_property
    def _api(self) -> httpx.AsyncClient:
        return self._client(self._transport or Transport(self._tls))

    @cached_property
    def _blob(self) -> httpx.AsyncClient:
        return self._client(
            self._blob_transport or PublicTransport(self._tls, loopback=self.connection.on_loopback)
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context(trust_env=False)

    def _client(self, transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
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


def build_request(
    connection: Connection,
    route: Route,
    job_id: str | None = None,
    params: Params | None = None,
    body: Mapping[str, object] | None = None,
) -> httpx.Request:
    """The request for a route of the table, and nothing else: checked on the bytes that will leave."""
    path = route.path.format(job_id=job_segment(job_id)) if job_id is not None else route.path
    headers = {
        "Authorization": f"Key {connection.key.reveal()}",
        "Accept": "application/json, */*",
        "Accept-Encoding": "identity",
        "User-Agent": _user_agent(),
    }
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = httpx.Request(
        route.method,
        connection.base_url + path,
        params=params,
        headers=headers,
        content=json.dumps(body).encode() if body is not None else None,
    )
    sent = request.url.raw_path.decode("ascii").partition("?")[0]
    if route not in TABLE or not sent.endswith(path):
        raise AssertionError("not a request of the table")
    if CANCEL_WORD in sent.lower() and route not in MAY_CANCEL:
        raise AssertionError("only cancel_job may send a request that cancels")
    return request


def _timeouts(read: float) -> dict[str, float]:
    return {"connect": 10, "read": read, "write": 30, "pool": 30}


@cache
def _user_agent() -> str:
    return f"sutro-mcp/{version('sutro-mcp')}"
