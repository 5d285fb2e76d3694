"""The export folder: how nothing is ever written or read beside it. Which names it may hold: `file_names`.

The folder is reached by opening one part of its path after the other without
following links, and everything in it by its name relative to the open folder: whoever swaps the folder, a
part of its path or an entry for a link meanwhile can make an export fail but not lead it elsewhere. Where the
system cannot do that (Windows), the path is resolved and compared before the file appears under its name,
which leaves a moment in between.

Importing this module must not import polars: the server tidies up after a worker that died.
"""

import errno
import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sutro_mcp.errors import InvalidArgumentError, SettingsError, SutroError
from sutro_mcp.file_access import NotRegularFileError, is_writable_by_others, open_regular
from sutro_mcp.results.name_matching import composed
from sutro_mcp.untrusted_text import quote

HAS_DESCRIPTORS = {os.open, os.stat, os.mkdir, os.link, os.rename, os.unlink} <= os.supports_dir_fd

_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _SAFELY
# A part of the path may be one that this user can pass through but not list.
_PASSING = _FOLDER | getattr(os, "O_PATH", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY
# What tells one file from another.
_IDENTITY = ("st_dev", "st_ino", "st_size")
# The whole of a file to join with is held in memory, several times over while it is read.
MAX_READ = 4 << 30


class Folder:
    """An open export folder. Names given to it have passed `export_name` or `joinable_name`."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        """Without a descriptor, entries are reached by `path`."""
        self._path = path
        self._descriptor = descriptor

    def entry(self, name: str) -> str:
        """The name of the entry that is meant: people see no difference between ways to compose an accent."""
        if name.isascii():
            return name
        entries = os.listdir(self._path if self._descriptor is None else self._descriptor)  # noqa: PTH208
        alike = [each for each in entries if composed(each) == composed(name)]
        return name if name in alike or not alike else alike[0]

    def check_free(self, name: str, *, overwrite: bool) -> None:
        """Raises InvalidArgumentError unless `name` is free, or a regular file that may be overwritten."""
        try:
            found = os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise _taken(name, "something that is not a regular file has that name", "Choose another name")
        if not overwrite:
            raise _taken(name)

    def read(self, name: str) -> BinaryIO:
        """The regular file `name`, open for reading. Raises InvalidArgumentError when there is none."""
        try:
            file = os.fdopen(open_regular(self._at(name), dir_fd=self._descriptor), "rb")
            if os.fstat(file.fileno()).st_size <= MAX_READ:
                return file
            file.close()
            problem = f"it is larger than {MAX_READ >> 30} GiB"
        except NotRegularFileError:
            problem = "it is not a regular file"
        except FileNotFoundError:
            problem = "the export folder has no such file"
        except OSError:
            problem = "it cannot be opened"
        raise InvalidArgumentError(
            f"join with {quote(name, 60)}", problem, f"Put a readable file into {quote(str(self._path))}"
        )

    @contextmanager
    def new_file(self, name: str, temporary: str, *, overwrite: bool) -> Generator[BinaryIO]:
        """A file to write into, called `temporary`; it appears as `name` when the block ends well.

        Whatever goes wrong leaves neither. Raises InvalidArgumentError when `name` is taken by then.
        """
        descriptor = os.open(self._at(temporary), _CREATE, 0o600, dir_fd=self._descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
                written = os.fstat(descriptor)
            self._publish(temporary, name, overwrite=overwrite)
            self._check_published(name, written)
        finally:
            self.remove(temporary)

    def remove(self, name: str) -> None:
        """Remove the entry `name`, if there is one."""
        with suppress(OSError):
            os.unlink(self._at(name), dir_fd=self._descriptor)

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._path / name)

    def _publish(self, temporary: str, name: str, *, overwrite: bool) -> None:
        if self._descriptor is None:
            _check_resolved(self._path)
        self.check_free(name, overwrite=overwrite)
        if overwrite:
            self._rename(temporary, name)
        elif not self._link(temporary, name):
            self._claim(name)
            try:
                self._rename(temporary, name)
            except OSError:
                self.remove(name)
                raise

    def _link(self, temporary: str, name: str) -> bool:
        """Give the file its name unless that is taken; False where there are no hard links."""
        if self._descriptor is None:
            return False
        here = self._descriptor
        try:
            os.link(temporary, name, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
        except FileExistsError:
            raise _taken(name) from None
        except OSError:
            return False
        return True

    def _claim(self, name: str) -> None:
        """Take the name with an empty file, which nobody else can have done; then it may be replaced."""
        try:
            os.close(os.open(self._at(name), _CREATE, 0o600, dir_fd=self._descriptor))
        except FileExistsError:
            raise _taken(name) from None

    def _rename(self, temporary: str, name: str) -> None:
        here = self._descriptor
        os.replace(self._at(temporary), self._at(name), src_dir_fd=here, dst_dir_fd=here)

    def _check_published(self, name: str, written: os.stat_result) -> None:
        """The name now leads to the bytes that were written; the folder is on disk.

        The size counts too, because a file system may give the number of a removed file to the next one.
        """
        found = os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        if any(getattr(found, field) != getattr(written, field) for field in _IDENTITY):
            raise _trouble(self._path, OSError(errno.ESTALE, ""))
        if self._descriptor is not None:
            with suppress(OSError):  # not every file system can do this for a folder
                os.fsync(self._descriptor)


@contextmanager
def open_folder(path: Path, *, create: bool = True, descriptors: bool = HAS_DESCRIPTORS) -> Generator[Folder]:
    """The folder at `path`, which must be absolute and without links; made for its owner alone if missing.

    Any OSError in the block comes out as a SettingsError about the folder.
    """
    descriptor: int | None = None
    try:
        if descriptors:
            descriptor = _walk(path, create=create)
        else:
            _make(path, create=create)
        if is_writable_by_others(path.stat() if descriptor is None else os.fstat(descriptor)):
            raise _refusal(path, "other users may write there", "take that right from them")
        yield Folder(path, descriptor)
    except OSError as error:
        raise _trouble(path, error) from error
    finally:
        if descriptor is not None:
            os.close(descriptor)


def check_folder(path: Path) -> None:
    """Raises SettingsError if nothing could be written to the folder, which is not made for that."""
    path = real_path(path)
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if there == path or not there.is_dir():
        with open_folder(path, create=False):
            pass
    if not os.access(there, os.W_OK | os.X_OK):
        raise _trouble(path, OSError(errno.EACCES, ""))


def real_path(path: Path) -> Path:
    """`path` with its links followed, as far as it exists. Unlike `Path.resolve` it never raises."""
    return Path(os.path.realpath(path))


def discard(path: Path, temporary: str) -> None:
    """Remove what a worker that was stopped left behind. Never fails: there may be nothing."""
    with suppress(SutroError), open_folder(path, create=False) as folder:
        folder.remove(temporary)


def _walk(path: Path, *, create: bool) -> int:
    """A descriptor of the folder, by way of each folder above it and no link."""
    here = os.open(path.anchor, _PASSING)
    for place, part in enumerate(path.parts[1:], 2):
        above, flags = here, _PASSING if place < len(path.parts) else _FOLDER
        try:
            here = _enter(part, flags, above, create=create)
        finally:
            os.close(above)
    return here


def _enter(part: str, flags: int, above: int, *, create: bool) -> int:
    try:
        return os.open(part, flags, dir_fd=above)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(part, 0o700, dir_fd=above)
    return os.open(part, flags, dir_fd=above)


def _make(path: Path, *, create: bool) -> None:
    if create:
        path.mkdir(0o700, parents=True, exist_ok=True)
    _check_resolved(path)


def _check_resolved(path: Path) -> None:
    if real_path(path) != path:
        raise OSError(errno.ELOOP, "")


def _taken(
    name: str,
    problem: str = "a file of that name exists",
    then: str = "Choose another name, or pass overwrite=true if the user wants it replaced",
) -> InvalidArgumentError:
    return InvalidArgumentError(f"write {quote(name, 60)}", problem, then)


_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_LOCKED = (errno.EACCES, errno.EPERM, errno.EROFS)
_CHANGED = (errno.ELOOP, errno.ENOTDIR, errno.ESTALE, errno.ENOENT)


def _trouble(path: Path, error: OSError) -> SettingsError:
    # polars gives the number only within its text.
    match = re.search(r"\(os error (\d+)\)", str(error))
    number = int(match[1]) if match else error.errno
    if number in _FULL:
        happened, advice = "there is no room left", "free some space there"
    elif number in _LOCKED:
        happened, advice = "writing there is not allowed", "allow it"
    elif number in _CHANGED:
        happened, advice = "it is not a folder, or it was moved or replaced by a link", "put it right"
    else:
        reason = os.strerror(number) if number else "no reason is given"
        happened, advice = f"writing there failed ({reason})", "look at it"
    return _refusal(path, happened, advice)


def _refusal(path: Path, happened: str, advice: str) -> SettingsError:
    return SettingsError(
        f"use the export folder {quote(str(path))}",
        f"{happened}; no file was written",
        f"Ask the user to {advice}, or to set SUTRO_MCP_EXPORT_DIR to another folder",
    )


def stamp(path: Path) -> tuple[int, int] | None:
    """Time of change and size of a file, which differ when its content does; None if there is none."""
    try:
        stat = path.lstat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
