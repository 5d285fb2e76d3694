"""The bytes of an artifact as a task reads them: from its file, asked for where they have not come yet."""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from sutro_mcp.file_access import open_regular
from sutro_mcp.results.byte_ranges import ByteRange, ByteRanges
from sutro_mcp.results.request_models import LocalArtifact

from .protocol import Channel, NullChannel, StoppedError


class FileBytes:
    """A ByteSource over one file, opened for one task after another."""

    def __init__(self, artifact: LocalArtifact) -> None:
        self.size = Path(artifact.path).stat().st_size
        self._path = Path(artifact.path)
        self._there = ByteRanges([(0, self.size)] if artifact.is_whole else [])
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
        self.fetch([(start, stop)])
        assert self._file is not None  # noqa: S101 - only tasks read
        self._file.seek(start)
        data = self._file.read(stop - start)
        if len(data) < stop - start:
            raise StoppedError
        return data

    def fetch(self, ranges: Sequence[ByteRange]) -> None:
        """Return when all these bytes are there; those that have to come are fetched together."""
        if missing := self._missing(ranges):
            self._channel.ask({"fetch": missing})
            for start, stop in missing:
                self._there.add(start, stop)

    def prefetch(self, ranges: Sequence[ByteRange]) -> None:
        """Say that these bytes will be read in this order."""
        if missing := self._missing(ranges):
            self._channel.tell({"prefetch": missing})

    def _missing(self, ranges: Sequence[ByteRange]) -> list[ByteRange]:
        return [gap for start, stop in ranges for gap in self._there.gaps(start, stop)]
