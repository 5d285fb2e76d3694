"""Callers of a team's server in both eras, one call after the other, all of them counted."""

import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

ERAS = {"2025": "legacy", "2026": "auto"}


@asynccontextmanager
async def calling(url: str, token: str, mode: str, **options: Any) -> AsyncGenerator[Client]:
    """A client of the SDK with a bearer token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


@dataclass
class Tally:
    """How calls went, in the order of their ends."""

    seconds: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of calls stays under."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


async def ask(http: httpx.AsyncClient, url: str, token: str, request: Mapping[str, Any]) -> httpx.Response:
    """The answer to a request of `legacy` or `modern`, raw: cheaper than a client of the SDK."""
    headers = {**request["headers"], "Authorization": f"Bearer {token}"}
    return await http.post(url, json=request["json"], headers=headers)


async def keep_asking(
    url: str, token: str, request: Mapping[str, Any], tally: Tally, until: anyio.Event, pause: float = 0
) -> None:
    """Send one request again and again until told to stop."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        while not until.is_set():
            began = time.perf_counter()
            reply = await ask(http, url, token, request)
            if reply.is_success and '"isError":true' not in reply.text and '"result"' in reply.text:
                tally.seconds.append(time.perf_counter() - began)
            else:
                tally.failures.append(f"{reply.status_code} {reply.text}"[:300])
            if pause:
                with anyio.move_on_after(pause):
                    await until.wait()


async def keep_calling(
    url: str, token: str, mode: str, tool: str, arguments: dict[str, object], tally: Tally, until: anyio.Event
) -> None:
    """Call until told to stop; a client that broke is replaced, as a host would do it."""
    while not until.is_set():
        try:
            async with calling(url, token, mode) as client:
                while not until.is_set():
                    began = time.perf_counter()
                    answer = await client.call_tool(tool, arguments)
                    if answer.is_error:
                        tally.failures.append(str(answer.content)[:200])
                    else:
                        tally.seconds.append(time.perf_counter() - began)
        except Exception as error:  # each is a failed call, whatever it is
            tally.failures.append(_last_line(error)[:200])
            await anyio.sleep(0.05)


def _last_line(error: Exception) -> str:
    """The innermost error of a group, which is the last one that its traceback names."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return next(text for line in reversed(lines) if (text := line.strip(" |+-")))


async def under_load(
    callers: Sequence[Callable[[anyio.Event], Coroutine[Any, Any, None]]], work: Callable[[], Awaitable[None]]
) -> None:
    """Do `work` while `callers` call."""
    until = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for caller in callers:
            tasks.start_soon(caller, until)
        await work()
        until.set()
