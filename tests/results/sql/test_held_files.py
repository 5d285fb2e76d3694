"""Files that are read by descriptors: what DuckDB is told of them, and what it is not given."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sutro_mcp.results.sql.held_files import HeldFiles, Output, address


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldFiles]:
    """One file of ten bytes."""
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    descriptor = os.open(path, os.O_RDONLY)
    yield HeldFiles({"results": descriptor})
    os.close(descriptor)


def test_each_reader_has_a_position_of_its_own(held: HeldFiles) -> None:
    """DuckDB opens a file anew for every scan, and reads from any place."""
    first, second = held.open(address("results")), held.open("results", "rb")
    assert (first.read(3), second.read(1), first.read(), first.read(5)) == (b"012", b"0", b"3456789", b"")
    assert [first.seek(-4, os.SEEK_END), first.seek(1, os.SEEK_CUR), first.tell()] == [6, 7, 7]
    assert (first.read(0), first.read(2), first.seek(2), first.read(1)) == (b"", b"78", 2, b"2")
    assert (first.readable(), first.seekable(), first.writable()) == (True, True, False)


def test_its_size_is_told_and_its_path_is_not(held: HeldFiles) -> None:
    """The name is the whole of its address."""
    assert held.info(address("results")) == {"name": "held://results", "size": 10, "type": "file"}
    assert held.glob("held://*") == []
    assert held.glob(address("results")) == ["held://results"]
    assert held.modified("results") == held.modified(address("results")) == datetime(2026, 1, 1, tzinfo=UTC)
    assert held.open("results", "r").read() == b"0123456789"


def test_files_held_again_are_not_those_held_before() -> None:
    """fsspec would give an earlier one again, whose descriptors may be closed or of other files by now."""
    assert HeldFiles({}) is not HeldFiles({})


@pytest.mark.parametrize(
    "name", ["held://other", "held:///etc/passwd", "held://../x", "", "/etc/passwd", "results/"]
)
def test_any_other_name_is_unknown(held: HeldFiles, name: str) -> None:
    """Whatever lies there on the disk."""
    assert held.glob(name) == []
    for ask in (held.open, held.info, held.modified):
        with pytest.raises(FileNotFoundError, match="no such file is held"):
            ask(name)


@pytest.mark.parametrize("mode", ["wb", "r+", "ab", "x"])
def test_nothing_can_be_written(held: HeldFiles, mode: str) -> None:
    """Not even what is held, nor the output where there is none."""
    for name in ("results", "output"):
        with pytest.raises(PermissionError, match="read-only"):
            held.open(address(name), mode)


def test_only_the_output_can_be_written_and_each_attempt_begins_anew(tmp_path: Path) -> None:
    """DuckDB may try a second time; what it reads stays closed to it."""
    with (tmp_path / "y").open("wb") as file:
        output = Output(file.fileno())
        files = HeldFiles({}, output)
        assert output.writable()
        for content in (b"a longer one", b"short", b""):
            with files.open(address("output"), "wb") as attempt:
                assert attempt.write(content) == len(content)
            assert (tmp_path / "y").read_bytes() == content
        for name, mode in (("results", "wb"), ("output", "x"), ("output", "r+"), ("a", "wb"), ("x", "wb")):
            with pytest.raises(PermissionError, match="read-only"):
                files.open(name, mode)
        with pytest.raises(FileNotFoundError):
            files.open("output", "rb")


def test_an_output_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """DuckDB tells of it in words of its own."""
    (tmp_path / "y").touch()
    with (tmp_path / "y").open("rb") as file:
        output = Output(file.fileno())
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            output.write(b"1")
    assert output.failure is caught.value
