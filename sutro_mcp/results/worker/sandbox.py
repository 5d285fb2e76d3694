"""The sandbox of a process: limits that it puts on itself, so that what runs in it may be hostile.

Afterwards it can open no file and no socket, write to nothing but the pipes it has and one file that was
opened for it, start no thread and no program, and has caps on memory, processor time and the size of that
file. Proven on Linux; a system that does not accept every limit is refused.
"""

import importlib.util
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from sutro_mcp.errors import ConfigurationError

# More than what starting took.
_MEMORY = 4 * 1024**3
# More than what loading took: DuckDB's own limit (256 MB) is not over what its functions allocate themselves.
_QUERY_MEMORY = 512 * 1024**2
_NOBODY = 65534
# Fields of statm: address space, and what of it is private and may be written.
_ALL, _DATA = 0, 5
_PARENT_POLL_SECONDS = 1.0


def cap_memory(share: int | None = None) -> None:
    """Let this process end rather than use up the machine, where the system knows how much it has.

    A file of some kilobytes can unpack into any size. Should memory run out all the same, the system ends
    this process first, and not the server. `share`: the bytes that a container leaves to this process.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = _address_space() + _MEMORY
        resource.setrlimit(
            resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
        )
        if share is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            least = share if hard == resource.RLIM_INFINITY else min(share, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (least, least))


def duckdb_memory(most_mib: int) -> str:
    """The `memory_limit` of a connection: less than `most_mib` where this process may not use as much.

    DuckDB then says what it lacks; an allocation that fails elsewhere ends the process.
    """
    with suppress(ImportError, OSError):
        import resource

        share, _ = resource.getrlimit(resource.RLIMIT_DATA)
        if share != resource.RLIM_INFINITY:
            left = share - _pages(_DATA) * resource.getpagesize()
            most_mib = min(most_mib, max(left * 3 // 4 // 1024**2, 16))
    return f"{most_mib}MB"


def end_with_parent() -> None:
    """End this process soon after its parent: a server that was killed cannot say so to one that works."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(_PARENT_POLL_SECONDS)
    os._exit(1)


def apply_limits(cpu_seconds: int, file_bytes: int = 0) -> None:
    """Lower every limit of this process for good: a file that it holds may grow to `file_bytes`.

    The server's clock ends the process earlier than `cpu_seconds`, which hold when the server is gone.
    Raises ConfigurationError where a limit cannot be lowered.
    """
    try:
        import resource

        # No limit on processes binds root. Where root cannot become nobody, the other limits still hold.
        if os.geteuid() == 0:
            with suppress(OSError):
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
        used = resource.getrusage(resource.RUSAGE_SELF)
        limits = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: file_bytes,
            resource.RLIMIT_NPROC: 0,
            resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime) + cpu_seconds,
            resource.RLIMIT_AS: _address_space() + _QUERY_MEMORY,
            # Last: from here on nothing can be opened, by whatever name.
            resource.RLIMIT_NOFILE: 0,
        }
        for limit, value in limits.items():
            _, hard = resource.getrlimit(limit)
            least = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (least, least))
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise _no_sandbox() from error
    if _can_open():
        raise _no_sandbox()


def has_sandbox() -> bool:
    """Whether this is a system on which a process can limit itself so."""
    return sys.platform == "linux" and importlib.util.find_spec("resource") is not None


def check_platform() -> None:
    """Raises ConfigurationError where a process cannot limit itself."""
    if not has_sandbox():
        raise _no_sandbox()


def _no_sandbox() -> ConfigurationError:
    """SQL outside a sandbox could read any file of the user who runs the server."""
    return ConfigurationError(
        "run SQL on this machine",
        "a process without rights, in which alone it is safe, can be made on Linux only",
        "Use get_job_results instead, or set SUTRO_MCP_SQL=lock for DuckDB's own lock alone, if your account "
        "and the model are trusted with that",
    )


def _address_space() -> int:
    import resource

    return _pages(_ALL) * resource.getpagesize()


def _pages(field: int) -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[field])


def _can_open() -> bool:
    try:
        for end in os.pipe():
            os.close(end)
    except OSError:
        return False
    return True
