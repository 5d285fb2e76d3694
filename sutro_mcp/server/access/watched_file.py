"""Small files that an operator changes while the server runs."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from sutro_mcp.file_access import is_writable_by_others, read_regular

logger = logging.getLogger(__name__)
T = TypeVar("T")

_LOOK_SECONDS = 1.0


class WatchedFile(Generic[T]):
    """The content of a file, read again soon after it has changed. It may be a link: mounted secrets are."""

    def __init__(
        self, path: Path, parse: Callable[[str], T], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path.expanduser()
        self._parse = parse
        self._now = now
        self._looked = float("-inf")
        self._warned = False
        self._known: tuple[tuple[int, ...], T] | None = None

    def value(self) -> T:
        """Raises OSError or ValueError while it cannot be read, or `parse` refuses it."""
        if self._known is None or self._now() - self._looked >= _LOOK_SECONDS:
            known, self._known = self._known, None
            found = self._path.stat()
            if is_writable_by_others(found) and not self._warned:
                self._warned = True
                logger.warning(
                    "%s can be changed by other users: remove their rights (chmod go-w)", self._path
                )
            stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
            if known is None or known[0] != stamp:
                known = stamp, self._parse(read_regular(self._path.resolve()).decode())
            self._known = known
            self._looked = self._now()
        return self._known[1]


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be used, without a word of what is in it."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    return os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
