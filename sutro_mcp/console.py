"""stdout and stderr of a command. Only this module prints, and it notices when that fails."""

import os
import sys
from typing import TextIO

from sutro_mcp.redaction import redact_line

# As a shell reports a process that SIGPIPE ended: its reader had all it wanted, as `head` does.
_READER_LEFT = 141


class OutputLostError(Exception):
    """stdout takes no more; the cause says why."""


def say(text: str) -> None:
    """Write a line to stdout, now. Raises OutputLostError."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - it is where the shell closed it
        raise OutputLostError("stdout is closed")
    try:
        print(text, flush=True)
    except OSError as error:
        raise OutputLostError(error.strerror) from error


def tell(text: str) -> None:
    """Write a line for people to stderr, without secrets. Nothing is raised where that fails."""
    try:
        print(redact_line(text), file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def reserve_closed_streams() -> None:
    """Keep the descriptors 0 to 2 from files and sockets, which stray words would be written to."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        # Otherwise `print(file=sys.stderr)` means stdout.
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - open as long as the process lives


def give_up_stdout(error: OutputLostError) -> int:
    """Say why output was lost; the exit code."""
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]
        _drop(sys.stdout)
    if isinstance(error.__cause__, BrokenPipeError):
        return _READER_LEFT
    tell(f"Cannot write the output: {error}.")
    return 1


def _drop(stream: TextIO) -> None:
    # Otherwise the interpreter writes at its end what is left, fails, and says so.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
