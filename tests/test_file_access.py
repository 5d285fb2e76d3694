"""Files that somebody else may have put in place: only a regular one is opened, without waiting."""

import errno
import grp
import os
import pwd
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sutro_mcp.file_access import NotRegularFileError, is_writable_by_others, open_regular, read_regular

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes, pipes and links as POSIX has them")


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT], ids=["read", "write"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe", "device"])
def test_something_else_by_the_name_of_a_file_is_refused_at_once(
    tmp_path: Path, kind: str, flags: int
) -> None:
    """No descriptor stays open, nothing is made where a link points, and no pipe is waited for."""
    path, target = tmp_path / "a", tmp_path / "target"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/null")
        case _:
            path.symlink_to(target)
            if kind == "link":
                target.touch()
    before, there = descriptors(), sorted(tmp_path.iterdir())
    with pytest.raises(NotRegularFileError, match="it is not a regular file") as caught:
        open_regular(path, flags)
    assert caught.value.errno == errno.EINVAL
    assert descriptors() <= before
    assert sorted(tmp_path.iterdir()) == there


def descriptors() -> set[str]:
    """The open ones of this process."""
    return {path.name for path in Path("/dev/fd").iterdir()}


def test_a_new_file_is_for_its_owner_alone_and_no_child_inherits_it(tmp_path: Path) -> None:
    """It is found relative to the folder that the descriptor means; what is missing is an error as it is."""
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(FileNotFoundError):
        open_regular("new", dir_fd=folder)
    with os.fdopen(open_regular("new", os.O_WRONLY | os.O_CREAT, dir_fd=folder), "wb") as file:
        file.write(b"12345")
        assert not os.get_inheritable(file.fileno())
    os.close(folder)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    assert [read_regular(tmp_path / "new", most) for most in (5, 6)] == [b"12345"] * 2


@pytest.mark.parametrize("path", [None, "/proc/self/status"], ids=["file", "of unknown size"])
def test_a_file_larger_than_asked_for_is_not_read(tmp_path: Path, path: str | None) -> None:
    """Nor one that the system says is empty, and is not."""
    large = Path(path or tmp_path / "large")
    if path is None:
        large.write_bytes(b"12345")
    elif not large.exists():
        pytest.skip("no /proc")
    with pytest.raises(OSError, match="it is too large") as caught:
        read_regular(large, 4)
    assert caught.value.errno == errno.EFBIG


def test_a_file_of_a_mebibyte_is_read_and_no_larger_one(tmp_path: Path) -> None:
    """Those of operators are small."""
    path = tmp_path / "tokens"
    path.write_bytes(bytes(1_048_576))
    assert len(read_regular(path)) == 1_048_576
    os.truncate(path, 1_048_577)
    with pytest.raises(OSError, match="it is too large"):
        read_regular(path)


@pytest.mark.parametrize(
    ("mode", "group", "members", "expected"),
    [
        (0o755, "staff", ["other"], False),
        (0o702, "me", [], True),
        (0o722, "me", [], True),
        (0o720, "me", [], False),
        (0o720, "me", ["me"], False),
        (0o720, "me", ["me", "other"], True),
        (0o720, "staff", [], True),
        (0o720, None, [], True),
        (0o720, "elsewhere", [], True),
    ],
)
def test_others_are_all_but_the_private_group_of_this_user(
    mode: int, group: str | None, members: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group with the user's name and number, and nobody else in it."""

    def getgrgid(_gid: int) -> SimpleNamespace:
        if group is None:
            raise KeyError
        return SimpleNamespace(gr_name="me" if group == "elsewhere" else group, gr_mem=members)

    def getpwuid(_uid: int) -> SimpleNamespace:
        return SimpleNamespace(pw_gid=7 if group == "elsewhere" else 5, pw_name="me")

    monkeypatch.setattr(grp, "getgrgid", getgrgid)
    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    found = os.stat_result((stat.S_IFDIR | mode, 1, 1, 1, 0, 5, 0, 0, 0, 0))
    assert is_writable_by_others(found) is expected
