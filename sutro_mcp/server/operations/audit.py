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
        self._lock = threading.Lock()
        self.counts = Counter[tuple[str, str]]()
        """How often each event had each outcome."""

    async def record(
        self, doing: str, event: str, outcome: str, caller: Principal | None = None, **fields: Any
    ) -> None:
        """Write a line about `caller` (default: the current one); `doing` completes "Cannot …".

        Raises AuditError when it cannot be written within 5 seconds.
        """
        if self._writes:
            line = _line(event, outcome, caller or current_principal(), fields)
            try:
                with anyio.fail_after(_PATIENCE_SECONDS):
                    await anyio.to_thread.run_sync(self._write, line, abandon_on_cancel=True)
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
        """The whole line, on the disk. Raises OSError."""
        with self._lock:
            if self._file is None:
                _write_all(_STDOUT, line)
                return
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            descriptor = os.open(self._file, flags, 0o600)
            try:
                _write_all(descriptor, line)
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    os.fsync(descriptor)
            finally:
                with suppress(OSError):
                    os.close(descriptor)


def _write_all(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


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
