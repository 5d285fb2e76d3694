"""The folders in which artifacts lie: nothing that a user put there or beside them is changed."""

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.emulator import serve_in_thread
from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.cache import kept_folder
from sutro_mcp.results.cache.cache_folders import cache_folder, claim, remove_folder, sweep, temporary_folder
from sutro_mcp.results.cache.sparse_file import remove
from sutro_mcp.results.request_models import PageRequest
from sutro_mcp.results.results_engine import results_engine
from sutro_mcp.results_spec import ResultsSpec

WEEK = 7 * 24 * 3600

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are those of POSIX")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)


def old(path: Path) -> Path:
    """`path`, last changed more than a week ago."""
    moment = time.time() - WEEK - 9
    os.utime(path, (moment, moment), follow_symlinks=False)
    return path


@pytest.mark.anyio
async def test_what_a_user_keeps_in_the_named_folder_stays_as_it_is(tmp_path: Path) -> None:
    """However old or large it is, whatever its name: its mode too."""
    named = tmp_path / "documents"
    (named / "in").mkdir(parents=True)
    named.chmod(0o755)
    files = [named / name for name in ("new.data", f"{'a' * 32}-{'b' * 16}.data", "in/old.list")]
    for path in files:
        path.write_bytes(bytes(5000))
    old(files[1])
    with serve_in_thread(seed_jobs=False) as emulator:
        job = emulator.add_job(num_rows=1, outputs=["x"])
        connection = resolve_connection(emulator.api_origin, emulator.api_key, env={})
        async with ApiClient(connection) as client, results_engine(named, capacity=1000) as engine:
            assert (await engine.page(client, ResultsSpec(job), PageRequest())).row_count == 1
    assert [path.stat().st_size for path in files] == [5000] * 3
    assert named.stat().st_mode & 0o777 == 0o755
    ours = named / "sutro-mcp-results"
    assert set(named.iterdir()) == {*files[:2], named / "in", ours}
    assert ours.stat().st_mode & 0o777 == 0o700
    assert {path.suffix for path in ours.iterdir()} <= {".TAG", ".data", ".list"}


def test_the_subfolder_is_found_again_and_links_to_the_named_one_are_followed(tmp_path: Path) -> None:
    """A process that was killed before it could leave the mark makes no difference."""
    (tmp_path / "link").symlink_to(tmp_path / "new")
    (tmp_path / "new" / "sutro-mcp-results").mkdir(0o700, parents=True)
    assert (
        cache_folder(tmp_path / "link")
        == cache_folder(tmp_path / "new")
        == (tmp_path / "new" / "sutro-mcp-results")
    )
    assert (tmp_path / "new/sutro-mcp-results/CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d")


def refusal(named: Path) -> str:
    """Why nothing is kept below `named`, in which nothing is made."""
    mode, there = named.stat().st_mode, sorted(named.rglob("*")) if named.is_dir() else []
    with pytest.raises(ConfigurationError) as caught:
        cache_folder(named)
    assert kept_folder(named) is None
    assert named.stat().st_mode == mode
    assert there == (sorted(named.rglob("*")) if named.is_dir() else [])
    return str(caught.value).replace(str(named), "/named")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702], ids=oct)
def test_a_folder_that_others_may_write_is_refused(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Its mode stays as it is, which others may rely on."""
    tmp_path.chmod(mode)
    text = refusal(tmp_path)
    assert text == snapshot(
        'Cannot keep results in "/named": other users may write there. '
        "Set SUTRO_MCP_CACHE_DIR to a folder of your own."
    )
    (warning,) = [record.getMessage().replace(str(tmp_path), "/named") for record in caplog.records]
    assert warning == f"{text} Until then they are fetched anew by each process."


def test_a_subfolder_of_our_name_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """Somebody's own folder, a link, a file, or one that others may write."""
    found: dict[str, str] = {}
    for kind in ("own", "link", "file", "shared"):
        named = tmp_path / kind
        named.mkdir()
        ours = named / "sutro-mcp-results"
        match kind:
            case "link":
                ours.symlink_to(tmp_path / "own")
            case "file":
                ours.touch()
            case _:
                ours.mkdir()
                (ours / ("mine.txt" if kind == "own" else "CACHEDIR.TAG")).touch()
                ours.chmod(0o755 if kind == "own" else 0o777)
        found[kind] = refusal(named).partition(": ")[2].partition(". ")[0]
    found["no folder"] = (
        refusal(tmp_path / "file" / "sutro-mcp-results").partition(": ")[2].partition(". ")[0]
    )
    assert found == snapshot(
        {
            "own": "its folder sutro-mcp-results holds files that sutro-mcp did not make",
            "link": "sutro-mcp-results there is not a folder",
            "file": "it cannot be written (File exists)",
            "shared": "other users may write there",
            "no folder": "it cannot be written (File exists)",
        }
    )


@as_root
def test_root_uses_no_folder_of_somebody_else(tmp_path: Path) -> None:
    """Neither owner nor group; a private group of the same user is no other."""
    os.chown(tmp_path, 12345, -1)
    assert "it belongs to another user" in refusal(tmp_path)
    os.chown(tmp_path, 0, 12345)
    tmp_path.chmod(0o770)
    assert "other users may write there" in refusal(tmp_path)
    os.chown(tmp_path, 0, 0)
    assert cache_folder(tmp_path).parent == tmp_path


def test_what_a_killed_process_left_is_removed_after_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is a marked folder that nothing has changed in since, and our files alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, used, mixed = (temporary_folder() for _ in range(3))
    mine, elsewhere = tmp_path / "sutro-mcp-results-mine", tmp_path / "elsewhere"
    link, file = tmp_path / "sutro-mcp-results-link", tmp_path / "sutro-mcp-results-file"
    for folder in (left, used, mixed, mine, elsewhere):
        folder.mkdir(exist_ok=True)
        (folder / f"{'0' * 16}.parquet").write_bytes(b"PAR1")
    (mixed / "notes.txt").touch()
    (mixed / f"{'1' * 16}.data").symlink_to(elsewhere)
    link.symlink_to(elsewhere)
    file.touch()
    for path in (*tmp_path.rglob("*"),):
        if used not in (path, path.parent):
            old(path)
    sweep()
    assert set(tmp_path.iterdir()) == {used, mixed, mine, elsewhere, link, file}
    assert {path.name for path in mixed.iterdir()} == {"CACHEDIR.TAG", "notes.txt", f"{'1' * 16}.data"}
    for folder in (used, mine, elsewhere):
        assert (folder / f"{'0' * 16}.parquet").exists()


def test_a_folder_of_ours_goes_only_with_files_of_ours(tmp_path: Path) -> None:
    """A user may have put something there meanwhile."""
    ours = tmp_path / "ours"
    assert claim(ours) is None
    (ours / f"{'a' * 32}-{'b' * 16}.data").touch()
    (ours / "mine.data").touch()
    remove_folder(ours)
    assert {path.name for path in ours.iterdir()} == {"mine.data", "CACHEDIR.TAG"}
    (ours / "mine.data").unlink()
    remove_folder(ours)
    assert not ours.exists()


def test_an_artifact_takes_along_only_what_is_ours(tmp_path: Path) -> None:
    """A user may have put copies beside it, under names that begin with its own."""
    name = f"{'a' * 32}-{'b' * 16}"
    made = ("", ".parquet", ".1.4.1.sql", ".1.4.1.sql.narrow", ".1.4.1.sql.0123abcd.part.wal")
    for beside in (*made, ".backup-2", ".2026", ".MINE_1", ".backup", ".sql"):
        (tmp_path / f"{name}.data{beside}").touch()
    (tmp_path / f"{name}.list").touch()
    remove(tmp_path / f"{name}.data")
    left = {path.name.removeprefix(name) for path in tmp_path.iterdir()}
    assert left == {".data.backup-2", ".data.2026", ".data.MINE_1", ".data.backup", ".data.sql"}


@pytest.mark.parametrize("mark", [b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by X.\n", b"", None])
def test_a_marker_that_is_not_ours_marks_nothing(tmp_path: Path, mark: bytes | None) -> None:
    """Other programs mark their caches by a file of that name, and a pipe (None) holds nobody up."""
    marker = tmp_path / "sutro-mcp-results" / "CACHEDIR.TAG"
    marker.parent.mkdir()
    os.mkfifo(marker) if mark is None else marker.write_bytes(mark)
    assert "holds files that sutro-mcp did not make" in refusal(tmp_path)


def test_a_folder_that_is_being_marked_is_ours(tmp_path: Path) -> None:
    """By another process, or by one that was killed."""
    (tmp_path / "sutro-mcp-results").mkdir()
    (tmp_path / "sutro-mcp-results" / f"{'0' * 16}.new").touch()
    assert kept_folder(tmp_path)
