"""Foreign failures, mapped once: what httpx raises becomes an error of ours with a sentence of ours.

Text of an httpx error is never used: it holds URLs, signed ones among them, and sometimes header values.
"""

import socket
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import cast

import anyio
import httpx

from sutro_mcp import errors

# What a socket raises when httpx does not translate it; an in-process app that hangs up raises it too.
_SOCKET = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError, *_SOCKET)
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_AGAIN = "Wait a moment and call again; `sutro-mcp check` tests the connection"
_SETTINGS = "Check SUTRO_API_URL; `sutro-mcp check` tests it"


@contextmanager
def mapped(
    doing: str, url: httpx.URL | None = None, *, reading: bool = False, secret: bool = False
) -> Generator[None]:
    """Turns every error of the network inside into one of ours, which names host and port of `url` at most.

    `reading` says that headers have arrived, so a broken connection is an incomplete reply; `secret` says
    that the URL is a signed one, so that not even a traceback may show the foreign error.
    """
    try:
        yield
    except FOREIGN as error:
        ours = _translated(error, doing, url, reading)
        # A LocalProtocolError quotes the header it dislikes, which may be the one with the key.
        raise ours from (None if secret or isinstance(error, httpx.LocalProtocolError) else error)


@contextmanager
def deadline(seconds: float, doing: str) -> Generator[None]:
    """Bounds everything inside, retries and waits included."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise errors.DeadlineExceededError(
            doing, f"there was no complete answer within {seconds:g} seconds", _AGAIN
        ) from None


def _translated(error: Exception, doing: str, url: httpx.URL | None, reading: bool) -> errors.SutroError:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return _connect_error(error, doing, f" ({_host_and_port(url)})" if url else "")
    if reading and isinstance(error, (httpx.NetworkError, httpx.ProtocolError, *_SOCKET)):
        return errors.IncompleteReplyError(
            doing, "the connection broke before the reply was complete", _AGAIN
        )
    _, ours, happened = next(row for row in _SENTENCES if isinstance(error, row[0]))
    return ours(doing, happened, _NEXT_STEPS[ours])


def _host_and_port(url: httpx.URL) -> str:
    authority = url.netloc.decode("ascii")[-100:]
    return authority if url.port else f"{authority}:{443 if url.scheme == 'https' else 80}"


def _connect_error(error: Exception, doing: str, at: str) -> errors.SutroError:
    causes = list(_causes(error))
    if isinstance(error, httpx.ConnectTimeout):
        return errors.DeadlineExceededError(
            doing, f"no connection to the deployment was made in time{at}", _AGAIN
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return errors.WrongDeploymentError(
            doing,
            f"no secure connection could be made, because TLS failed or the certificate is not trusted{at}",
            "Check that SUTRO_API_URL is right and that this machine's clock and certificates are; "
            "`sutro-mcp check` tests it",
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        happened = "the host name of the deployment could not be resolved"
    elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        happened = "nothing accepts connections at the address of the deployment"
    else:
        happened = "no connection to the deployment could be made"
    return errors.ConnectionFailedError(doing, happened + at, _SETTINGS)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything it was raised from or grouped with."""
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None:
            continue
        yield found
        waiting += [found.__cause__, found.__context__ if found.__cause__ is None else None]
        if isinstance(found, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", found).exceptions


# First match wins; a subclass stands before its base, and the last row matches everything.
_SENTENCES: tuple[tuple[type[Exception], type[errors.SutroError], str], ...] = (
    (httpx.PoolTimeout, errors.DeadlineExceededError, "too many requests are already under way"),
    (httpx.WriteTimeout, errors.DeadlineExceededError, "the deployment stopped taking the request"),
    (httpx.TimeoutException, errors.DeadlineExceededError, "the deployment stopped sending"),
    (httpx.LocalProtocolError, errors.ConnectionFailedError, "the request could not be written"),
    (httpx.ProxyError, errors.ConnectionFailedError, "a proxy refused the connection"),
    (
        httpx.UnsupportedProtocol,
        errors.WrongDeploymentError,
        "the URL of the deployment is neither http nor https",
    ),
    (httpx.InvalidURL, errors.WrongDeploymentError, "the URL of the deployment is not valid"),
    (httpx.TooManyRedirects, errors.WrongDeploymentError, "the deployment redirects without end"),
    (httpx.DecodingError, errors.UnexpectedReplyError, "the reply is compressed in a broken way"),
    (httpx.CookieConflict, errors.UnexpectedReplyError, "the reply set conflicting cookies"),
    (httpx.StreamError, errors.UnexpectedReplyError, "the reply could not be read a second time"),
    (httpx.HTTPStatusError, errors.UnexpectedReplyError, "the deployment answered with an error"),
    (Exception, errors.ConnectionFailedError, "the connection to the deployment broke"),
)
_NEXT_STEPS: dict[type[errors.SutroError], str] = {
    errors.DeadlineExceededError: _AGAIN,
    errors.ConnectionFailedError: _AGAIN,
    errors.WrongDeploymentError: _SETTINGS,
    errors.UnexpectedReplyError: "Call again; if it stays, report it",
}
