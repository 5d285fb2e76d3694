"""Whether anything of one caller reaches another: by what they hold, and by what the server keeps."""

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import httpx
from mcp import Client, MCPError, types

from tests.e2e.http_process import legacy, modern

from .callers import ask, calling
from .stack import Team, team
from .table import Row

_TENANTS, _CALLS_EACH = 200, 50


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
                    text = (await ask(http, self._url, self._token, request)).text
                seen["answered"] += 1
                if text.count("canary") != text.count(self.canary) or self.canary not in text:
                    wrong.append(text[:200])


async def borrowed(folder: Path) -> list[Row]:
    """D9: what A holds, used by B."""
    found: dict[str, str] = {}
    async with team(folder) as served:
        tokens = {name: served.access.add(name, served.sutro.add(f"key-of-{name}").api_key) for name in "ab"}
        account = served.sutro.accounts["key-of-a"]
        job_id = account.add_job(name="only-a-has-it", status="RUNNING", num_rows=10)
        found["the state of a's question"] = str(await _state(served.url, tokens, job_id))
        async with calling(served.url, tokens["b"], "auto") as client:
            for tool in ("get_job", "wait_for_job", "get_job_results", "cancel_job"):
                answer = await client.call_tool(tool, {"job_id": job_id})
                found[tool] = "refused" if answer.is_error else "answered"
        found["a's job"] = account.job(job_id).status
    text = "; ".join(f"{what}: {how}" for what, how in found.items())
    holds = set(found.values()) == {"-32602", "refused", "CANCELLING"}
    return [Row("D9", "what A holds, used by B", "-32602, or B's own view", text, holds)]


async def _state(url: str, tokens: dict[str, str], job_id: str) -> int | str:
    """The code of the error that B gets for the state of A's question; A then goes on with it."""
    yes = types.ElicitResult(action="accept", content={"confirm": True})

    async def person(*_: object) -> types.ElicitResult:
        return yes

    async with (
        calling(url, tokens["a"], "auto", elicitation_callback=person) as a,
        calling(url, tokens["b"], "auto", elicitation_callback=person) as b,
    ):
        question = await _round(a, job_id)
        assert isinstance(question, types.InputRequiredResult)
        try:
            code: int | str = f"answered: {await _round(b, job_id, yes, question.request_state)}"
        except MCPError as error:
            code = error.code
        await _round(a, job_id, yes, question.request_state)
        return code


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
