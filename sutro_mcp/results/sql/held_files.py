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

from fsspec import AbstractFileSystem  # pyright: ignore[reportMissingTypeStubs]

SCHEME = "held"
# A descriptor has one position, and not every system reads past it.
_ONE_AT_A_TIME = threading.Lock()


def address(name: str) -> str:
    """The address by which DuckDB knows the file of this name."""
    return f"{SCHEME}://{name}"


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
    """A position of its own in a file that others read, too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        with _ONE_AT_A_TIME:
            os.lseek(self._descriptor, self._at, os.SEEK_SET)
            found = os.read(self._descriptor, size if size >= 0 else self._size - self._at)
        self._at += len(found)
        return found


def _name(path: str) -> str:
    return path.removeprefix(f"{SCHEME}://")
