"""A child process and the server's end of the pipes to it.

Its environment holds no secret. What it says is believed to be no more than JSON of a bounded size.
"""

import os
import signal
import sys
from contextlib import suppress
from subprocess import DEVNULL, PIPE
from typing import Literal, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from .memory_shares import frugal
from .protocol import HEAD, framed

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

Kind = Literal["reader", "query"]


class Child:
    """One process of `sutro_mcp.results.worker_main`, and the conversation with it."""

    def __init__(self, process: Process, *, leads_group: bool) -> None:
        self._process = process
        self._leads_group = leads_group
        self._requests = cast("ByteSendStream", process.stdin)
        self._replies = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))

    @classmethod
    async def start(cls, kind: Kind, share: int | None = None) -> "Child":
        """Start a process, which may use `share` bytes of memory.

        One for a query ends with all that it started, and prints nowhere.
        """
        is_query = kind == "query"
        arguments = [kind] if share is None else [kind, str(share)]
        process = await anyio.open_process(
            [sys.executable, "-E", "-P", "-m", "sutro_mcp.results.worker_main", *arguments],
            stdin=PIPE,
            stdout=PIPE,
            # A panic prints what it met, which may be a cell: not for a log.
            stderr=DEVNULL if is_query else None,
            env={**_environment(), **frugal(share)},
            start_new_session=is_query,
        )
        return cls(process, leads_group=is_query and hasattr(os, "killpg"))

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def send(self, raw: bytes) -> None:
        """Send one message. Raises one of BROKEN."""
        await self._requests.send(framed(raw))

    async def receive(self) -> bytes:
        """The next message. Raises one of BROKEN."""
        (size,) = HEAD.unpack(await self._replies.receive_exactly(HEAD.size))
        if size > _MAX_REPLY:
            raise ValueError("oversized reply")
        return await self._replies.receive_exactly(size)

    async def end(self, patience: float = 0) -> str:
        """Kill it after `patience` seconds, in which a dying one can tell why; how it ended."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(patience):
                await self._process.wait()
            with suppress(ProcessLookupError):
                if self._leads_group:
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
            await self._process.aclose()
        code = self._process.returncode
        if code is None:
            return "unknown reason"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Memory grows with threads; four are enough to decode as fast as a disk reads.
    return {**kept, "POLARS_MAX_THREADS": str(min(4, os.cpu_count() or 1))}
