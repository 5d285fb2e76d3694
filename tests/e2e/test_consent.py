"""The question for the person, as it crosses a pipe: what no well-behaved client would send."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sutro_mcp.emulator import Emulator

from .process import ENVELOPE, INITIALIZE, Server, server_process

pytestmark = pytest.mark.anyio

RUNNING = "catalogue-copy-refresh"
OF_THE_TIME = ("seconds_left", "tokens_per_second")


async def open_legacy(server: Server, elicitation: Mapping[str, Any]) -> None:
    """A 2025 connection of a host with these modes of asking."""
    await server.ask("initialize", {**INITIALIZE, "capabilities": {"elicitation": elicitation}})
    await server.send_line('{"jsonrpc":"2.0","method":"notifications/initialized"}')


async def call_modern(server: Server, job_id: str, elicitation: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a call by a 2026 host with these modes of asking."""
    envelope = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": {"elicitation": elicitation}}
    call = {"name": "cancel_job", "arguments": {"job_id": job_id}, "_meta": envelope}
    number = 1
    await server.send_line(
        json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
    )
    return (await server.receive())["result"]


def cancelled(sutro: Emulator) -> bool:
    """Whether a request to cancel has arrived."""
    return any("job-cancel" in request.path for request in sutro.requests)


@pytest.mark.smoke
async def test_a_reply_against_the_protocol_sends_nothing(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """The call ends with an answer all the same, and the next call works."""
    replies: list[dict[str, Any]] = [
        {"result": {"action": "maybe", "content": {"confirm": True}}},
        {"result": {}},
        {"result": {"action": "accept", "content": {"confirm": {"yes": True}}}},
        {"error": {"code": -32601, "message": "Method not found"}},
    ]
    job_id = sutro.find(RUNNING)
    async with server_process(env=sutro_env) as server:
        # The only shape before there were modes of asking.
        await open_legacy(server, {})
        for reply in replies:
            await server.send("tools/call", {"name": "cancel_job", "arguments": {"job_id": job_id}})
            question = await server.receive()
            assert question["method"] == "elicitation/create"
            await server.send_line(json.dumps({"jsonrpc": "2.0", "id": question["id"], **reply}))
            answer = (await server.receive())["result"]["structuredContent"]
            assert answer["outcome"] == "refused"
            assert "nothing was sent" in answer["message"]
        status = await server.ask("tools/call", {"name": "get_job_status", "arguments": {"job_id": job_id}})
    assert status["result"]["structuredContent"]["status"] == "RUNNING"
    assert not cancelled(sutro)


@pytest.mark.wire
async def test_a_host_that_can_only_open_pages_is_not_asked(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """The question is a form; such a host gets the preview, in both eras."""
    job_id = sutro.find(RUNNING)
    async with server_process(env=sutro_env) as server:
        modern = await call_modern(server, job_id, {"url": {}})
        assert "preview" in modern["content"][0]["text"]
        assert (await call_modern(server, job_id, {"form": {}}))["resultType"] == "input_required"
    async with server_process(env=sutro_env) as server:
        await open_legacy(server, {"url": {}})
        call = {"name": "cancel_job", "arguments": {"job_id": job_id}}
        legacy = (await server.ask("tools/call", call))["result"]
        for reply in (modern, legacy):
            # They change with the time.
            assert {reply["structuredContent"].pop(name) > 0 for name in OF_THE_TIME} == {True}
        assert legacy["structuredContent"] == modern["structuredContent"]
    assert not cancelled(sutro)
