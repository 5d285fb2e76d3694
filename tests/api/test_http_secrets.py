"""The key goes into one header of one host, a signed URL into one request, and neither anywhere else."""

import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from sutro_mcp.api import ApiClient, ApiKey, Connection
from sutro_mcp.emulator import Emulator, Fault
from sutro_mcp.errors import SutroError
from sutro_mcp.results_spec import ResultsSpec

from .wire import JOB, KEY, PARQUET, Script, answering, client, emulated, error_of, job, reply, socket_server

pytestmark = pytest.mark.anyio

LINK = "https://bucket.s3.example.com/x.parquet?X-Amz-Signature=canary_signature"


async def test_a_request_to_the_api_carries_the_key_and_nothing_else_of_ours() -> None:
    """The scheme is Key; a cookie that was set would go to the next tenant of a shared client."""
    transport = answering(lambda: reply(200, {"jobs": []}, headers={"set-cookie": "session=a; Path=/"}))
    async with client(transport) as api:
        await api.list_jobs()
        await api.list_jobs()
    for request in transport.seen:
        headers = dict(request.headers)
        assert headers.pop("user-agent").startswith("sutro-mcp/")
        assert headers == {
            "host": "sutro.example.com",
            "authorization": f"Key {KEY}",
            "accept": "application/json, */*",
            "accept-encoding": "identity",
        }


async def test_proxies_and_certificates_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy would see the key."""
    async with socket_server(b"HTTP/1.1 500 proxy\r\n\r\n") as (proxy, asked):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        body = b'{"jobs": []}'
        script = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        async with socket_server(script) as (origin, requests), client(None, origin=origin) as api:
            assert await api.list_jobs() == []
    assert asked == []
    assert b"GET /v1/list-jobs HTTP/1.1\r\n" in requests[0]


FAULTS: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "404": lambda _: reply(404, LINK.encode()),
    "403": lambda _: reply(403, f"<Error>{LINK}</Error>".encode()),
    "500": lambda _: reply(500, LINK.encode()),
    "redirect": lambda _: reply(302, headers={"location": LINK}),
    "page": lambda _: reply(200, f"<html>{LINK}</html>".encode()),
    "cut": lambda _: reply(200, PARQUET[:9], failure=httpx.ReadError(LINK), length=False),
    "bad size": lambda _: reply(200, PARQUET, headers={"content-length": "9"}),
    "unsupported": lambda _: (_ for _ in ()).throw(httpx.UnsupportedProtocol(LINK)),
    "no route": lambda _: (_ for _ in ()).throw(httpx.ConnectError(LINK)),
    "silence": lambda _: (_ for _ in ()).throw(httpx.ReadTimeout(LINK)),
    "bad URL": lambda _: (_ for _ in ()).throw(httpx.InvalidURL(LINK)),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_failure_of_the_store_shows_the_signed_url(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the text, not in the traceback, not in the log at DEBUG."""
    caplog.set_level(logging.DEBUG)

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host != "sutro.example.com":
            return FAULTS[fault](request)
        return reply(200, {"urls": {"get": LINK}})

    error = await error_of(Script(handler), lambda api: api.fetch_results(ResultsSpec(JOB), tmp_path))
    shown = "".join(traceback.format_exception(error)) + caplog.text
    assert "canary_signature" not in shown
    assert KEY not in shown


async def test_a_healthy_download_logs_neither_url_nor_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """httpx logs every URL at INFO, and the MCP SDK asks for INFO."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    emulator = Emulator()
    async with emulated(emulator) as api:
        await api.fetch_results(ResultsSpec(emulator.add_job()), tmp_path)
    text = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "http" not in text.replace("httpx", "").replace("httpcore", "")
    assert logging.getLogger("httpx").level == logging.WARNING


async def test_a_logger_that_is_quieter_already_stays_so() -> None:
    """Nothing is turned up."""
    logging.getLogger("httpcore").setLevel(logging.ERROR)
    async with client(answering(reply(200, {"jobs": []}))) as api:
        await api.list_jobs()
    assert logging.getLogger("httpcore").level == logging.ERROR
    logging.getLogger("httpcore").setLevel(logging.WARNING)


async def test_no_fault_of_the_api_shows_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """Even one that echoes the request."""
    caplog.set_level(logging.DEBUG)
    echo = f"you sent Authorization: Key {KEY}"
    faults = [
        *(Fault.json(status, echo) for status in (400, 401, 403, 404, 405, 409, 410, 422, 429, 500, 503)),
        Fault.raw(echo.encode(), status=400, media_type="text/plain"),
        Fault.raw(f'{{"detail": [{{"loc": ["header"], "msg": "{echo}"}}]}}'.encode(), status=422),
        Fault.raw(b"", status=302, headers={"Location": f"https://{KEY}.example.com/"}),
        Fault.raw(echo.encode()),
    ]
    for fault in faults:
        emulator = Emulator(api_key=KEY)
        emulator.faults.add(fault, times=9)
        transport = httpx.ASGITransport(app=emulator.app)
        connection = Connection("http://127.0.0.1:8787/v1", ApiKey(KEY), "argument", "argument")
        async with ApiClient(connection, transport=transport) as api:
            with pytest.raises(SutroError) as caught:
                await api.get_job(JOB)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
        assert KEY not in shown


async def test_clients_are_built_when_first_used_and_shared() -> None:
    """Building one costs fifty milliseconds."""
    transport = answering(lambda: reply(200, {"jobs": [job()]}))
    api = client(transport)
    http = api._http  # pyright: ignore[reportPrivateUsage]
    assert not {"_api", "_blob", "_tls"} & set(vars(http))
    await api.list_jobs()
    first = vars(http)["_api"]
    await api.list_jobs()
    assert vars(http)["_api"] is first
    assert "_blob" not in vars(http)
    await api.aclose()
    assert first.is_closed
    await api.aclose()


def test_importing_the_client_does_not_import_polars_or_mcp() -> None:
    """Every cold start would pay for it."""
    code = (
        "import sys, sutro_mcp.api;"
        "print(sorted({'polars', 'mcp', 'starlette', 'pandas', 'pyarrow', 'trio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
