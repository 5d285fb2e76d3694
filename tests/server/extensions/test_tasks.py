"""Waiting as a task: for hosts that know tasks, about jobs that go on, and with nothing kept in between."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import anyio
import httpx
import pytest
from mcp import MCPError
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp.types import CallToolResult, Request, RequestParams, Result
from pydantic import BaseModel, ConfigDict

from sutro_mcp.emulator import Emulator, Fault
from tests.e2e.http_process import modern
from tests.e2e.process import ENVELOPE
from tests.server.live.test_job_wait import end
from tests.server.tools.test_refusals import BAD_IDS
from tests.support import Talk, server_for, talk

pytestmark = pytest.mark.anyio

TASKS = "io.modelcontextprotocol/tasks"
RUNNING, DONE = "catalogue-copy-refresh", "support-ticket-triage"
NEW_HOUR = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Params(RequestParams):
    """Whatever an extension's method takes."""

    model_config = ConfigDict(extra="allow")


class Reply(BaseModel):
    """Whatever comes back."""

    model_config = ConfigDict(extra="allow")


class CreatedTask(Result):
    """The reply that comes instead of a result."""

    model_config = ConfigDict(extra="allow")
    result_type: Literal["task"] = "task"


class KnowsTasks(ClientExtension):
    """A host that knows tasks, polls without waiting, and remembers what it was told."""

    identifier = TASKS

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.polled: list[dict[str, Any]] = []
        self.at_poll: Any = None

    def claims(self) -> list[ResultClaim[Any]]:
        """`resultType: "task"`."""
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self._resolve)]

    async def _resolve(self, task: CreatedTask, context: ClaimContext) -> CallToolResult:
        created = task.model_dump(by_alias=True, exclude={"meta"})
        self.created.append(created)
        while True:
            self.polled.append(await ask(context.session, "tasks/get", taskId=created["taskId"]))
            if "result" in self.polled[-1]:
                return CallToolResult.model_validate(self.polled[-1]["result"])
            self.at_poll()


async def ask(session: ClientSession, method: str, **params: Any) -> dict[str, Any]:
    """The result of a method that the SDK does not know."""
    request = Request[Params, str](method=method, params=Params.model_validate(params))
    with anyio.fail_after(60):
        reply = await session.send_request(request, Reply)
    return reply.model_dump(exclude={"_meta"})


async def task_of(chat: Talk, **arguments: Any) -> dict[str, Any]:
    """The first reply to a call of the tool."""
    with anyio.fail_after(60):
        result = await chat.client.session.call_tool("wait_for_job", arguments, allow_claimed=True)
    assert isinstance(result, CreatedTask), result
    return result.model_dump(by_alias=True, exclude={"meta"})


def age(moment: str) -> timedelta:
    """How long ago."""
    return datetime.now(UTC) - datetime.fromisoformat(moment)


async def test_a_host_that_knows_tasks_gets_one_and_then_the_answer_of_the_tool(emulator: Emulator) -> None:
    """The same answer as from a wait; each look costs one request."""
    job_id = emulator.add_job(status="RUNNING", num_rows=5)
    host = KnowsTasks()
    host.at_poll = lambda: end(emulator, job_id, "FAILED")
    async with talk(emulator, extensions=[host]) as chat:
        as_task = await chat.call("wait_for_job", job_id=job_id)
        assert chat.paths() == [f"GET /job-status/{job_id}"] * 3
    async with talk(emulator) as chat:
        assert await chat.call("wait_for_job", job_id=job_id) == as_task
    (created,) = host.created
    assert created.pop("resultType") == "task"
    working, completed = host.polled
    assert age(created.pop("createdAt")) < timedelta(seconds=30)
    assert age(created.pop("lastUpdatedAt")) < timedelta(seconds=30)
    assert created == {
        "taskId": created["taskId"],
        "status": "working",
        "statusMessage": "The job is RUNNING.",
        "ttlMs": None,
        "pollIntervalMs": 5_000,
    }
    assert working == {
        **created,
        "resultType": "complete",
        "createdAt": working["createdAt"],
        "lastUpdatedAt": working["lastUpdatedAt"],
    }
    assert completed["createdAt"] == working["createdAt"]
    # The job failed; that it was waited for did not.
    assert (completed["status"], completed["statusMessage"]) == ("completed", "The job is FAILED.")
    assert completed["result"]["isError"] is False
    assert completed["result"]["structuredContent"] == as_task
    assert job_id in completed["result"]["content"][0]["text"]


async def test_another_server_answers_for_a_task(emulator: Emulator) -> None:
    """One that was restarted, say: the id is all there is, and tells when the waiting began."""
    job_id = emulator.find(RUNNING)
    task_id = f"wait-{int(NEW_HOUR.timestamp() * 1000) + 250}-{job_id}"
    end(emulator, job_id, "SUCCEEDED")
    async with talk(emulator, extensions=[KnowsTasks()]) as chat:
        task = await ask(chat.client.session, "tasks/get", taskId=task_id)
    assert (task["taskId"], task["status"]) == (task_id, "completed")
    assert task["createdAt"] == "2026-01-31T12:00:00.250Z"
    assert task["result"]["structuredContent"]["next"] == "Call get_job_results."


async def test_cancelling_the_task_does_not_cancel_the_job(emulator: Emulator) -> None:
    """An acknowledgement, and the job goes on; an answer to nothing is taken likewise."""
    job_id = emulator.find(RUNNING)
    async with talk(emulator, extensions=[KnowsTasks()]) as chat:
        session, task_id = chat.client.session, (await task_of(chat, job_id=job_id))["taskId"]
        done = {"resultType": "complete"}
        assert await ask(session, "tasks/cancel", taskId=task_id) == done
        assert await ask(session, "tasks/update", taskId=task_id, inputResponses={}) == done
        assert (await ask(session, "tasks/get", taskId=task_id))["status"] == "working"
        assert {path.split()[0] for path in chat.paths()} == {"GET"}
    assert not any("job-cancel" in request.path for request in emulator.requests)
    assert emulator.job(job_id).status == "RUNNING"


async def test_an_older_connection_has_no_tasks(emulator: Emulator) -> None:
    """Whatever its host says; and none of the methods."""
    async with talk(emulator, "legacy", extensions=[KnowsTasks()]) as chat:
        answer = await chat.call("wait_for_job", job_id=emulator.find(RUNNING), timeout_seconds=1)
        assert answer["done"] is False
        with pytest.raises(MCPError) as caught:
            await ask(chat.client.session, "tasks/get", taskId="wait-1234567890123-job-1")
    assert caught.value.code == -32601


async def test_what_is_no_wait_is_no_task(emulator: Emulator) -> None:
    """An answer at once is one, a refusal is the tool's, and other tools answer."""
    done, running = {"job_id": emulator.find(DONE)}, {"job_id": emulator.find(RUNNING)}
    calls: list[tuple[dict[str, Any], str]] = [
        (done, "is SUCCEEDED (final)"),
        ({"job_id": "job-nope"}, "no such job"),
        ({"job_id": "../job-cancel/x"}, "list_jobs"),
        ({"job_id": 7}, "job_id: "),
        ({}, "job_id is required"),
        ({**running, "timeout_seconds": 301}, "timeout_seconds: "),
        ({**running, "timeout": 5}, "no argument 'timeout'"),
    ]
    host = KnowsTasks()
    async with talk(emulator, extensions=[host]) as chat:
        for arguments, words in calls:
            assert words in str((await chat.result("wait_for_job", **arguments)).content)
        assert (await chat.call("get_job_status", **running))["status"] == "RUNNING"
    assert host.created == []


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_an_id_that_is_none_is_refused(emulator: Emulator, method: str) -> None:
    """Invalid parameters, and no request leaves unless it names a job."""
    more: dict[str, Any] = {"inputResponses": {}} if method == "tasks/update" else {}
    ids = ["", "job-1", "wait-1-job-1", "wait-12345678901234-x"]
    ids += [f"wait-1234567890123-{bad}" for bad in BAD_IDS]
    async with talk(emulator, extensions=[KnowsTasks()]) as chat:
        for task_id in ids:
            with pytest.raises(MCPError) as caught:
                await ask(chat.client.session, method, taskId=task_id, **more)
            assert caught.value.code == -32602, task_id
        assert emulator.requests == []
        with pytest.raises(MCPError, match="no such job") as caught:
            await ask(chat.client.session, method, taskId="wait-1234567890123-job-nope", **more)
        assert caught.value.code == -32602


async def test_a_deployment_in_trouble_is_an_error_and_no_failed_task(emulator: Emulator) -> None:
    """The host asks again later."""
    emulator.faults.add(Fault.html(502), path="/job-status/*", times=None)
    async with talk(emulator, extensions=[KnowsTasks()]) as chat:
        with pytest.raises(MCPError, match="again") as caught:
            await ask(chat.client.session, "tasks/get", taskId=f"wait-1234567890123-{emulator.find(RUNNING)}")
    assert caught.value.code == -32603


async def test_a_host_that_did_not_declare_tasks_is_told_so(emulator: Emulator) -> None:
    """-32021, and what it should declare."""
    task = {"taskId": "wait-1234567890123-job-1"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("tasks/get", task),
        ("tasks/update", {**task, "inputResponses": {}}),
        ("tasks/cancel", task),
        ("subscriptions/listen", {"notifications": {"taskIds": []}}),
    ]
    async with talk(emulator) as chat:
        for method, params in calls:
            with pytest.raises(MCPError) as caught:
                await ask(chat.client.session, method, **params)
            assert caught.value.code == -32021
            assert caught.value.error.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    assert emulator.requests == []


async def test_over_http_the_header_names_the_task_of_the_body(emulator: Emulator) -> None:
    """Or a router in between sends it elsewhere."""
    server = server_for(emulator)
    app = server.streamable_http_app()
    task_id = f"wait-1234567890123-{emulator.find(RUNNING)}"
    request = modern("tasks/get", {"taskId": task_id})
    knows: dict[str, Any] = {"extensions": {TASKS: {}}}
    request["json"]["params"]["_meta"] = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": knows}
    host = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8000")
    async with server.session_manager.run(), host:
        for name, status in ((task_id, 200), ("wait-1234567890123-job-other", 400), ("", 400)):
            headers = {**request["headers"], **({"mcp-name": name} if name else {})}
            reply = await host.post("/mcp", json=request["json"], headers=headers)
            assert reply.status_code == status, reply.text
            assert ("-32020" in reply.text) is (status == 400)
