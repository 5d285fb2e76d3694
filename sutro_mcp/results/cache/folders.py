"""Folders in which artifacts may lie, and who may remove what is in them."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR

KEPT_SECONDS = 7 * 24 * 60 * 60
_PREFIX = "sutro-mcp-results-"


def private_folder(path: Path) -> Path | None:
    """`path` as a folder that only its owner can enter, made if need be; None if that cannot be had."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                return None
            path.chmod(0o700)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError:
        return None


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A new one, gone with this process if that ends well."""
    return tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)


def sweep() -> None:
    """Remove the temporary folders of killed processes in which nothing has changed for a week."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if _is_ours(left) and time.time() - _last_change(left) > KEPT_SECONDS:
                _remove(left)


def made(folder: Path) -> Path:
    """The folder, made anew if somebody has removed it."""
    # Where that fails, what is to be written there says why.
    with suppress(OSError):
        folder.mkdir(0o700, parents=True, exist_ok=True)
    return folder


def beside(data: Path) -> list[Path]:
    """The files that were made of an artifact and go with it: their names begin with its name."""
    return list(data.parent.glob(f"{data.name}.*"))


def usage(data: Path) -> tuple[float, int] | None:
    """When an artifact was last used, and the disk it takes; None if it is gone."""
    try:
        stat = data.stat()
    except OSError:
        return None
    try:
        used = data.with_suffix(".list").stat().st_mtime
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


def _is_ours(folder: Path) -> bool:
    stat = folder.lstat()
    return S_ISDIR(stat.st_mode) and (os.name != "posix" or stat.st_uid == os.geteuid())


def _remove(folder: Path) -> None:
    # There are files alone in a folder of ours: one with folders in it is somebody's own, and stays whole.
    files = list(folder.iterdir())
    if not any(S_ISDIR(path.lstat().st_mode) for path in files):
        for path in files:
            path.unlink()
        folder.rmdir()


def _last_change(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in (folder, *folder.iterdir()))
