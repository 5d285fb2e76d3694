"""The file a download grows in: private, checked for being whole, and published in one step."""

import os
import re
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import anyio

from sutro_mcp.errors import ConfigurationError, IncompleteReplyError, UnexpectedReplyError

Format = Literal["parquet", "json", "csv"]
OnBytes = Callable[[int, int | None], None]
"""Called with the bytes that have come and the total, if it is known."""

_BUFFER = 1024 * 1024
# An end-of-central-directory record with the longest comment.
_ZIP_TAIL = 22 + 65535
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]+"')


def strong_etag(value: str | None) -> str | None:
    """`value`, if it is an entity tag that only the very same bytes have."""
    return value if value and _STRONG_ETAG.fullmatch(value) else None


class PartFile:
    """Bytes as they arrive, in a file that only its owner can read.

    A resumable one keeps the strong entity tag of what it holds in a second file beside it, as the official
    SDK does, so that a later process can go on where this one stopped.
    """

    def __init__(
        self, path: Path, doing: str, on_bytes: OnBytes | None = None, *, resumable: bool = False
    ) -> None:
        """A fresh file at `path`, or with `resumable` whatever an earlier process left there."""
        self._on_bytes = on_bytes
        self.path = path
        self._doing = doing
        self._etag_path = path.with_name(path.name + ".etag") if resumable else None
        self._etag: str | None = None
        with self._disk():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=resumable)
            path.chmod(0o600)
            self._file = path.open("r+b", buffering=_BUFFER)
            self.size = self._file.seek(0, os.SEEK_END)
        if self.size:
            self._etag = self._stored_etag()
            if self._etag is None:
                self.restart()

    @classmethod
    def fresh(cls, directory: Path, doing: str, on_bytes: OnBytes | None = None) -> "PartFile":
        """A file with a name of our own in `directory`."""
        return cls(directory / f"{secrets.token_hex(8)}.part", doing, on_bytes)

    @property
    def etag(self) -> str | None:
        """The strong entity tag of what the bytes belong to; without one they cannot be continued."""
        return self._etag

    def restart(self, etag: str | None = None) -> None:
        """Forgets all bytes; what follows belongs to `etag`."""
        self.cut(0)
        self._etag = strong_etag(etag)
        if self._etag_path:
            with self._disk():
                if self._etag:
                    self._etag_path.write_text(self._etag)
                else:
                    self._etag_path.unlink(missing_ok=True)

    def cut(self, size: int) -> None:
        """Keeps the first `size` bytes."""
        with self._disk():
            self._file.seek(size)
            self._file.truncate()
        self.size = size

    def write(self, data: bytes, total: int | None) -> None:
        """Appends; `total` is how many bytes there will be, if that is known."""
        with self._disk():
            self._file.write(data)
        self.size += len(data)
        if self._on_bytes:
            self._on_bytes(self.size, total)

    def recognise(self) -> Format:
        """Tell the format of the bytes by their first and last ones. Raises if unknown, or not whole."""
        with self._disk():
            self._file.seek(0)
            head = self._file.read(64)
            self._file.seek(max(self.size - _ZIP_TAIL, 0))
            tail = self._file.read()
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if head.startswith(b"PAR1"):
            found, whole = "parquet", self.size >= 12 and tail.endswith(b"PAR1")
        elif head.startswith(b"PK\x03\x04"):
            found, whole = "csv", b"PK\x05\x06" in tail
        elif start in (b"{", b"["):
            found, whole = "json", tail.rstrip().endswith(b"}" if start == b"{" else b"]")
        elif start == b"<":
            raise UnexpectedReplyError(self._doing, "a web page or XML document came instead of results")
        else:
            raise UnexpectedReplyError(self._doing, "what came is neither Parquet nor JSON nor a ZIP archive")
        if not whole:
            raise IncompleteReplyError(self._doing, f"the {found} file that came is not whole")
        return found

    async def publish(self, destination: Path) -> None:
        """Makes the bytes durable and gives them their final name, replacing what is there."""
        with self._disk():
            self._file.flush()
            await anyio.to_thread.run_sync(os.fsync, self._file.fileno())
            self._file.close()
            self.path.replace(destination)
            if self._etag_path:
                self._etag_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leaves the bytes for another time."""
        with suppress(OSError):
            self._file.close()

    def discard(self) -> None:
        self.close()
        for path in (self.path, self._etag_path):
            if path:
                with suppress(OSError):
                    path.unlink()

    def _stored_etag(self) -> str | None:
        try:
            text = self._etag_path.read_text() if self._etag_path else ""
        except (OSError, ValueError):
            return None
        return strong_etag(text)

    @contextmanager
    def _disk(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "the disk failed"
            raise ConfigurationError(
                self._doing,
                f"the file for the results could not be written ({reason})",
                "Make room there, or give this user the right to write there",
            ) from error
