"""One artifact on disk: what an earlier process left is believed only after it was read."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.byte_ranges import ByteRange
from sutro_mcp.results.cache.sparse_file import PIECE, Entry, Writer, list_of, read_state
from tests.results.support import files_of_at_most

SIZE = 3 * PIECE
DOING = "read the results of job-a"


def filled(data: Path, *spans: tuple[int, bytes]) -> Entry:
    """A new entry in which these bytes have come."""
    entry = Entry(data, SIZE, DOING)
    entry.etag = '"one"'
    fill(entry, *spans)
    return entry


def fill(entry: Entry, *spans: tuple[int, bytes]) -> None:
    """These bytes come."""
    for start, body in spans:
        writer = Writer(entry, start)
        writer.write(body)
        writer.end()


def gaps(data: Path) -> list[ByteRange]:
    """Gaps that the next process finds once it has checked everything."""
    with closing(Entry(data, SIZE, DOING, state=read_state(data))) as entry:
        assert entry.etag in (None, '"one"')
        entry.check([(0, SIZE)])
        return entry.gaps([(0, SIZE)])


def test_what_has_come_is_there_for_the_next_process(tmp_path: Path) -> None:
    """In pieces, each with its digest; private to their owner."""
    data = tmp_path / "a.data"
    filled(data, (5, b"x" * (PIECE + 7)), (2 * PIECE, b"end")).close()
    assert gaps(data) == [(0, 5), (PIECE + 12, 2 * PIECE), (2 * PIECE + 3, SIZE)]
    assert data.read_bytes()[5 : PIECE + 12] == b"x" * (PIECE + 7)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_nothing_is_believed_before_it_is_read(tmp_path: Path) -> None:
    """A digest in a list says what the bytes should be, not what they are."""
    data = tmp_path / "a.data"
    filled(data, (0, b"x" * PIECE)).close()
    with closing(Entry(data, SIZE, DOING, state=read_state(data))) as again:
        assert not again.is_checked([(0, 1)])
        assert again.is_checked([(PIECE, SIZE)])
        assert again.gaps([(0, PIECE)]) == [(0, PIECE)]
        again.check([(0, 1)])
        assert not again.gaps([(0, PIECE)])


@pytest.mark.parametrize("at", [0, PIECE - 1])
def test_a_piece_that_was_altered_is_fetched_again(tmp_path: Path, at: int) -> None:
    """And the ones beside it are not."""
    data = tmp_path / "a.data"
    filled(data, (0, b"x" * 2 * PIECE)).close()
    with data.open("r+b") as file:
        file.seek(at)
        file.write(b"y")
    assert gaps(data) == [(0, PIECE), (2 * PIECE, SIZE)]


@pytest.mark.parametrize("length", [0, SIZE - 1, SIZE + 1])
def test_a_file_of_another_length_is_begun_anew(tmp_path: Path, length: int) -> None:
    """Whatever happened to it."""
    data = tmp_path / "a.data"
    filled(data, (0, b"x" * PIECE)).close()
    os.truncate(data, length)
    assert gaps(data) == [(0, SIZE)]
    assert data.stat().st_size == SIZE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"layout":2,"etag":"x","size":1}',
        '{"etag":"x","size":1,"pieces":[{"start":0,"stop":1}]}',
        '{"etag":"x","size":1,"pieces":[{"start":0,"stop":9,"digest":""}]}',
    ],
    ids=["empty", "no etag", "another layout", "no digest", "outside the file"],
)
def test_a_list_that_cannot_be_read_is_no_list(tmp_path: Path, text: str) -> None:
    """It may be of another version, or half a file."""
    data = tmp_path / "a.data"
    filled(data, (0, b"x")).close()
    list_of(data).write_text(text)
    assert read_state(data) is None


def test_two_processes_may_fill_one_file(tmp_path: Path) -> None:
    """The list of the last one is what is known; the bytes of both are right."""
    data = tmp_path / "a.data"
    first = filled(data, (0, b"a" * 10))
    first.note()
    second = Entry(data, SIZE, DOING, state=read_state(data))
    fill(second, (10, b"b" * 10))
    second.close()
    first.close()
    assert gaps(data) == [(20, SIZE)]


def test_what_cannot_be_told_from_another_artifact_is_not_noted(tmp_path: Path) -> None:
    """Without an entity tag nobody could check it."""
    with closing(Entry(tmp_path / "a.data", 4, DOING)) as entry:
        Writer(entry, 0).write(b"abcd")
    assert read_state(tmp_path / "a.data") is None


@pytest.mark.skipif(os.name == "nt", reason="sets a limit of the system")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """With what to do about it."""
    with (
        closing(filled(tmp_path / "a.data")) as entry,
        files_of_at_most(PIECE),
        pytest.raises(ConfigurationError, match="could not be kept on disk") as caught,
    ):
        Writer(entry, 2 * PIECE).write(b"x")
    assert "SUTRO_MCP_CACHE_DIR" in str(caught.value)


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """A link in its place is not followed."""
    (tmp_path / "elsewhere").touch()
    (tmp_path / "a.data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="could not be kept on disk"):
        Entry(tmp_path / "a.data", SIZE, DOING)


def test_a_list_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    """Only the next process would have read it."""
    data = tmp_path / "a.data"
    list_of(data).mkdir()
    (list_of(data) / "in the way").touch()
    filled(data, (0, b"x")).close()
    assert read_state(data) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.data", "a.list"]


def test_the_list_is_written_now_and_then(tmp_path: Path) -> None:
    """So that a process that is killed has not fetched for nothing."""
    data, size = tmp_path / "a.data", 17 * PIECE
    with closing(Entry(data, size, DOING)) as entry:
        entry.etag = '"one"'
        writer = Writer(entry, 0)
        for _ in range(17):
            writer.write(bytes(PIECE))
        state = read_state(data)
    assert state is not None
    assert len(state.pieces) == 16
