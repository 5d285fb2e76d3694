"""A thousand waits that a host starts and stops, as the process that serves them feels it."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from sutro_mcp.emulator import Emulator

from .process import Server, server_process

pytestmark = pytest.mark.anyio

BATCH, BATCHES = 50, 20


def held(server: Server) -> tuple[int, int]:
    """Descriptors and threads of the process."""
    process = Path(f"/proc/{server.process.pid}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


async def start_and_stop(server: Server, job_id: str, batch: int) -> None:
    """A batch of waits at once, each stopped once all have said how far the job is."""
    call: dict[str, Any] = {"name": "wait_for_job", "arguments": {"job_id": job_id, "timeout_seconds": 300}}
    silent = {batch * BATCH + number for number in range(BATCH)}
    numbers = [
        await server.send("tools/call", {**call, "_meta": {"progressToken": token}}) for token in silent
    ]
    while silent:
        message = await server.receive()
        assert message["method"] == "notifications/progress", message
        silent.discard(message["params"]["progressToken"])
    for number in numbers:
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": number}}
        await server.send_line(json.dumps({"jsonrpc": "2.0", **cancelled}))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
@pytest.mark.timeout(120)
async def test_a_thousand_stopped_waits_cost_no_descriptor_and_no_thread(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """Connections are kept for the next call, but not more of them after a thousand than after fifty."""
    job_id = sutro.find("catalogue-copy-refresh")
    status = {"name": "get_job_status", "arguments": {"job_id": job_id}}
    async with server_process(env=sutro_env) as server:
        await server.handshake()
        await start_and_stop(server, job_id, 0)
        assert "result" in await server.ask("tools/call", status)
        descriptors, threads = held(server)
        for batch in range(1, BATCHES):
            await start_and_stop(server, job_id, batch)
        assert "result" in await server.ask("tools/call", status)
        with anyio.fail_after(10):
            while held(server)[0] > descriptors:
                await anyio.lowlevel.checkpoint()
        assert held(server)[1] <= threads
    assert not any("job-cancel" in request.path for request in sutro.requests)
