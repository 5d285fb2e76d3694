"""Open files that this process did not just make: no pipe makes it wait, and only regular files are read."""

import errno
import os
from pathlib import Path
from stat import S_ISREG, S_IWGRP, S_IWOTH

_SAFELY = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


# What the system says when it opens a link, a folder for writing, or a pipe that nobody reads.
_NOT_REGULAR = (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO)


class NotRegularFileError(OSError):
    """A folder, a link, a pipe or a device has the name of a file."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


def open_regular(path: Path | str, flags: int = os.O_RDONLY, *, dir_fd: int | None = None) -> int:
    """A descriptor of the regular file at `path`; a file made with O_CREAT is for its owner alone.

    Raises NotRegularFileError, also for a link, and any other OSError.
    """
    if not _NO_LINK and Path(path).is_symlink():
        raise NotRegularFileError
    try:
        descriptor = os.open(path, flags | _SAFELY | _NO_LINK, 0o600, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise NotRegularFileError from error
        raise
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularFileError
    return descriptor


def read_regular(path: Path, most: int = 1024 * 1024) -> bytes:
    """The bytes of a regular file. Raises OSError, also for a file of more than `most` bytes."""
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    if data is None or len(data) > most:
        raise OSError(errno.EFBIG, "it is too large")
    return data


def is_writable_by_others(found: os.stat_result) -> bool:
    """Whether the mode lets other users write. The private group that systems give a user is no other."""
    if os.name != "posix" or not found.st_mode & (S_IWGRP | S_IWOTH):
        return False
    return bool(found.st_mode & S_IWOTH) or not _is_private_group(found.st_gid)


def _is_private_group(gid: int) -> bool:
    import grp  # not on Windows
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return (user.pw_gid, user.pw_name) == (gid, group.gr_name) and set(group.gr_mem) <= {user.pw_name}
