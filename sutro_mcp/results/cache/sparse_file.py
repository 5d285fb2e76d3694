"""One artifact on disk: a file as long as the artifact, some of whose bytes have come, and a list of which.

The list is a second file with a digest for every piece, and is believed no further than these.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sutro_mcp.errors import ArtifactChangedError, ConfigurationError
from sutro_mcp.file_access import open_regular, read_regular
from sutro_mcp.results.byte_ranges import ByteRange, ByteRanges
from sutro_mcp.results.cache.cache_folders import beside, is_ours

# A piece is believed or dropped as a whole.
PIECE = 4 * 1024 * 1024
# Between two notes of what has come, so that a process that is killed has not fetched for nothing.
_NOTE_EVERY = 64 * 1024 * 1024
_READ = 1024 * 1024
# A list of the pieces of an artifact of more than a terabyte.
_MAX_LIST = 64 * 1024 * 1024


class _Piece(BaseModel):
    model_config = ConfigDict(frozen=True)

    start: int
    stop: int
    digest: str


class State(BaseModel):
    """The facts of the list. `etag` is the strong entity tag that every byte belongs to."""

    model_config = ConfigDict(frozen=True)

    layout: Literal[1] = 1
    etag: str
    size: int
    pieces: tuple[_Piece, ...] = ()


class Entry:
    """A file that fills up. One per artifact and process; `data` may be shared with other processes."""

    def __init__(
        self, data: Path, size: int, doing: str, *, state: State | None = None, is_whole: bool = False
    ) -> None:
        """Opens `data`, which gets its size; `state` is what a list found beside it says."""
        self.data = data
        self.size = size
        self.etag = state.etag if state else None
        self._doing = doing
        self._there = ByteRanges([(0, size)] if is_whole else [])
        self._unread = list(state.pieces) if state else []
        self._pieces: list[_Piece] = []
        self._unnoted = 0
        try:
            handle = open_regular(data, os.O_RDWR | os.O_CREAT)
            self._file = os.fdopen(handle, "r+b", buffering=0)
            if os.fstat(handle).st_size != size:
                self._unread.clear()
                self._file.truncate(size)
        except OSError as error:
            raise _disk(doing, error) from error

    @property
    def inode(self) -> int:
        """Identifies the file: another process may put a new one in its place."""
        return os.fstat(self._file.fileno()).st_ino

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still the one at its path: another process may have made room."""
        try:
            return self.data.lstat().st_ino == self.inode
        except OSError:
            return False

    @property
    def come(self) -> int:
        return self._there.total

    def is_checked(self, spans: Sequence[ByteRange]) -> bool:
        """Whether nothing that an earlier process left in `spans` has yet to be read."""
        return not any(_touches(piece, spans) for piece in self._unread)

    def check(self, spans: Sequence[ByteRange]) -> None:
        """Read what an earlier process left in `spans`, and believe the pieces that are as noted. Blocks.

        Raises ArtifactChangedError when the file is gone.
        """
        for piece in [each for each in self._unread if _touches(each, spans)]:
            self._unread.remove(piece)
            if self._digest(piece.start, piece.stop) == piece.digest:
                self._there.add(piece.start, piece.stop)
                self._pieces.append(piece)

    def gaps(self, spans: Sequence[ByteRange]) -> list[ByteRange]:
        """The parts of `spans` that have yet to come."""
        return [gap for start, stop in spans for gap in self._there.gaps(start, stop)]

    def clear(self) -> None:
        self._there = ByteRanges()
        self._unread.clear()
        self._pieces.clear()

    def note(self) -> None:
        """Write the list, if the artifact can be told from another one and something has come."""
        if self.etag is None or not self._unnoted:
            return
        self._unnoted = 0
        pieces = {piece.start: piece for piece in (*self._unread, *self._pieces)}
        state = State(etag=self.etag, size=self.size, pieces=tuple(pieces.values()))
        path = list_of(self.data)
        new = path.with_name(f"{token_hex(8)}.new")
        try:
            with os.fdopen(open_regular(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(state.model_dump_json().encode())
            new.replace(path)
        except OSError:
            # Only the next process would have read it.
            new.unlink(missing_ok=True)

    def touch(self) -> None:
        """Mark as used now, for whoever has to make room."""
        # There may be no list yet, or another process may have removed it.
        with suppress(OSError):
            os.utime(list_of(self.data), follow_symlinks=os.utime not in os.supports_follow_symlinks)

    def close(self) -> None:
        """Note what has come and let go of the file."""
        self.note()
        self._file.close()

    def discard(self) -> None:
        self.etag = None
        self._file.close()
        remove(self.data)

    def put(self, at: int, data: bytes) -> None:
        """Write `data` at `at`; from now on it is there."""
        try:
            self._file.seek(at)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _disk(self._doing, error) from error
        self._there.add(at, at + len(data))

    def add_piece(self, start: int, stop: int, digest: str) -> None:
        """Remember what a piece that has come looks like."""
        self._pieces.append(_Piece(start=start, stop=stop, digest=digest))
        self._unnoted += stop - start
        if self._unnoted >= _NOTE_EVERY:
            self.note()

    def _digest(self, start: int, stop: int) -> str:
        digest = sha256()
        try:
            # A file of its own, as another thread may be writing.
            with os.fdopen(open_regular(self.data), "rb", buffering=0) as file:
                file.seek(start)
                while start < stop and (data := file.read(min(_READ, stop - start))):
                    digest.update(data)
                    start += len(data)
        except OSError as error:
            raise ArtifactChangedError(
                self._doing, "what was kept of them has gone from the disk", "Call again to fetch them anew"
            ) from error
        return digest.hexdigest()


class Writer:
    """Bytes in order from one place on, cut into pieces with their digests."""

    def __init__(self, entry: Entry, start: int) -> None:
        self.at = start
        self._entry = entry
        self._start = start
        self._digest = sha256()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._entry.put(self.at, data)
        while data:
            part = data[: PIECE - (self.at - self._start)]
            self._digest.update(part)
            self.at += len(part)
            data = data[len(part) :]
            if self.at - self._start == PIECE:
                self.end()

    def end(self) -> None:
        """No more follows for now."""
        if self.at > self._start:
            self._entry.add_piece(self._start, self.at, self._digest.hexdigest())
        self._start = self.at
        self._digest = sha256()


def list_of(data: Path) -> Path:
    """Where the list of an artifact lies."""
    return data.with_suffix(".list")


def read_state(data: Path) -> State | None:
    """The facts of the list beside `data`, or None if there is none that can be read."""
    try:
        state = State.model_validate_json(read_regular(list_of(data), _MAX_LIST))
    except (OSError, ValidationError):
        return None
    sound = all(0 <= piece.start < piece.stop <= state.size for piece in state.pieces)
    return state if sound else None


def remove(data: Path) -> None:
    """Remove an artifact with what lies beside it: its list first, so that no list is without bytes."""
    for path in filter(is_ours, (list_of(data), data, *beside(data))):
        # It may be open in another process, on systems where that matters.
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _touches(piece: _Piece, spans: Sequence[ByteRange]) -> bool:
    return any(piece.start < stop and piece.stop > start for start, stop in spans)


def _disk(doing: str, error: OSError) -> ConfigurationError:
    reason = "the disk is full" if error.errno == errno.ENOSPC else os.strerror(error.errno or errno.EIO)
    return ConfigurationError(
        doing,
        f"the bytes of the results could not be kept on disk ({reason})",
        "Make room, or set SUTRO_MCP_CACHE_DIR to a folder on a disk that has some",
    )
