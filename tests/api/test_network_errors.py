"""Foreign failures are mapped, all of them, and without their text."""

import socket
import ssl
import traceback

import anyio
import httpx
import pytest

from sutro_mcp.api.network_errors import FOREIGN, mapped
from sutro_mcp.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteReplyError,
    SutroError,
    UnexpectedReplyError,
    WrongDeploymentError,
)

from .wire import KEY, answering, client, error_of, socket_server

pytestmark = pytest.mark.anyio

URL = "https://sutro.example.com/?X-Amz-Signature=canary"
REQUEST = httpx.Request("GET", URL)
CLASSES = sorted(
    {value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, Exception)},
    key=lambda kind: kind.__name__,
)


def build(kind: type[Exception]) -> Exception:
    """An instance of any exception of httpx, whatever its constructor wants."""
    if issubclass(kind, httpx.HTTPStatusError):
        return kind(URL, request=REQUEST, response=httpx.Response(500))
    if issubclass(kind, httpx.StreamError) and kind is not httpx.StreamError:
        return kind()  # pyright: ignore[reportCallIssue]
    return kind(URL)


@pytest.mark.parametrize("reading", [False, True], ids=["sending", "reading"])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_becomes_one_of_ours_without_its_text(
    kind: type[Exception], reading: bool
) -> None:
    """The text holds URLs, and a signed URL is a credential."""
    assert issubclass(kind, FOREIGN)
    with pytest.raises(SutroError) as caught, mapped("read", reading=reading, secret=True):
        raise build(kind)
    assert "canary" not in str(caught.value)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_the_cause_is_kept_where_it_holds_no_secret() -> None:
    """For whoever reads the traceback on stderr."""
    with pytest.raises(SutroError) as caught, mapped("read"):
        raise httpx.ReadError("reset")
    assert isinstance(caught.value.__cause__, httpx.ReadError)
    with pytest.raises(SutroError) as caught, mapped("read"):
        raise httpx.LocalProtocolError(f"Illegal header value b'Key {KEY}'")
    assert caught.value.__cause__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value))


PLACE = r"\(sutro.example.com:443\)"


def caused(error: httpx.ConnectError, cause: BaseException) -> httpx.ConnectError:
    """`error` as the transport raises it, two levels above its cause."""
    middle = OSError("all connection attempts failed")
    middle.__cause__ = cause
    error.__context__ = middle
    return error


@pytest.mark.parametrize(
    ("error", "kind", "happened"),
    [
        (
            caused(httpx.ConnectError(""), socket.gaierror(-2, "unknown")),
            *(ConnectionFailedError, f"the host name of the deployment could not be resolved {PLACE}"),
        ),
        *(
            (
                caused(httpx.ConnectError(""), cause),
                *(
                    ConnectionFailedError,
                    f"nothing accepts connections at the address of the deployment {PLACE}",
                ),
            )
            for cause in (ConnectionRefusedError(), ExceptionGroup("", [ConnectionRefusedError()]))
        ),
        (
            caused(httpx.ConnectError(""), ssl.SSLCertVerificationError()),
            *(WrongDeploymentError, f"no secure connection could be made.* {PLACE}"),
        ),
        (httpx.ConnectError(""), ConnectionFailedError, f"could be made {PLACE}"),
        (httpx.ConnectTimeout(""), DeadlineExceededError, f"made in time {PLACE}"),
        (httpx.PoolTimeout(""), DeadlineExceededError, "too many requests are already under way"),
        (httpx.WriteTimeout(""), DeadlineExceededError, "the deployment stopped taking the request"),
        (httpx.ReadTimeout(""), DeadlineExceededError, "the deployment stopped sending"),
        (httpx.RemoteProtocolError(""), ConnectionFailedError, "the connection to the deployment broke"),
        (httpx.ProxyError(""), ConnectionFailedError, "a proxy refused the connection"),
        (httpx.UnsupportedProtocol(""), WrongDeploymentError, "neither http nor https"),
        (httpx.TooManyRedirects(""), WrongDeploymentError, "redirects without end"),
        (httpx.DecodingError(""), UnexpectedReplyError, "compressed in a broken way"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_each_way_to_fail_has_its_own_sentence(
    error: Exception, kind: type[SutroError], happened: str
) -> None:
    """So that an assistant can tell a wrong URL from a broken cable."""
    with pytest.raises(kind, match=happened):
        raise await error_of(answering(*[error] * 3))


SOCKET = (ConnectionResetError(), ssl.SSLError(), anyio.BrokenResourceError(), anyio.EndOfStream())


@pytest.mark.parametrize("error", SOCKET, ids=repr)
def test_an_error_of_the_socket_that_httpx_lets_through_is_a_broken_connection(error: Exception) -> None:
    """An app in this process that hangs up looks the same; if headers had come, the reply is incomplete."""
    with pytest.raises(ConnectionFailedError, match="the connection to the deployment broke"), mapped("read"):
        raise error
    for each in (error, httpx.ReadError(""), httpx.RemoteProtocolError("")):
        with pytest.raises(IncompleteReplyError), mapped("read", reading=True):
            raise each


async def test_a_closed_port_is_said_to_be_closed() -> None:
    """On a real socket."""
    async with socket_server(b"") as (origin, _):
        pass
    async with client(None, origin=origin) as api:
        with pytest.raises(ConnectionFailedError, match=f"nothing accepts.*{origin.removeprefix('http://')}"):
            await api.list_jobs()


async def test_a_server_without_tls_is_a_wrong_url() -> None:
    """https to a port that speaks plain http."""
    plain = socket_server(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    async with plain as (origin, _), client(None, origin=origin.replace("http://", "https://")) as api:
        with pytest.raises(WrongDeploymentError, match="TLS failed"):
            await api.list_jobs()
