"""Folders of our own for artifacts, and the removal of files in them.

A folder that users name is theirs: its mode stays as it is, and everything in it but one subfolder of ours. A
marker says that a folder is ours. Even there only regular files with names of our own pattern are removed.
"""

import errno
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from stat import S_ISDIR, S_ISREG

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.file_access import is_writable_by_others, open_regular, read_regular
from sutro_mcp.untrusted_text import quote

logger = logging.getLogger(__name__)

KEPT_SECONDS = 7 * 24 * 60 * 60
_NAME = "sutro-mcp-results"
# Programs that make backups know it, and leave the folder out (bford.info/cachedir).
_MARKER = "CACHEDIR.TAG"
_MARK = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by sutro-mcp.\n"
# Names are random, after the digest of what an artifact is found by. Beside an artifact lie the Parquet file,
# the profile file and the narrow file that SQL makes of it.
_OUR_FILE = re.compile(
    r"(?:[0-9a-f]{32}-)?[0-9a-f]{16}\.(?:list|new|part|(?:data|parquet|json|csv\.zip)"
    r"(?:\.(?:parquet|[0-9]+(?:\.[0-9a-z]+)+\.sql(?:\.narrow)?)(?:\.[0-9a-f]{8}\.part(?:\.wal)?)?)?)"
)


def cache_folder(parent: Path) -> Path:
    """The subfolder of `parent` for artifacts, made if it is missing, `parent` too.

    Raises ConfigurationError if it cannot be written, is not ours, or lies where other users may write.
    """
    # Links are followed here, and never again.
    parent = Path(os.path.realpath(parent))
    try:
        parent.mkdir(0o700, parents=True, exist_ok=True)
        problem = _problem(parent) or claim(parent / _NAME)
        if problem is None:
            with tempfile.TemporaryFile(dir=parent / _NAME):
                return parent / _NAME
    except OSError as error:
        problem = f"it cannot be written ({os.strerror(error.errno or errno.EIO)})"
    raise ConfigurationError(
        f"keep results in {quote(str(parent))}", problem, "Set SUTRO_MCP_CACHE_DIR to a folder of your own"
    )


def kept_folder(parent: Path | None) -> Path | None:
    """The same, or None and a warning where that cannot be had: results go with the process then."""
    try:
        return cache_folder(parent) if parent else None
    except ConfigurationError as error:
        logger.warning("%s Until then they are fetched anew by each process.", error)
        return None


def temporary_folder() -> Path:
    """A new folder of ours, which `remove_folder` removes."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_NAME}-"))
    claim(folder)
    return folder


def claim(folder: Path) -> str | None:
    """Make `folder` if it is missing and mark it as ours; or say why that cannot be. Raises OSError."""
    folder.mkdir(0o700, parents=True, exist_ok=True)
    if problem := _problem(folder):
        return problem
    # Between making it and marking it a process may have been killed.
    if all(path.suffix == ".new" and is_ours(path) for path in folder.iterdir()):
        new = folder / f"{token_hex(8)}.new"
        try:
            with os.fdopen(open_regular(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as marker:
                marker.write(_MARK)
            new.replace(folder / _MARKER)
        finally:
            new.unlink(missing_ok=True)
    return None if _is_marked(folder) else f"its folder {_NAME} holds files that sutro-mcp did not make"


def sweep() -> None:
    """Remove the temporary folders of killed processes in which nothing has changed for a week."""
    for left in Path(tempfile.gettempdir()).glob(f"{_NAME}-*"):
        with suppress(OSError):
            if (
                _problem(left) is None
                and _is_marked(left)
                and time.time() - _last_change(left) > KEPT_SECONDS
            ):
                remove_folder(left)


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours with our files; it stays if there are others in it."""
    with suppress(OSError):
        for path in folder.iterdir():
            if is_ours(path):
                path.unlink()
        if [path.name for path in folder.iterdir()] == [_MARKER] and _is_marked(folder):
            (folder / _MARKER).unlink()
        folder.rmdir()


def is_ours(path: Path) -> bool:
    """Whether `path`, in a folder of ours, is a regular file with one of our names."""
    return bool(_OUR_FILE.fullmatch(path.name)) and _is_regular(path)


def beside(data: Path) -> list[Path]:
    """The files that were made of an artifact and go with it: ours whose names begin with its name."""
    return list(filter(is_ours, data.parent.glob(f"{data.name}.*")))


def usage(data: Path) -> tuple[float, int] | None:
    """When an artifact was last used, and the disk it takes in bytes; None if it is gone."""
    try:
        stat = data.lstat()
    except OSError:
        return None
    try:
        used = data.with_suffix(".list").lstat().st_mtime
    except OSError:
        used = stat.st_mtime
    return used, sum(map(_taken, [stat, *_stats(beside(data))]))


def _stats(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    for path in paths:
        with suppress(OSError):
            yield path.stat()


def _taken(stat: os.stat_result) -> int:
    # A file with holes takes less than its length, where the system says so.
    return getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512


def _problem(folder: Path) -> str | None:
    """Why nothing of ours may lie in `folder`, if so. Raises OSError."""
    found = folder.lstat()
    if not S_ISDIR(found.st_mode):
        return f"{folder.name} there is not a folder"
    if os.name == "posix" and found.st_uid not in (os.geteuid(), 0):
        return "it belongs to another user"
    return "other users may write there" if is_writable_by_others(found) else None


def _is_marked(folder: Path) -> bool:
    try:
        return read_regular(folder / _MARKER, len(_MARK)) == _MARK
    except OSError:
        return False


def _is_regular(path: Path) -> bool:
    try:
        return S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _last_change(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in (folder, *folder.iterdir()))
