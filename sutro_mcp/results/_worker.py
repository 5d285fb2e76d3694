"""Supervises the one worker process: starts it when needed, kills it on cancellation, deadline or nonsense.

polars answers hostile files and memory exhaustion with SIGABRT, SIGSEGV or a panic, and importing it costs
every start-up half a second of CPU; so it lives in a process of its own, with an environment that holds no
secret. A dead worker is an error for the call that met it and nothing to the next one.
"""

import json
import os
import struct
import sys
from contextlib import suppress
from subprocess import PIPE
from typing import Any, TypeVar, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import BaseModel

from sutro_mcp import errors

Answer = TypeVar("Answer", bound=BaseModel)

# Its end, a pipe that broke or was closed, and a reply that is none.
_BROKEN = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,
    ValueError,
)
_MAX_REPLY = 16 * 1024 * 1024
# What a child needs to find its libraries and temporary files; never the key.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")


class Worker:
    """Runs tasks one after another in a child process. Close it with `aclose`."""

    def __init__(self, deadline: float = 120.0) -> None:
        """`deadline` is the longest a single task may take, in seconds."""
        self._deadline = deadline
        self._turn = anyio.Lock()
        self._process: Process | None = None
        self._replies: BufferedByteReceiveStream | None = None

    async def run(self, task: str, request: BaseModel, answer: type[Answer], doing: str) -> Answer:
        """The answer to `request`. Raises what the task raises, or WorkerError when the worker fails."""
        raw = json.dumps({"task": task, "request": request.model_dump_json()}).encode()
        async with self._turn:
            try:
                with anyio.fail_after(self._deadline):
                    reply = await self._exchange(raw)
            except TimeoutError:
                await self._stop()
                raise _failed(doing, f"it took more than {self._deadline:g} seconds") from None
            except _BROKEN:
                code = await self._stop(patience=1)
                raise _failed(doing, f"the process that reads results stopped ({_reason(code)})") from None
            except BaseException:
                # Cancelled half way: the pipe holds half a conversation.
                await self._stop()
                raise
        if "answer" in reply:
            return answer.model_validate(reply["answer"])
        if "error" in reply:
            kind = cast("type[errors.SutroError]", getattr(errors, reply["error"]["type"]))
            raise kind(*reply["error"]["parts"])
        raise _failed(doing, f"the process that reads results failed ({reply['crash']})")

    async def aclose(self) -> None:
        """Stop the process, if any."""
        await self._stop()

    async def _exchange(self, raw: bytes) -> dict[str, Any]:
        requests, replies = await self._running()
        await requests.send(struct.pack(">I", len(raw)) + raw)
        (size,) = struct.unpack(">I", await replies.receive_exactly(4))
        if size > _MAX_REPLY:
            raise ValueError("oversized reply")
        return json.loads(await replies.receive_exactly(size))

    async def _running(self) -> tuple[ByteSendStream, BufferedByteReceiveStream]:
        if self._process is not None and self._process.returncode is not None:
            await self._stop()
        if self._process is None:
            self._process = await anyio.open_process(
                [sys.executable, "-E", "-P", "-m", "sutro_mcp.results"],
                stdin=PIPE,
                stdout=PIPE,
                stderr=None,
                env=_environment(),
            )
            self._replies = BufferedByteReceiveStream(cast("ByteReceiveStream", self._process.stdout))
        return cast("ByteSendStream", self._process.stdin), cast("BufferedByteReceiveStream", self._replies)

    async def _stop(self, patience: float = 0) -> int | None:
        """Kill the process after `patience` seconds, in which a dying one can tell why; its exit code."""
        process, self._process, self._replies = self._process, None, None
        if process is None:
            return None
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(patience):
                await process.wait()
            with suppress(ProcessLookupError):
                process.kill()
            await process.aclose()
            return process.returncode


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Memory grows with threads; four are enough to decode as fast as a disk reads.
    return {**kept, "POLARS_MAX_THREADS": str(min(4, os.cpu_count() or 1))}


def _reason(code: int | None) -> str:
    if code is None:
        return "unknown reason"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _failed(doing: str, happened: str) -> errors.WorkerError:
    return errors.WorkerError(
        doing,
        happened,
        "Nothing was lost: try a smaller page or fewer columns; if it stays, the results may be damaged",
    )
