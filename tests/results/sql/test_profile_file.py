"""The files beside an artifact: made once, whole or not at all, and gone with the artifact."""

import gc
import sys
from pathlib import Path

import pytest

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.results.cache.cache_folders import usage
from sutro_mcp.results.cache.sparse_file import remove
from sutro_mcp.results.sql import lazy_engine
from sutro_mcp.results.sql.json_columns import open_fields
from sutro_mcp.results.sql.narrow_table import make_narrow
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.protocol import StoppedError
from tests.results.support import files_of_at_most, objects, outputs


def test_it_is_made_once(tmp_path: Path) -> None:
    """And found by whoever prepares the artifact again."""
    artifact = objects(tmp_path, {"a": 1})
    table = prepare(artifact)
    written = Path(table.profile_file).stat()
    assert prepare(artifact) == table
    assert Path(table.profile_file).stat() == written


def test_it_goes_with_the_artifact_and_counts_with_it(tmp_path: Path) -> None:
    """Nothing is left in the cache that nobody can use."""
    artifact = objects(tmp_path, *({"a": n} for n in range(100)))
    path = Path(artifact.path)
    alone = usage(path)
    make_narrow(prepare(artifact))
    together = usage(path)
    assert alone is not None
    assert together is not None
    assert together[1] > alone[1]
    assert len(list(tmp_path.iterdir())) == 3
    remove(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """It is no damage of the results."""
    artifact = outputs(tmp_path, *(f'{{"a": {n}}}' for n in range(1_000)))
    with files_of_at_most(20_000), pytest.raises(ConfigurationError, match="could not be kept on disk"):
        prepare(artifact)
    assert [path.name for path in tmp_path.iterdir()] == [Path(artifact.path).name]
    assert prepare(artifact).narrow_file is None


def test_an_artifact_that_was_replaced_is_not_prepared(tmp_path: Path) -> None:
    """It has to be fetched anew."""
    artifact = objects(tmp_path, {"a": 1})
    with pytest.raises(StoppedError):
        prepare(artifact.model_copy(update={"inode": 1}))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="open files are listed in /proc")
def test_no_file_stays_open_after_the_tables_are_closed(tmp_path: Path) -> None:
    """The process that reads results lives as long as the server."""
    artifact, folder = objects(tmp_path, {"a": 1}, {"a": "x"}), str(tmp_path)

    def open_files() -> list[str]:
        # The folder that is listed is open, too, until then.
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [
            str(link.readlink()) for link in links if link.is_symlink() and folder in str(link.readlink())
        ]

    lazy_engine.load({"results": make_narrow(prepare(artifact))}).close()
    with open_fields(artifact, keep_json=True) as fields:
        assert len(list(fields.batches())) == 1
        assert open_files()
    del fields
    gc.collect()
    assert open_files() == []
