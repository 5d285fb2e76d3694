"""Files that DuckDB reads in a process that can open nothing.

DuckDB opens a Parquet file anew for every scan. This file system answers it with descriptors that were opened
before the rights went, under names that say nothing of where the files lie. One more of them can be there to
be written.
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
OUTPUT_FILE = "output"


def address(name: str) -> str:
    """The address by which DuckDB knows the file of this name."""
    return f"{SCHEME}://{name}"


def hold(
    connection: duckdb.DuckDBPyConnection, descriptors: Mapping[str, int], output: "Output | None" = None
) -> None:
    """Let `connection` read these regular files, which have to stay open, by their names.

    With an `output` there is one more file, OUTPUT_FILE, to write into.
    """
    connection.register_filesystem(HeldFiles(descriptors, output))
    # For files that are far away: it would read all of a column of a row group at once, be it a gigabyte.
    connection.execute("SET disable_parquet_prefetching = true")


class HeldFiles(AbstractFileSystem):
    """Open files by name, to read and not to write, but for OUTPUT_FILE."""

    protocol = SCHEME
    cachable = False

    def __init__(self, descriptors: Mapping[str, int], output: "Output | None" = None) -> None:
        """Descriptors of regular files, which have to stay open."""
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._descriptors = dict(descriptors)
        self._output = output

    def open(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str, mode: str = "rb", **_options: Any
    ) -> io.RawIOBase:
        """A reader of its own, or the output.

        Raises FileNotFoundError for an unknown name, PermissionError for writing elsewhere.
        """
        if self._output is not None and mode == "wb" and _name(path) == OUTPUT_FILE:
            return self._output.emptied()
        if set(mode) - set("rb"):
            raise PermissionError("read-only")
        return _Reader(self._descriptor(path))

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        return {"name": path, "size": os.fstat(self._descriptor(path)).st_size, "type": "file"}

    def glob(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str, **_options: Any
    ) -> list[str]:
        """`path` itself: no name is a pattern."""
        return [path] if _name(path) in self._descriptors else []

    def modified(self, path: str) -> datetime:
        """Always the same time: a held file does not change."""
        self._descriptor(path)
        return datetime(2026, 1, 1, tzinfo=UTC)

    def _descriptor(self, path: str) -> int:
        try:
            return self._descriptors[_name(path)]
        except KeyError:
            raise FileNotFoundError("no such file is held") from None


class Output(io.RawIOBase):
    """A file that is written from its start; `failure` says why the last attempt could not go on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def emptied(self) -> "Output":
        """The same, without what an earlier attempt has written."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return self

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            self.failure = error
            raise

    def close(self) -> None:
        """Nothing: the descriptor has to stay open for the next attempt."""


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
            found = os.read(self._descriptor, size if size >= 0 else self._size)
        self._position.at = at + len(found)
        return found


def _name(path: str) -> str:
    return path.removeprefix(f"{SCHEME}://")
