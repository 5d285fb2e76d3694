"""Every kind of bad reply has its own error, and none is mistaken for an answer."""

import httpx
import pytest

from sutro_mcp.api import ApiClient, ApiKey, Connection
from sutro_mcp.api.models import AuthReply
from sutro_mcp.emulator import ApiVariant, Emulator
from sutro_mcp.errors import (
    AccessDeniedError,
    AuthenticationError,
    DeadlineExceededError,
    IncompleteReplyError,
    RateLimitedError,
    RejectedError,
    ServiceUnavailableError,
    SutroError,
    UnexpectedReplyError,
    WrongDeploymentError,
)

from .wire import JOB, KEY, answering, client, emulated, error_of, job, reply, socket_server

pytestmark = pytest.mark.anyio

PAGE = b"<!DOCTYPE html><html><body>secret-page</body></html>"
MIGRATION = "Direct Sutro Batch API access is no longer supported by the Sutro SDK. Set SUTRO_API_URL."


@pytest.mark.parametrize(
    ("status", "kind", "happened", "next_step"),
    [
        (400, RejectedError, "found the request malformed (400)", "Check the arguments"),
        (401, AuthenticationError, "refused the API key (401)", "Set SUTRO_API_KEY"),
        (402, RejectedError, "refused the request (402)", "Change the arguments"),
        (403, AccessDeniedError, "not allowed to do this (403)", "Use a key with more rights"),
        (405, RejectedError, "does not allow this method here (405)", "Report it"),
        (408, DeadlineExceededError, "gave up waiting (408)", "Wait a moment"),
        (409, RejectedError, "not in a state for this (409)", "Call get_job_status"),
        (410, RejectedError, "is gone (410)", "Call get_job"),
        (422, RejectedError, "found an argument invalid (422)", "Correct the argument"),
        (429, RateLimitedError, "too many requests (429)", "Wait 5 seconds"),
        (500, ServiceUnavailableError, "failed (500)", "Wait a moment"),
        (501, RejectedError, "does not offer this (501)", "Report it"),
        (503, ServiceUnavailableError, "failed (503)", "Wait a moment"),
        (524, ServiceUnavailableError, "a gateway gave up waiting for the deployment (524)", "Wait a moment"),
        (530, ServiceUnavailableError, "failed (530)", "Wait a moment"),
    ],
)
async def test_each_status_has_its_own_sentence(
    status: int, kind: type[SutroError], happened: str, next_step: str
) -> None:
    """It says what we were doing, what happened with the deployment's words, what to do."""
    found = await error_of(answering(lambda: reply(status, {"detail": "so it is"})))
    assert isinstance(found, kind)
    assert f"Cannot read job {JOB}: " in str(found)
    assert f'{happened}; it said "so it is". {next_step}' in str(found)
    if isinstance(found, RejectedError):
        assert found.status == status


@pytest.mark.parametrize(
    ("body", "said"),
    [
        *((nothing, None) for nothing in ({}, {"detail": None}, b"", {"detail": "  "})),
        ({"detail": "a", "message": "b"}, '"a"'),
        ({"message": "b", "error": "c"}, '"b"'),
        ({"error": "c", "details": "d"}, '"c: d"'),
        ({"error": "c", "details": {}}, '"c"'),
        ({"detail": [{"loc": ["query", "limit"], "msg": "small", "type": "x"}]}, '"query.limit: small"'),
        ({"detail": [{"loc": ["a", 0], "msg": "x"}, {"msg": "y"}, "z"]}, '"a.0: x; y; z"'),
        ({"detail": [{"type": "odd"}]}, "\"{'type': 'odd'}\""),
        ({"detail": [], "message": "b"}, '"b"'),
        ({"detail": "a", "request_id": "req_1"}, '"a (request req_1)"'),
        ({"detail": "x" * 1000}, '[1,000 chars]"'),
        ({"detail": "line\nbreak \u202e"}, '"line break \\u{202E}"'),
        (b"plain text", '"plain text"'),
        (b"\xff" * 500, '"\ufffd'),
        ({"detail": f"unknown key {KEY}!"}, '"unknown key [API key]!"'),
        ({"detail": "<html>secret-page</html>"}, "(a web page or XML document, not shown)"),
    ],
    ids=repr,
)
async def test_what_the_deployment_said_is_quoted(body: object, said: str | None) -> None:
    """From whichever key its generation uses, cut and on one line; nothing is not quoted."""
    text = str(await error_of(answering(lambda: reply(400, body))))
    assert ("; it said " in text) == (said is not None)
    assert said is None or said in text
    assert "secret-page" not in text


async def test_an_error_whose_body_breaks_off_keeps_its_status() -> None:
    """The status matters more than its text."""
    cut = reply(401, b'{"detail": "cut', failure=httpx.ReadError("reset"), length=False)
    for answer in (cut, reply(401, b"x" * 100_000)):
        assert isinstance(await error_of(answering(answer)), AuthenticationError)


async def test_the_migration_notice_explains_where_to_go() -> None:
    """410 with the text of the service."""
    emulator = Emulator(variant=ApiVariant(central_gone=True))
    async with emulated(emulator) as api:
        with pytest.raises(WrongDeploymentError) as caught:
            await api.list_jobs()
    assert "this host no longer serves direct Batch API traffic (410)" in str(caught.value)
    assert "Set SUTRO_API_URL to the URL of your own Sutro deployment" in str(caught.value)


async def test_json_labelled_as_a_page_is_json() -> None:
    """Some gateways label everything so."""
    transport = answering(reply(200, {"job": job()}, headers={"content-type": "text/html"}))
    async with client(transport) as api:
        assert (await api.get_job(JOB)).job_id == JOB


async def test_any_410_of_the_central_host_is_the_migration() -> None:
    """Whatever it says."""
    connection = Connection("https://api.sutro.sh", ApiKey(KEY), "default", "SUTRO_API_KEY")
    async with ApiClient(connection, transport=answering(reply(410, {"detail": MIGRATION}))) as api:
        with pytest.raises(
            WrongDeploymentError, match=r"api.sutro.sh no longer serves direct Batch API traffic"
        ):
            await api.list_jobs()


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://login.example.com/sso?token=canary", 'to the host "login.example.com" (302)'),
        ("/elsewhere?token=canary", "elsewhere (302)"),
        ("https://[canary", "elsewhere (302)"),
        ("file:///etc/canary", "elsewhere (302)"),
        (None, "elsewhere (302)"),
    ],
    ids=repr,
)
async def test_a_redirect_is_not_followed_and_names_only_the_host(location: str | None, where: str) -> None:
    """The key stays where it was meant to go."""
    transport = answering(reply(302, headers={"location": location} if location else {}))
    error = await error_of(transport)
    assert isinstance(error, WrongDeploymentError)
    assert f"the deployment redirects {where}; redirects are not followed with a key" in str(error)
    assert "canary" not in str(error)
    assert len(transport.seen) == 1


PAGES: dict[str, tuple[int, bytes, str]] = {
    "page": (200, PAGE, "text/html"),
    "page labelled JSON": (200, b"\xef\xbb\xbf  " + PAGE, "application/json"),
    "XML": (200, b"<?xml version='1.0'?><x/>", "application/xml"),
    "text labelled page": (200, b"welcome", "text/html"),
    "empty page": (200, b"", "text/html"),
    "page of the edge for a bad key": (401, PAGE, "text/html"),
    "page of the edge for a time-out": (524, PAGE, "text/html"),
}


@pytest.mark.parametrize("case", PAGES)
async def test_a_page_is_never_repeated_and_with_a_success_a_wrong_url(case: str) -> None:
    """Somebody's front page or that of a gateway, not a message of an API."""
    status, body, content_type = PAGES[case]
    error = await error_of(answering(lambda: reply(status, body, headers={"content-type": content_type})))
    assert isinstance(error, WrongDeploymentError) == (status == 200)
    happened = "the URL answered with a web page" if status == 200 else "it sent a web page"
    assert happened in str(error)
    assert "secret-page" not in str(error)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WIRE: dict[str, tuple[bytes, type[SutroError]]] = {
    "close before the reply": (b"", SutroError),
    "close in the header": (b"HTTP/1.1 200 OK\r\nContent-Le", SutroError),
    "close in the body": (b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"job"', IncompleteReplyError),
    "half a chunk": (CHUNKED + b'20\r\n{"job"', IncompleteReplyError),
    "wrong chunk": (CHUNKED + b'zz\r\n{"job"', IncompleteReplyError),
    "no length and cut": (b'HTTP/1.1 200 OK\r\n\r\n{"job": {"job_id"', UnexpectedReplyError),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", SutroError),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", SutroError),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", SutroError),
}


@pytest.mark.parametrize("case", WIRE)
async def test_what_a_broken_server_sends_is_an_error_of_ours(case: str) -> None:
    """On a real socket, every attempt."""
    script, kind = WIRE[case]
    async with socket_server(script) as (origin, _), client(None, origin=origin, timeout=10) as api:
        with pytest.raises(kind) as caught:
            await api.get_job(JOB)
    assert "127.0.0.1" not in str(caught.value)


async def test_a_dripping_body_ends_at_the_deadline_of_the_call() -> None:
    """Each byte arrives in time; the answer does not."""
    drip: list[bytes | float] = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"]
    drip += [b" ", 0.02] * 500
    async with socket_server(drip) as (origin, _), client(None, origin=origin, timeout=0.2) as api:
        with pytest.raises(DeadlineExceededError) as caught:
            await api.list_jobs()
    assert "there was no complete answer within 0.2 seconds" in str(caught.value)


@pytest.mark.parametrize(
    ("authenticated", "expected"), [(True, True), (False, False), ("true", False), (None, False)]
)
async def test_only_a_true_yes_counts_as_authenticated(authenticated: object, expected: bool) -> None:
    """As `sutro login` reads it."""
    async with client(answering(reply(200, {"authenticated": authenticated}))) as api:
        assert await api.check_auth() == AuthReply(authenticated=expected, endpoint="auth/check")


async def test_a_deployment_with_neither_check_is_a_wrong_url() -> None:
    """Two requests, then it is said."""
    transport = answering(lambda: reply(404, {"detail": "Not Found"}))
    error = await error_of(transport, lambda api: api.check_auth())
    assert isinstance(error, WrongDeploymentError)
    assert "not as a Sutro deployment does" in str(error)
    assert transport.targets == ["GET /v1/auth/check", "GET /v1/try-authentication"]


async def test_a_refused_key_is_an_authentication_error() -> None:
    """And not a wrong URL."""
    error = await error_of(answering(reply(401)), lambda api: api.check_auth())
    assert isinstance(error, AuthenticationError)
