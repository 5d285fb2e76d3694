"""The page that Prometheus reads: what it counts, and that callers cannot make it grow."""

import re

import httpx
import pytest

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import DEMO_KEY, Emulator
from sutro_mcp.server.build import build_server
from sutro_mcp.server.operations.admin_app import admin_app, metrics_of
from sutro_mcp.settings import Settings
from tests.e2e.http_process import modern
from tests.server.transports.test_streamable_http import serving

pytestmark = pytest.mark.anyio


async def _is_ready() -> bool:
    return True


async def test_calls_are_counted_under_names_that_are_served(emulator: Emulator) -> None:
    """What a caller makes up, a method or a tool, is "other"; no job and no address is anywhere."""
    connection = resolve_connection(emulator.api_origin, DEMO_KEY, env={})
    transport = httpx.ASGITransport(app=emulator.app)
    settings = Settings(transport="http", port=0)
    server = build_server(settings, lambda: ApiClient(connection, transport=transport))
    admin = httpx.ASGITransport(app=admin_app(_is_ready, metrics_of(server)))
    async with serving(server) as (url, client):
        job = {"job_id": emulator.find("haiku-smoke-test")}
        for name, arguments in (
            ("list_jobs", {}),
            ("get_job", job),
            ("cancel_job", {"job_id": emulator.find("catalogue-copy-refresh")}),
            ("get_job", {"job_id": "job-none"}),
            ("evil", {}),
        ):
            await client.post(url, **modern("tools/call", {"name": name, "arguments": arguments}))
        await client.post(url, **modern("evil/method", {}))
    async with httpx.AsyncClient(transport=admin, base_url="http://admin") as client:
        page = (await client.get("/metrics")).text
    calls = re.findall(
        r'seconds_count{error_type="(.*?)",gen_ai_tool_name="(.*?)",mcp_method_name="(.*?)"', page
    )
    assert calls == [
        ("", "list_jobs", "tools/call"),
        ("", "get_job", "tools/call"),
        ("", "cancel_job", "tools/call"),
        ("tool_error", "get_job", "tools/call"),
        ("-32602", "other", "tools/call"),
        ("-32601", "", "other"),
    ]
    sent = re.findall(r'requests_total{endpoint="(get-job|list-jobs)",status_class="(.*?)"} (.*)', page)
    assert sorted(sent) == [
        ("get-job", "2xx", "2.0"),
        ("get-job", "4xx", "1.0"),
        ("list-jobs", "2xx", "1.0"),
    ]
    assert emulator.find("haiku-smoke-test") not in page
    for figure in (
        'sutro_mcp_inflight{kind="call"} 0.0',
        'sutro_mcp_inflight{kind="wait"} 0.0',
        'sutro_mcp_inflight{kind="listen"} 0.0',
        'sutro_mcp_queue_full_total{kind="call"} 0.0',
        'sutro_mcp_cancels_total{outcome="preview"} 1.0',
        "sutro_mcp_watched_jobs 0.0",
        "sutro_mcp_cache_bytes 0.0",
    ):
        assert f"\n{figure}\n" in page


async def test_without_the_library_the_page_says_how_to_get_it() -> None:
    """The probes work all the same."""
    admin = httpx.ASGITransport(app=admin_app(_is_ready, None))
    async with httpx.AsyncClient(transport=admin, base_url="http://admin") as client:
        page = await client.get("/metrics")
        assert (page.status_code, page.text) == (
            501,
            "Metrics need the extra: install sutro-mcp[telemetry].\n",
        )
        assert (await client.get("/readyz")).status_code == 200
