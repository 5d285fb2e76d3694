"""A replica that is told to stop while a balancer still sends it calls."""

import json
import signal
from typing import Any

import anyio
import httpx
import pytest

from sutro_mcp.emulator import Emulator

from .http_process import HttpProcess, http_process, modern, result_of

pytestmark = pytest.mark.anyio


async def _events(reply: httpx.Response) -> list[dict[str, Any]]:
    """The messages of a stream from here to its end."""
    lines = [line async for line in reply.aiter_lines()]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


async def _statuses(server: HttpProcess, admin: str) -> dict[str, int]:
    addresses = {"/livez": admin, "/startupz": admin, "/readyz": admin, "/healthz": server.origin}
    return {path: (await server.client.get(base + path)).status_code for path, base in addresses.items()}


@pytest.mark.smoke
async def test_a_replica_that_is_told_to_stop_serves_until_it_is_let_go(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """Probes turn new callers away, calls are answered, waits and streams end whole."""
    job_id = sutro.add_job(status="RUNNING", num_rows=10)
    arguments = {"job_id": job_id, "timeout_seconds": 300}
    waiting = modern("tools/call", {"name": "wait_for_job", "arguments": arguments})
    listening = modern(
        "subscriptions/listen", {"notifications": {"resourceSubscriptions": [f"sutro://jobs/{job_id}"]}}
    )
    answers: list[dict[str, Any]] = []
    heard: list[dict[str, Any]] = []
    # So long that only the second signal can end it.
    environment = {**sutro_env, "SUTRO_MCP_ADMIN_PORT": "0", "SUTRO_MCP_DRAIN_SECONDS": "600"}
    async with http_process(env=environment) as server:
        assert await _statuses(server, server.admin_url) == {
            "/livez": 200,
            "/startupz": 200,
            "/readyz": 200,
            "/healthz": 200,
        }

        async def wait(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with server.client.stream("POST", server.url, **waiting) as reply:
                task_status.started()
                answers.extend(await _events(reply))

        async with (
            anyio.create_task_group() as tasks,
            server.client.stream("POST", server.url, **listening) as news,
        ):
            await tasks.start(wait)
            server.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(30):
                while (await _statuses(server, server.admin_url))["/readyz"] == 200:  # noqa: ASYNC110 - another process
                    await anyio.sleep(0.02)
            assert await _statuses(server, server.admin_url) == {
                "/livez": 200,
                "/startupz": 200,
                "/readyz": 503,
                "/healthz": 503,
            }
            late = await server.client.post(server.url, **modern("tools/list", {}))
            assert (bool(result_of(late)["tools"]), late.headers["connection"]) == (True, "close")
            server.process.send_signal(signal.SIGTERM)
            heard += await _events(news)
        assert [message.get("method", "result") for message in heard] == [
            "notifications/subscriptions/acknowledged",
            "result",
        ]
        text = answers[-1]["result"]["content"][0]["text"]
        assert text.splitlines()[0] == (
            f"{job_id} is RUNNING. The server is being restarted. Call wait_for_job again. "
            "Do not resubmit the job."
        )
        assert await server.exit_code() == 143
