"""Files that DuckDB reads in a process that can open nothing.

DuckDB opens a Parquet file anew for every scan. This file system answers it with descriptors that were opened
before the rights went, under names that say nothing of where the files lie.
"""

import io
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
from fsspec import AbstractFileSystem  # pyright: ignore[reportMissingTypeStubs]

SCHEME = "held"
# A descriptor has one position, and not every system reads past it.
_ONE_AT_A_TIME = threading.Lock()


def address(name: str) -> str:
    """The address by which DuckDB knows the file of this name."""
    return f"{SCHEME}://{name}"


def hold(connection: duckdb.DuckDBPyConnection, descriptors: Mapping[str, int]) -> None:
    """Let `connection` read these regular files, which have to stay open, by their names."""
    connection.register_filesystem(HeldFiles(descriptors))
    # For files that are far away: it would read all of a column of a row group at once, be it a gigabyte.
    connection.execute("SET disable_parquet_prefetching = true")


class HeldFiles(AbstractFileSystem):
    """Open files by name, to read and not to write."""

    protocol = SCHEME
    cachable = False

    def __init__(self, descriptors: Mapping[str, int]) -> None:
        """Descriptors of regular files, which have to stay open."""
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._descriptors = dict(descriptors)

    def open(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str, mode: str = "rb", **_options: Any
    ) -> "_Reader":
        """A reader of its own. Raises FileNotFoundError for an unknown name, PermissionError for writing."""
        if set(mode) - set("rb"):
            raise PermissionError("read-only")
        return _Reader(self._descriptor(path))

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        return {"name": path, "size": os.fstat(self._descriptor(path)).st_size, "type": "file"}

    def exists(self, path: str, **_options: Any) -> bool:
        return _name(path) in self._descriptors

    def isfile(self, path: str) -> bool:
        return self.exists(path)

    def glob(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str, **_options: Any
    ) -> list[str]:
        """`path` itself: no name is a pattern."""
        return [path] if self.exists(path) else []

    def modified(self, path: str) -> datetime:
        """Always the same time: a held file does not change."""
        self._descriptor(path)
        return datetime(2026, 1, 1, tzinfo=UTC)

    def _descriptor(self, path: str) -> int:
        try:
            return self._descriptors[_name(path)]
        except KeyError:
            raise FileNotFoundError("no such file is held") from None


class _Reader(io.RawIOBase):
    """One of several readers of a file, with a position for each thread: DuckDB shares readers among them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._position = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        self._position.at = start + offset
        return self._position.at

    def tell(self) -> int:
        return getattr(self._position, "at", 0)

    def read(self, size: int = -1) -> bytes:
        at = self.tell()
        with _ONE_AT_A_TIME:
            os.lseek(self._descriptor, at, os.SEEK_SET)
            found = os.read(self._descriptor, size if size >= 0 else self._size - at)
        self._position.at = at + len(found)
        return found


def _name(path: str) -> str:
    return path.removeprefix(f"{SCHEME}://")
