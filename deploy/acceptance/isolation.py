"""Whether anything of one caller reaches another: by what they hold, and by what the server keeps."""

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import httpx
from mcp import Client, MCPError, types

from sutro_mcp.emulator.stored_job import Job
from tests.e2e.http_process import SESSION, legacy, modern, result_of
from tests.e2e.process import INITIALIZE

from .callers import ask, calling
from .stack import Team, team
from .table import Row

_TENANTS, _CALLS_EACH = 200, 50
_TRIES = 4
_TOOLS = ("get_job", "wait_for_job", "get_job_results", "cancel_job")


async def strangers(folder: Path) -> list[Row]:
    """D4: two hundred callers at once, each with a word in its jobs that nobody else may see."""
    seen, wrong = Counter[str](), list[str]()
    async with team(folder) as served:
        people = [_Tenant(served, number) for number in range(_TENANTS)]
        await anyio.sleep(5)
        limiter = anyio.CapacityLimiter(16)
        async with anyio.create_task_group() as tasks:
            for person in people:
                tasks.start_soon(person.calls, limiter, seen, wrong)
        async with httpx.AsyncClient(trust_env=False) as http:
            metrics = [(await http.get(f"{one.admin_url}/metrics")).text for one in served.replicas]
        kept = "".join([*metrics, *(one.log.read_text() for one in served.replicas)])
        leaked = sum(person.canary in kept for person in people)
        files = [path for path in folder.glob("cache-*/**/*") if path.is_file()]
    calls = sum(seen.values())
    found = (
        f"{calls} calls, {seen['cut']} of them cut off; {len(wrong)} answers with another's word or without"
        f" one's own; {leaked} in logs and metrics; {len(files)} files in caches"
    )
    found += "".join(f"; {one}" for one in wrong[:2])
    done = f"{_TENANTS} callers × {_CALLS_EACH} calls, both eras, the same job ids"
    return [Row("D4", done, "0 words elsewhere", found, not wrong and not leaked)]


class _Tenant:
    """A caller, whose account holds jobs like everybody's but for one word."""

    def __init__(self, served: Team, number: int) -> None:
        self.number = number
        self.canary = f"canary{number:04}x"
        account = served.sutro.add(f"key-of-tenant-{number}-{'x' * 20}")
        self.job_id = account.find("support-ticket-triage")
        account.job(self.job_id).name = self.canary
        self._url = served.url
        self._token = served.access.add(f"tenant-{number}", account.api_key)

    async def calls(self, limiter: anyio.CapacityLimiter, seen: Counter[str], wrong: list[str]) -> None:
        tools: list[tuple[str, dict[str, Any]]] = [
            ("get_job", {"job_id": self.job_id}),
            ("list_jobs", {"search": "canary"}),
        ]
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            for number in range(_CALLS_EACH):
                name, arguments = tools[number % len(tools)]
                make = (legacy, modern)[number // 2 % 2]
                request = make("tools/call", {"name": name, "arguments": arguments})
                async with limiter:
                    if (self.number * _CALLS_EACH + number) % 50 == 0:
                        seen["cut"] += 1
                        with anyio.move_on_after(0.005):
                            await ask(http, self._url, self._token, request)
                        continue
                    try:
                        text = (await ask(http, self._url, self._token, request)).text
                    except httpx.TransportError as error:
                        text = f"no answer: {error}"
                seen["answered"] += 1
                if text.count("canary") != text.count(self.canary) or self.canary not in text:
                    wrong.append(text[:200])


async def borrowed(folder: Path) -> list[Row]:
    """D9: what A holds, used by B through the balancer, often enough for both replicas to see it."""
    found: dict[str, set[object]] = {}
    async with team(folder / "stateless") as served:
        tokens = {name: served.access.add(name, served.sutro.add(f"key-of-{name}").api_key) for name in "ab"}
        account = served.sutro.accounts["key-of-a"]
        job_id = account.add_job(name="only-a-has-it", status="RUNNING", num_rows=10)
        await anyio.sleep(5)
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            found["its task"] = await _task(http, served.url, tokens, job_id)
            found["its stream"] = await _stream(http, served.url, tokens, account.job(job_id))
        async with calling(served.url, tokens["b"], "auto") as client:
            for tool in _TOOLS:
                answers = [await client.call_tool(tool, {"job_id": job_id}) for _ in range(_TRIES)]
                found[tool] = {"refused" if answer.is_error else "answered" for answer in answers}
        account.job(job_id).status = "RUNNING"
        found["the state of its question"] = await _state(served.url, tokens, job_id)
        found["its job then"] = {account.job(job_id).status}
    async with (
        team(folder / "sticky", settings={"SUTRO_MCP_SESSIONS": "sticky"}) as served,
        httpx.AsyncClient(timeout=60, trust_env=False) as http,
    ):
        tokens = {name: served.access.add(name, served.sutro.add(f"key-of-{name}").api_key) for name in "ab"}
        await anyio.sleep(5)
        found["its session"] = await _session(http, served.url, tokens)
    text = "; ".join(f"{what}: {' '.join(map(str, how))}" for what, how in found.items())
    expected = {
        "its task": {-32602},
        "its stream": {"hears nothing"},
        **{tool: {"refused"} for tool in _TOOLS},
        "the state of its question": {-32602},
        "its job then": {"CANCELLING"},
        "its session": {404},
    }
    wanted = "404, -32602, B's own view, no event"
    return [Row("D9", f"what A holds, used by B, {_TRIES} times each", wanted, text, found == expected)]


async def _task(http: httpx.AsyncClient, url: str, tokens: dict[str, str], job_id: str) -> set[object]:
    """Codes of the errors that B gets for A's task, which A then sees at work."""
    declared: dict[str, Any] = {
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    }

    async def asked(who: str, method: str, **params: Any) -> httpx.Response:
        request = modern(method, params)
        request["json"]["params"]["_meta"] |= declared
        if "taskId" in params:
            request["headers"]["mcp-name"] = params["taskId"]
        return await ask(http, url, tokens[who], request)

    made = result_of(await asked("a", "tools/call", name="wait_for_job", arguments={"job_id": job_id}))
    task_id = made["taskId"]
    codes: set[object] = set()
    for _ in range(_TRIES):
        for method in ("tasks/get", "tasks/cancel"):
            codes.add((await asked("b", method, taskId=task_id)).json().get("error", {}).get("code"))
        assert result_of(await asked("a", "tasks/get", taskId=task_id))["status"] == "working"
    return codes


async def _stream(http: httpx.AsyncClient, url: str, tokens: dict[str, str], job: Job) -> set[object]:
    """Messages that B's streams hear of A's job while all of A's are told of it."""
    heard = {(name, number): Counter[str]() for name in "ab" for number in range(_TRIES)}
    uris = {"notifications": {"resourceSubscriptions": [f"sutro://jobs/{job.job_id}"]}}
    request = modern("subscriptions/listen", uris)

    async def listen(name: str, number: int) -> None:
        headers = {**request["headers"], "Authorization": f"Bearer {tokens[name]}"}
        async with http.stream("POST", url, json=request["json"], headers=headers) as reply:
            heard[name, number]["answered"] = 1
            async for line in reply.aiter_lines():
                heard[name, number]["told"] += "resources/updated" in line

    async with anyio.create_task_group() as tasks:
        for one in heard:
            tasks.start_soon(listen, *one)
        with anyio.fail_after(60):
            while not all(one["answered"] for one in heard.values()):
                await anyio.sleep(0.05)
            await anyio.sleep(3)
            job.status = "SUCCEEDED"
            while not all(heard["a", number]["told"] for number in range(_TRIES)):
                await anyio.sleep(0.05)
        await anyio.sleep(20)  # longer than between two looks at a job
        tasks.cancel_scope.cancel()
    return {"is told" if heard["b", number]["told"] else "hears nothing" for number in range(_TRIES)}


async def _session(http: httpx.AsyncClient, url: str, tokens: dict[str, str]) -> set[object]:
    """The status of all that B does with A's session, which A can go on with."""
    session = (await ask(http, url, tokens["a"], legacy("initialize", INITIALIZE))).headers[SESSION]
    call = legacy("tools/call", {"name": "list_jobs", "arguments": {}}, session)
    own = {"Authorization": f"Bearer {tokens['b']}", "Accept": "text/event-stream", SESSION: session}
    statuses: set[object] = set()
    for number in range(_TRIES):
        call["json"]["id"] = number
        statuses.add((await ask(http, url, tokens["b"], call)).status_code)
        for method in ("GET", "DELETE"):
            statuses.add((await http.request(method, url, headers=own)).status_code)
        assert (await ask(http, url, tokens["a"], call)).is_success
        # The same id again, which may still be known as A's.
        statuses.add((await ask(http, url, tokens["b"], call)).status_code)
    return statuses


async def _state(url: str, tokens: dict[str, str], job_id: str) -> set[object]:
    """Codes of the errors that B gets for the state of A's question; A then goes on with it."""
    yes = types.ElicitResult(action="accept", content={"confirm": True})

    async def person(*_: object) -> types.ElicitResult:
        return yes

    async with (
        calling(url, tokens["a"], "auto", elicitation_callback=person) as a,
        calling(url, tokens["b"], "auto", elicitation_callback=person) as b,
    ):
        question = await _round(a, job_id)
        assert isinstance(question, types.InputRequiredResult)
        codes: set[object] = set()
        for _ in range(_TRIES):
            try:
                codes.add(f"answered: {await _round(b, job_id, yes, question.request_state)}")
            except MCPError as error:
                codes.add(error.code)
        await _round(a, job_id, yes, question.request_state)
        return codes


async def _round(
    client: Client, job_id: str, answer: types.ElicitResult | None = None, state: str | None = None
) -> object:
    return await client.session.call_tool(
        "cancel_job",
        {"job_id": job_id},
        input_responses={"consent": answer} if answer else None,
        request_state=state,
        allow_input_required=True,
    )
