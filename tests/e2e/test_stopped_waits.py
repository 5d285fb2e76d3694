"""A thousand waits that a host starts and stops, as the process that serves them feels it."""

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from sutro_mcp.emulator import DEMO_KEY, Pace, serve_in_thread

from .process import Server, server_process

pytestmark = [pytest.mark.wire, pytest.mark.anyio]

BATCH, BATCHES = 80, 13
# What httpx keeps open at most without being asked to; one batch of leaks is more.
IDLE = 20


def held(server: Server) -> tuple[int, int]:
    """Descriptors and threads of the process."""
    process = Path(f"/proc/{server.process.pid}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


async def start_and_stop(server: Server, job_id: str, batch: int) -> None:
    """A batch of waits at once, each stopped once each has heard how far the job is."""
    call: dict[str, Any] = {"name": "wait_for_job", "arguments": {"job_id": job_id, "timeout_seconds": 300}}
    silent = {batch * BATCH + number for number in range(BATCH)}
    numbers = [
        await server.send("tools/call", {**call, "_meta": {"progressToken": token}}) for token in silent
    ]
    while silent:
        message = await server.receive()
        assert message["method"] == "notifications/progress", message
        # Rows are known from the job's stream, which is open by then.
        if "rows" in message["params"]["message"]:
            silent.discard(message["params"]["progressToken"])
    for number in numbers:
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": number}}
        await server.send_line(json.dumps({"jsonrpc": "2.0", **cancelled}))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
@pytest.mark.timeout(120)
async def test_a_thousand_stopped_waits_cost_no_descriptor_and_no_thread() -> None:
    """Beyond the few idle connections that the HTTP client keeps for the next call."""
    with serve_in_thread(pace=Pace.clock(600)) as sutro:
        job_id = sutro.find("catalogue-copy-refresh")
        status = {"name": "get_job_status", "arguments": {"job_id": job_id}}
        environment = {**os.environ, "SUTRO_API_URL": sutro.api_origin, "SUTRO_API_KEY": DEMO_KEY}
        async with server_process(env=environment) as server:
            await server.handshake()
            assert "result" in await server.ask("tools/call", status)
            descriptors, threads = held(server)
            for batch in range(BATCHES):
                await start_and_stop(server, job_id, batch)
            assert "result" in await server.ask("tools/call", status)
            with anyio.fail_after(10):
                while held(server)[0] > descriptors + IDLE:
                    await anyio.lowlevel.checkpoint()
            # One that lends itself out ends after a while of doing nothing.
            assert held(server)[1] <= threads
        assert not any("job-cancel" in request.path for request in sutro.requests)
