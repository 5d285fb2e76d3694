"""The worker's side of the conversation: it asks for bytes of an artifact, and reads them from its file."""

import json
import os
import struct
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sutro_mcp.file_access import open_regular
from sutro_mcp.results.cache.byte_ranges import ByteRange, ByteRanges
from sutro_mcp.results.request_models import LocalArtifact


class StoppedError(BaseException):
    """The bytes that a task needs cannot be had: the server knows why, or the file was replaced.

    Not an Exception, as nothing that handles errors of polars may handle it.
    """


class Channel(Protocol):
    """What a task can say while it works."""

    def ask(self, message: dict[str, Any]) -> None:
        """Return when the server has done what is asked. Raises StoppedError when it could not."""
        ...

    def tell(self, message: dict[str, Any]) -> None:
        """Say something that needs no answer."""
        ...


class Pipe:
    """Frames over a pair of pipes. One thread may ask while another one tells."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._sending = threading.Lock()

    def receive(self) -> Any:
        """The next message, or None at the end."""
        head = self._source.read(4)
        return json.loads(self._source.read(struct.unpack(">I", head)[0])) if len(head) == 4 else None

    def send(self, raw: bytes) -> None:
        """One message."""
        with self._sending:
            self._sink.write(struct.pack(">I", len(raw)) + raw)
            self._sink.flush()

    def ask(self, message: dict[str, Any]) -> None:
        self.tell(message)
        if self.receive() is not True:
            raise StoppedError

    def tell(self, message: dict[str, Any]) -> None:
        self.send(json.dumps(message).encode())


class NullChannel:
    """For an artifact that is whole on disk, and nobody who listens."""

    def ask(self, message: dict[str, Any]) -> None:  # noqa: ARG002
        raise StoppedError

    def tell(self, message: dict[str, Any]) -> None: ...


class FileBytes:
    """The bytes of an artifact: read from its file, asked for where they have not come yet."""

    def __init__(self, ref: LocalArtifact) -> None:
        self.size = Path(ref.path).stat().st_size
        self._path = Path(ref.path)
        self._there = ByteRanges([(0, self.size)] if ref.is_whole else [])
        self._file: FileIO | None = None
        self._channel: Channel = NullChannel()

    @contextmanager
    def opened(self, inode: int | None, channel: Channel) -> Generator[None]:
        """Open for one task, which may speak through `channel`. Raises StoppedError for another file.

        Not longer, or a file that was removed to make room would still take it.
        """
        # Without a buffer, which would hold what was there before the bytes came.
        with os.fdopen(open_regular(self._path), "rb", buffering=0) as file:
            if inode not in (None, os.fstat(file.fileno()).st_ino):
                raise StoppedError
            self._file, self._channel = file, channel
            try:
                yield
            finally:
                self._file, self._channel = None, NullChannel()

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, once they are there."""
        if not self._there.covers(start, stop):
            self.want([(start, stop)])
        assert self._file is not None  # noqa: S101 - only tasks read
        self._file.seek(start)
        data = self._file.read(stop - start)
        if len(data) < stop - start:
            raise StoppedError
        return data

    def want(self, spans: Sequence[ByteRange]) -> None:
        """Return when all these bytes are there; those that have to come are fetched together."""
        missing = [gap for start, stop in spans for gap in self._there.gaps(start, stop)]
        if missing:
            self._channel.ask({"want": missing})
            for start, stop in missing:
                self._there.add(start, stop)

    def ahead(self, spans: Sequence[ByteRange]) -> None:
        """Say that these bytes will be read in this order."""
        missing = [gap for start, stop in spans for gap in self._there.gaps(start, stop)]
        if missing:
            self._channel.tell({"ahead": missing})
