"""The audit log: a line of JSON, with the caller in it, for each cancellation and each refused caller.

A line is written before what it tells of is done, so that what was done is always there to be read. One that
cannot be written raises AuditError, and then nothing is done.
"""

import json
import logging
import os
import stat
import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from sutro_mcp.errors import AuditError
from sutro_mcp.redaction import redact_line
from sutro_mcp.server.context import Principal, current_principal

logger = logging.getLogger(__name__)

# The reader of a pipe may have stopped reading, and a file may be on a server that is gone.
_PATIENCE_SECONDS = 5.0
_STDOUT = 1


class Audit:
    """Appends to a file, to stdout, or nowhere: then it only counts."""

    def __init__(self, file: Path | None, *, to_stdout: bool = False) -> None:
        """`file` is made where there is none, readable by its owner alone. It may be moved away meanwhile."""
        self._file = file
        self._writes = to_stdout or file is not None
        self._turn = anyio.CapacityLimiter(1)
        self._lock = threading.Lock()
        self.counts = Counter[tuple[str, str]]()
        """How often each event had each outcome."""

    async def record(
        self, doing: str, event: str, outcome: str, caller: Principal | None = None, **fields: Any
    ) -> None:
        """Write a line about `caller` (default: the current one); `doing` completes "Cannot …".

        Raises AuditError when it cannot be written within 5 seconds, and at once while an earlier line that
        could not is still under way. A caller that goes away meanwhile is written down all the same.
        """
        if self._writes:
            line = _line(event, outcome, caller or current_principal(), fields)
            try:
                with anyio.fail_after(_PATIENCE_SECONDS, shield=True):
                    await anyio.to_thread.run_sync(
                        self._write, line, abandon_on_cancel=True, limiter=self._turn
                    )
            except TimeoutError:
                raise _unwritable(doing, "nothing takes it") from None
            except OSError as error:
                raise _unwritable(doing, os.strerror(error.errno or 0).lower()) from error
        self.counts[event, outcome] += 1

    async def record_if_possible(self, event: str, outcome: str, **fields: Any) -> None:
        """Write a line about what has happened already: where that fails, the ordinary log has it."""
        try:
            await self.record("go on", event, outcome, **fields)
        except AuditError as error:
            logger.error("%s The line was: %s %s %s", error, event, outcome, fields)

    def _write(self, line: bytes) -> None:
        """The whole line, on the disk. Raises OSError: TimeoutError while an earlier one is stalled."""
        if not self._lock.acquire(blocking=False):
            # Not waited for: nothing would ever end the threads that do.
            raise TimeoutError
        try:
            if self._file is None:
                _write_all(_STDOUT, line)
            else:
                _append(self._file, line)
        finally:
            self._lock.release()


def _append(file: Path, line: bytes) -> None:
    """Add a whole line to a file, or nothing, also after a line that was torn as a machine went down."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(file, flags, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            _write_all(descriptor, line)
        elif _ends_a_line(file):
            _write_all(descriptor, line, found.st_size)
        else:
            _write_all(descriptor, b"\n" + line, found.st_size)
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _ends_a_line(file: Path) -> bool:
    """Whether the next line can follow. Yes where that cannot be seen: a file may be for writing alone."""
    with suppress(OSError), file.open("rb") as opened:
        opened.seek(-1, os.SEEK_END)  # OSError, if it is empty
        return opened.read() == b"\n"
    return True


def _write_all(descriptor: int, line: bytes, size: int | None = None) -> None:
    """Write the line. In a file of `size` bytes it is on the disk then, or not at all. Raises OSError."""
    rest = line
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if size is not None:
            os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            # Not where another process has written behind it.
            if size is not None and os.fstat(descriptor).st_size == size + len(line) - len(rest):
                os.ftruncate(descriptor, size)
        raise


def _line(event: str, outcome: str, caller: Principal, fields: dict[str, Any]) -> bytes:
    known = {
        "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "outcome": outcome,
        "principal": caller.id,
        "label": caller.label,
        "issuer": caller.issuer,
        "client_id": caller.client_id,
        "token_id": caller.token_id,
        **fields,
    }
    shown = {name: redact_line(str(value)) for name, value in known.items() if value is not None}
    return json.dumps(shown).encode() + b"\n"


def _unwritable(doing: str, why: str) -> AuditError:
    return AuditError(
        doing,
        f"the audit log cannot be written ({why}), and without it nothing is done",
        "Tell whoever runs this server; calling again helps only when that is mended",
    )
