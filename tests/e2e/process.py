"""A server process spoken to in JSON lines, without an SDK in between."""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

PROTOCOL_2026 = "2026-07-28"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_2026,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
}
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "0"},
}
COMMAND = (sys.executable, "-m", "sutro_mcp")


class Server:
    """Requests out, replies in; every wait is bounded."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._out = cast("ByteSendStream", process.stdin)
        self._in = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))
        self._last_id = 0

    async def send_line(self, line: str | bytes) -> None:
        """Anything at all."""
        await self.send_bytes((line.encode() if isinstance(line, str) else line) + b"\n")

    async def send_bytes(self, data: bytes) -> None:
        """Anything at all, without a line end."""
        await self._out.send(data)

    async def send(
        self, method: str, params: Mapping[str, Any] | None = None, *, modern: bool = False
    ) -> int:
        """A request; its id."""
        self._last_id += 1
        body = dict(params or {})
        if modern:
            body["_meta"] = ENVELOPE
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": body}
        await self.send_line(json.dumps(message))
        return self._last_id

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, *, modern: bool = False
    ) -> dict[str, Any]:
        """The whole reply to a request."""
        number = await self.send(method, params, modern=modern)
        while True:
            message = await self.receive()
            if message.get("id") == number:
                return message

    async def receive(self) -> dict[str, Any]:
        """The next message; every line of stdout must be one."""
        with anyio.fail_after(60):
            return json.loads(await self._in.receive_until(b"\n", 10_000_000))

    async def rest_of_stdout(self) -> bytes:
        """Output of a process that has ended, as far as it was not read."""
        stream = cast("ByteReceiveStream", self.process.stdout)
        return self._in.buffer + b"".join([chunk async for chunk in stream])

    async def log(self) -> bytes:
        """The stderr of a process that has ended."""
        return b"".join([chunk async for chunk in cast("ByteReceiveStream", self.process.stderr)])

    async def handshake(self) -> dict[str, Any]:
        """Open a 2025 connection."""
        reply = await self.ask("initialize", INITIALIZE)
        await self.send_line('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return reply["result"]

    async def close_stdin(self) -> None:
        """Leave as a host does."""
        await self._out.aclose()

    async def exit_code(self) -> int:
        """Its exit code. It takes less than 3 seconds, on a machine that is not busy with other tests."""
        with anyio.fail_after(60):
            return await self.process.wait()


@asynccontextmanager
async def server_process(
    *arguments: str, env: Mapping[str, str] | None = None, command: Sequence[str] = COMMAND
) -> AsyncGenerator[Server]:
    """A `sutro-mcp` process, gone when the block ends."""
    process = await anyio.open_process(
        [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    try:
        yield Server(process)
    finally:
        with anyio.CancelScope(shield=True):
            # Asked first: a process that ends by itself also writes down what it ran.
            with anyio.move_on_after(5):
                await cast("ByteSendStream", process.stdin).aclose()
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()
