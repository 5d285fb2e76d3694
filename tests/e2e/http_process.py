"""A server process spoken to over HTTP, in raw requests of both protocol eras."""

import json
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import anyio
import httpx
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from .process import COMMAND, ENVELOPE, INITIALIZE, PROTOCOL_2026

SESSION = "mcp-session-id"


@dataclass
class HttpProcess:
    """The process, the URLs it announced, and what came on stderr after that."""

    process: Process
    url: str
    admin_url: str
    client: httpx.AsyncClient
    _stderr: BufferedByteReceiveStream

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/mcp")

    async def next_line(self) -> str:
        """The next line of stderr."""
        with anyio.fail_after(60):
            return (await self._stderr.receive_until(b"\n", 10_000)).decode()

    async def keep_reading(self) -> None:
        """Read stderr until cancelled, for `log`: a process whose full pipe nobody reads stands still."""
        await self._stderr.receive_until(b"\0", 100_000_000)

    async def log(self) -> str:
        """What has come on stderr since the URL."""
        with anyio.move_on_after(0.05):
            await self.keep_reading()
        return self._stderr.buffer.decode()

    async def exit_code(self) -> int:
        """Its exit code. It takes less than 4 seconds, on a machine that is not busy with other tests."""
        with anyio.fail_after(60):
            return await self.process.wait()

    async def output(self) -> tuple[bytes, bytes]:
        """The stdout of a process that has ended, and its stderr since it announced itself."""
        stdout = b"".join([chunk async for chunk in cast("ByteReceiveStream", self.process.stdout)])
        rest = self._stderr.buffer
        return stdout, rest + b"".join([c async for c in cast("ByteReceiveStream", self.process.stderr)])

    async def open_session(self) -> str:
        """The id of a new 2025 session."""
        reply = await self.client.post(self.url, **legacy("initialize", INITIALIZE))
        session = reply.headers[SESSION]
        done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await self.client.post(self.url, json=done, headers={**_ACCEPT, SESSION: session})
        return session


_ACCEPT = {"accept": "application/json, text/event-stream"}


def legacy(method: str, params: Mapping[str, Any], session: str = "") -> dict[str, Any]:
    """A request of the 2025 era, as keyword arguments of httpx."""
    return {
        "json": {"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
        "headers": _ACCEPT | ({SESSION: session} if session else {}),
    }


def modern(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A request of the 2026 era."""
    headers = {**_ACCEPT, "mcp-protocol-version": PROTOCOL_2026, "mcp-method": method}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": ENVELOPE}}
    return {"json": body, "headers": headers}


def result_of(reply: httpx.Response) -> dict[str, Any]:
    """The JSON-RPC result, whether it came as JSON or as the last event of a stream."""
    text = reply.text
    if reply.headers["content-type"].startswith("text/event-stream"):
        text = next(
            line.removeprefix("data: ") for line in reversed(text.splitlines()) if line.startswith("data: {")
        )
    return json.loads(text)["result"]


@asynccontextmanager
async def http_process(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    command: tuple[str, ...] = (*COMMAND, "serve", "--transport", "http", "--port", "0"),
) -> AsyncGenerator[HttpProcess]:
    """`sutro-mcp serve --transport http` on a free port, gone when the block ends."""
    process = await anyio.open_process(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    )
    stderr = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stderr))
    try:
        url = line = ""
        with anyio.fail_after(60):
            while not url:
                line = (await stderr.receive_until(b"\n", 10_000)).decode()
                url = line.partition("Serving MCP at ")[2].split(". ")[0]
        admin_url = line.partition("metrics are at ")[2].split(". ")[0]
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            yield HttpProcess(process, url, admin_url, client, stderr)
    finally:
        with anyio.CancelScope(shield=True):
            # Asked first: a process that ends by itself also writes down what it ran.
            if process.returncode is None:
                process.terminate()
            with anyio.move_on_after(5):
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()
