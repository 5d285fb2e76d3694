"""Two replicas for a team, of which a balancer could send any request to any: nothing of A's is B's."""

import json
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from sutro_mcp.api import Status
from sutro_mcp.server.access.token_file import add_token, revoke_tokens
from tests import tries
from tests.server.access.team import ERAS, PUBLIC_URL, Accounts, accounts, keys_folder

from .http_process import HttpProcess, http_process, legacy, modern, result_of
from .process import ENVELOPE, INITIALIZE

pytestmark = pytest.mark.anyio

JOB = "job-00000000-0000-4000-8000-000000000001"
ASKING: dict[str, Any] = {
    **ENVELOPE,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}
TENANTS = [f"t{number}" for number in range(tries.some_of(200, least=10))]
CALLS = tries.some_of(50, least=4)


@dataclass
class Replicas:
    """The processes, the accounts behind them, and a token for each principal."""

    processes: list[HttpProcess]
    sutro: Accounts
    tokens: dict[str, str]
    file: Path

    async def post(self, replica: int, principal: str, request: Mapping[str, Any]) -> httpx.Response:
        """The answer of one replica to one principal."""
        process = self.processes[replica]
        headers = request["headers"] | {"authorization": f"Bearer {self.tokens[principal]}"}
        return await process.client.post(process.url, json=request["json"], headers=headers)

    async def call(self, replica: int, principal: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a tool in the 2026 era."""
        request = modern("tools/call", {"name": tool, "arguments": arguments})
        return result_of(await self.post(replica, principal, request))


def key_of(principal: str) -> str:
    return f"sk_{principal}_0123456789"


def canary_of(principal: str) -> str:
    return f"canary-of-{principal}-."


@pytest.fixture(scope="module")
async def replicas(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Replicas]:
    """A job in each account, with the same id and another name."""
    folder = tmp_path_factory.mktemp("team")
    until = datetime.now(UTC) + timedelta(days=1)
    scopes = ["sutro:cancel"]
    tokens = {name: add_token(folder / "tokens", name, scopes, until) for name in TENANTS}
    (folder / "state").write_text("s" * 40)
    async with AsyncExitStack() as stack:
        sutro = await stack.enter_async_context(accounts(*map(key_of, TENANTS)))
        for name in TENANTS:
            sutro.emulators[key_of(name)].add_job(job_id=JOB, name=canary_of(name), status=Status.RUNNING)
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SUTRO_")},
            "SUTRO_API_URL": sutro.url,
            "SUTRO_MCP_AUTH": "bearer",
            "SUTRO_MCP_PUBLIC_URL": PUBLIC_URL,
            "SUTRO_MCP_TOKENS_FILE": str(folder / "tokens"),
            "SUTRO_MCP_KEYS_DIR": str(
                keys_folder(folder / "keys", **{name: key_of(name) for name in TENANTS})
            ),
            "SUTRO_MCP_STATE_KEYS_FILE": str(folder / "state"),
            "SUTRO_MCP_CACHE_MAX_BYTES": "0",
            "SUTRO_MCP_LOG_LEVEL": "INFO",
        }
        processes = [await stack.enter_async_context(http_process(env=env)) for _ in range(2)]
        yield Replicas(processes, sutro, tokens, folder / "tokens")


@pytest.mark.timeout(1800)
async def test_each_tenant_sees_its_own_jobs_and_no_answer_goes_astray(replicas: Replicas) -> None:
    """All at once, with the same ids of requests and jobs, on both replicas, while some callers hang up."""
    others = {name: [canary_of(other) for other in TENANTS if other != name] for name in TENANTS}
    limit = anyio.CapacityLimiter(12)
    answered = hung_up = 0

    async def call(name: str, number: int) -> None:
        nonlocal answered, hung_up
        tool: tuple[str, dict[str, str]] = ("list_jobs", {}) if number % 2 else ("get_job", {"job_id": JOB})
        request = list(ERAS.values())[number % 2]("tools/call", {"name": tool[0], "arguments": tool[1]})
        async with limit:
            if (TENANTS.index(name) + number) % 50 == 7:
                hung_up += 1
                with anyio.move_on_after(0.01):
                    await replicas.post(number % 2, name, request)
                return
            text = (await replicas.post(number // 2 % 2, name, request)).text
        assert canary_of(name) in text
        assert [canary for canary in others[name] if canary in text] == []
        answered += 1

    async with anyio.create_task_group() as readers:
        for process in replicas.processes:
            readers.start_soon(process.keep_reading)
        async with anyio.create_task_group() as tasks:
            for number in range(CALLS):
                for name in TENANTS:
                    tasks.start_soon(call, name, number)
        readers.cancel_scope.cancel()
    assert answered + hung_up == len(TENANTS) * CALLS
    for process in replicas.processes:
        log = await process.log()
        assert [name for name in TENANTS if canary_of(name) in log or key_of(name) in log] == []


async def ask_to_cancel(replicas: Replicas, principal: str) -> dict[str, Any]:
    """The question that replica 0 has for the person."""
    request = modern("tools/call", {"name": "cancel_job", "arguments": {"job_id": JOB}})
    request["json"]["params"]["_meta"] = ASKING
    result = result_of(await replicas.post(0, principal, request))
    assert result["resultType"] == "input_required"
    return result


def answer_to(question: Mapping[str, Any]) -> dict[str, Any]:
    """The call again, with a yes."""
    request = modern("tools/call", {"name": "cancel_job", "arguments": {"job_id": JOB}})
    request["json"]["params"] |= {
        "_meta": ASKING,
        "requestState": question["requestState"],
        "inputResponses": {"consent": {"action": "accept", "content": {"confirm": True}}},
    }
    return request


async def test_a_question_of_one_replica_is_answered_at_the_other_by_its_own_caller_alone(
    replicas: Replicas,
) -> None:
    """What it remembers is sealed with a key that both have, for one principal."""
    a, b = TENANTS[:2]
    question = await ask_to_cancel(replicas, a)
    for replica in (0, 1):
        stolen = await replicas.post(replica, b, answer_to(question))
        assert stolen.json()["error"]["code"] == -32602
    result = result_of(await replicas.post(1, a, answer_to(question)))
    assert result["structuredContent"]["outcome"] in ("cancelled", "requested", "confirmed")
    states = {name: replicas.sutro.emulators[key_of(name)].job(JOB).status for name in (a, b)}
    assert states[b] == Status.RUNNING
    assert states[a] in (Status.CANCELLING, Status.CANCELLED)


async def test_a_task_of_one_caller_is_to_another_a_job_of_its_own(replicas: Replicas) -> None:
    """Its id names a job; whose, the caller's key says."""
    c, d = TENANTS[2:4]
    only_c = replicas.sutro.emulators[key_of(c)].add_job(name="only-c", status=Status.RUNNING)
    declared: dict[str, Any] = {
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    }
    request = modern("tools/call", {"name": "wait_for_job", "arguments": {"job_id": only_c}})
    request["json"]["params"]["_meta"] = ENVELOPE | declared
    task_id = result_of(await replicas.post(0, c, request))["taskId"]
    look = modern("tasks/get", {"taskId": task_id})
    look["json"]["params"]["_meta"] = ENVELOPE | declared
    look["headers"]["mcp-name"] = task_id
    assert result_of(await replicas.post(1, c, look))["status"] == "working"
    for replica in (0, 1):
        stolen = await replicas.post(replica, d, look)
        assert "only-c" not in stolen.text
        assert stolen.json()["error"]["code"] == -32602


async def test_a_listener_hears_of_its_own_job_and_not_of_anothers_with_the_same_name(
    replicas: Replicas,
) -> None:
    """On the same replica, where both are read by the same process."""
    e, f = TENANTS[4:6]
    uri = f"sutro://jobs/{JOB}"
    heard: dict[str, list[str]] = {e: [], f: []}
    acknowledged = {name: anyio.Event() for name in (e, f)}
    told = {name: anyio.Event() for name in (e, f)}

    async def listen(name: str) -> None:
        process = replicas.processes[0]
        request = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}})
        headers = request["headers"] | {"authorization": f"Bearer {replicas.tokens[name]}"}
        async with process.client.stream(
            "POST", process.url, json=request["json"], headers=headers, timeout=60
        ) as events:
            async for line in events.aiter_lines():
                if line.startswith("data: {"):
                    method = json.loads(line.removeprefix("data: "))["method"]
                    acknowledged[name].set()
                    if method == "notifications/resources/updated":
                        heard[name].append(method)
                        told[name].set()

    async with anyio.create_task_group() as tasks:
        for name in (e, f):
            tasks.start_soon(listen, name)
        with anyio.fail_after(60):
            for name in (e, f):
                await acknowledged[name].wait()
            # A notice of E's that went to F as well would come before that of F's own.
            for name in (e, f):
                replicas.sutro.emulators[key_of(name)].job(JOB).end("FAILED", datetime.now(UTC))
                await told[name].wait()
        tasks.cancel_scope.cancel()
    assert [len(notices) for notices in heard.values()] == [1, 1]


async def test_older_clients_are_served_without_a_session_and_not_offered_what_needs_one(
    replicas: Replicas,
) -> None:
    """Any replica answers any request; changes of a job could not be told."""
    reply = await replicas.post(0, TENANTS[6], legacy("initialize", INITIALIZE))
    assert "mcp-session-id" not in reply.headers
    assert result_of(reply)["capabilities"]["resources"] == {"subscribe": False, "listChanged": False}
    for request, status in (
        (legacy("resources/subscribe", {"uri": f"sutro://jobs/{JOB}"}), 200),
        (legacy("tools/call", {"name": "get_job", "arguments": {"job_id": JOB}}), 200),
    ):
        reply = await replicas.post(1, TENANTS[6], request)
        assert reply.status_code == status
        assert ("error" in reply.text) == (request["json"]["method"] == "resources/subscribe")
    process = replicas.processes[1]
    headers = {"authorization": f"Bearer {replicas.tokens[TENANTS[6]]}", "accept": "text/event-stream"}
    assert (await process.client.get(process.url, headers=headers)).status_code == 405


async def test_a_revoked_token_is_refused_within_seconds(replicas: Replicas) -> None:
    """By each replica, without a restart."""
    name = TENANTS[7]
    assert (await replicas.call(0, name, "get_job", job_id=JOB))["isError"] is False
    revoke_tokens(replicas.file, name)
    request = modern("tools/list", {})
    with anyio.fail_after(30):
        for replica in (0, 1):
            while (await replicas.post(replica, name, request)).status_code != 401:
                pass
