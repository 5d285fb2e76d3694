"""The memory that a container leaves to each child process, so that one is ended and not the whole container.

Address space says nothing of it: allocators reserve ten times what they use, and a container counts only what
was written. Where it has a limit, the private memory of each child is capped instead, and its allocators are
told to give back what is free.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sutro_mcp.errors import ConfigurationError

MIB = 1024**2
# What the server itself takes.
_SERVER = 96 * MIB
# Below, polars cannot be loaded and read a page beside the server.
LEAST = 384 * MIB
# From here on, a page need not wait for somebody's summary.
_ENOUGH_FOR_TWO = 1536 * MIB
_MOST_FOR_A_QUERY = 512 * MIB
# Version 1 says so, or a number near 2**63, where there is no limit.
_NO_LIMIT = 2**60
# A thread of polars takes memory whatever it does; jemalloc and glibc keep what was freed, for each thread,
# and the next task in the process would lack it.
_FRUGAL = {
    "POLARS_MAX_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "_RJEM_MALLOC_CONF": "narenas:1,retain:false,dirty_decay_ms:0,muzzy_decay_ms:0,tcache:false",
}


@dataclass(frozen=True)
class MemoryShares:
    """The bytes that a process of each kind may use; None where nothing limits them.

    With `one_by_one` there is one process of each kind, or two for callers who need not wait for each other.
    """

    limit: int | None = None
    reader: int | None = None
    query: int | None = None
    one_by_one: bool = False

    def __str__(self) -> str:
        if self.limit is None or self.reader is None or self.query is None:
            return "no limit on this container"
        each = "one" if self.one_by_one else "each of two"
        return (
            f"of the {self.limit // MIB} MiB that this container may use, {each} process that reads results"
            f" gets {self.reader // MIB}, and {each} for SQL {self.query // MIB}"
        )


def frugal(share: int | None) -> Mapping[str, str]:
    """Variables of a child process that may use `share` bytes."""
    return {} if share is None else _FRUGAL


def memory_shares(root: Path = Path("/")) -> MemoryShares:
    """The shares in the container that this process is in; `root` is where its files are found.

    Raises ConfigurationError for a container that is too small to read results in.
    """
    limit = min(_limits(root), default=None)
    if limit is None:
        return MemoryShares()
    if limit < LEAST:
        raise ConfigurationError(
            "read results in this container",
            f"it may use {limit // MIB} MiB of memory, and {LEAST // MIB} are the least",
            "Raise its memory limit, to 512 MiB for a person and 2 GiB for a team",
        )
    one_by_one = limit < _ENOUGH_FOR_TWO
    share = (limit - _SERVER) // (1 if one_by_one else 2)
    query = min(_MOST_FOR_A_QUERY, share * 3 // 10)
    return MemoryShares(limit, share - query, query, one_by_one)


def _limits(root: Path) -> Iterator[int]:
    """Of the groups of this process: its own and all above, in either version."""
    groups = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _in(groups, path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _in(groups / "memory", path, "memory.limit_in_bytes")


def _in(folder: Path, path: str, name: str) -> Iterator[int]:
    """A container sees its own group as the first one, whatever the path of that is outside."""
    group = Path(path.lstrip("/"))
    for each in (group, *group.parents):
        with suppress(OSError, ValueError):
            limit = int((folder / each / name).read_text())
            if limit < _NO_LIMIT:
                yield limit
