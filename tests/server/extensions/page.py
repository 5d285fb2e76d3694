"""The page of jobs in a host without a screen, over the real server: what a person sees, and what is asked."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from scripts import node_tools
from tests.support import Talk

HOST = Path(__file__).with_name("page_host.mjs")
PAGE = Path(str(files("sutro_mcp.server.extensions.jobs_view").joinpath("jobs.html")))
Message = dict[str, Any]


@dataclass
class Shown:
    """The page in its host. `calls` are the tools that it called; `told` is what else it said to the host."""

    chat: Talk
    process: Process
    lines: BufferedByteReceiveStream
    answers: bool = True
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    told: list[Message] = field(default_factory=list[Message])
    seen: dict[str, Any] = field(default_factory=dict[str, Any])
    refusal: str = ""

    @property
    def text(self) -> str:
        return self.seen["text"]

    async def do(self, command: str, value: Any = None) -> str:
        """What is shown after `command` and all the calls that it led to."""
        waiting = [(command, value)]
        while waiting:
            name, what = waiting.pop(0)
            assert self.process.stdin is not None
            await self.process.stdin.send(f"{json.dumps({name: what})}\n".encode())
            with anyio.fail_after(60):
                self.seen = json.loads(await self.lines.receive_until(b"\n", 10**7))
            assert not self.seen["failed"], self.seen["failed"]
            assert not self.seen["errors"], self.seen["errors"]
            called = [message for message in self.seen["posted"] if message.get("method") == "tools/call"]
            assert len(called) <= 1, "one call at a time"
            for message in self.seen["posted"]:
                reply = await self._reply(message)
                waiting += [("deliver", reply)] if reply else []
        return self.text

    async def _reply(self, message: Message) -> Message | None:
        if message.get("method") != "tools/call":
            self.told.append(message)
            known = "id" in message and message.get("method", "").startswith("ui/request")
            return {"jsonrpc": "2.0", "id": message["id"], "result": {}} if known else None
        name, arguments = message["params"]["name"], message["params"]["arguments"]
        self.calls.append((name, arguments))
        if self.refusal:
            error = {"code": -32000, "message": self.refusal}
            return {"jsonrpc": "2.0", "id": message["id"], "error": error}
        if not self.answers:
            return None
        return {"jsonrpc": "2.0", "id": message["id"], "result": await result_of(self.chat, name, arguments)}

    async def open(self, capabilities: dict[str, Any], **context: Any) -> None:
        """Answer the page's first message."""
        await self.do("look")
        (asked,) = self.told
        assert asked["method"] == "ui/initialize"
        result = {
            "protocolVersion": "2026-01-26",
            "hostInfo": {"name": "test", "version": "1"},
            "hostCapabilities": capabilities,
            "hostContext": {"locale": "en-US", "timeZone": "UTC", **context},
        }
        await self.do("deliver", {"jsonrpc": "2.0", "id": asked["id"], "result": result})
        assert self.told[-1]["method"] == "ui/notifications/initialized"
        self.told.clear()

    async def notify(self, topic: str, **params: Any) -> str:
        message = {"jsonrpc": "2.0", "method": f"ui/notifications/{topic}", "params": params}
        return await self.do("deliver", message)

    async def show(self, **arguments: Any) -> str:
        """Give the page what the conversation asked for, and the answer to it."""
        await self.notify("tool-input", arguments=arguments)
        return await self.notify("tool-result", **await result_of(self.chat, "show_jobs", arguments))


async def result_of(chat: Talk, tool: str, arguments: dict[str, Any]) -> Message:
    """The answer as a host passes it on."""
    result = await chat.client.call_tool(tool, arguments)
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


@asynccontextmanager
async def page_of(chat: Talk) -> AsyncGenerator[Shown]:
    """The page, before its host has said anything."""
    packages = await anyio.to_thread.run_sync(node_tools.packages)
    node = str(node_tools.NODE / "bin" / "node")
    command = [node, str(HOST), str(packages / "node_modules"), str(PAGE)]
    async with await anyio.open_process(command, stderr=DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield Shown(chat, process, BufferedByteReceiveStream(process.stdout))
        finally:
            process.kill()
