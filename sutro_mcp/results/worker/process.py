"""A child process that is spoken to in frames: four bytes of length, then JSON.

Its environment holds no secret. What it says is believed to be no more than JSON of a bounded size.
"""

import json
import os
import signal
import struct
import sys
from contextlib import suppress
from subprocess import DEVNULL, PIPE
from typing import Any, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from sutro_mcp import errors

# Its end, a pipe that broke or was closed, and a reply that is none.
BROKEN = (
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


class Child:
    """One process, and the conversation with it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._requests = cast("ByteSendStream", process.stdin)
        self._replies = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))

    @classmethod
    async def start(cls, module: str, *, is_alone: bool = False) -> "Child":
        """`python -m module`. One that is alone leads a process group and prints nowhere."""
        process = await anyio.open_process(
            [sys.executable, "-E", "-P", "-m", module],
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL if is_alone else None,
            env=_environment(),
            start_new_session=is_alone,
        )
        return cls(process)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def send(self, raw: bytes) -> None:
        """One frame. Raises one of BROKEN."""
        await self._requests.send(struct.pack(">I", len(raw)) + raw)

    async def receive(self) -> dict[str, Any]:
        """The next frame. Raises one of BROKEN."""
        (size,) = struct.unpack(">I", await self._replies.receive_exactly(4))
        if size > _MAX_REPLY:
            raise ValueError("oversized reply")
        return json.loads(await self._replies.receive_exactly(size))

    async def end(self, patience: float = 0, *, whole_group: bool = False) -> str:
        """Kill it after `patience` seconds, in which a dying one can tell why; how it ended."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(patience):
                await self._process.wait()
            with suppress(ProcessLookupError):
                if whole_group:
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
            await self._process.aclose()
        code = self._process.returncode
        if code is None:
            return "unknown reason"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def answer_of(reply: dict[str, Any], failed: errors.WorkerError) -> Any:
    """The answer in a reply. Raises the error that it holds, or `failed` when the process met a bug.

    A process that stopped because it no longer finds its file is an ArtifactChangedError.
    """
    if "answer" in reply:
        return reply["answer"]
    if "stopped" in reply:
        raise errors.ArtifactChangedError(failed.doing, "they were replaced on disk meanwhile", "Call again")
    if "error" in reply:
        kind = cast("type[errors.SutroError]", getattr(errors, reply["error"]["type"]))
        raise kind(*reply["error"]["parts"])
    raise errors.WorkerError(failed.doing, f"{failed.happened} ({reply['crash']})", failed.next_step)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Memory grows with threads; four are enough to decode as fast as a disk reads.
    return {**kept, "POLARS_MAX_THREADS": str(min(4, os.cpu_count() or 1))}
