"""Results at a place the caller names: complete or not there, and continued by the next call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp import errors
from sutro_mcp.api.artifact.part_file import PartFile
from sutro_mcp.emulator import ApiVariant, Emulator, Fault
from sutro_mcp.results_spec import ResultsSpec
from tests.api.wire import JOB, PARQUET, Script, client, emulated, names_in

from .stores import SIZE, Answer, asked, cut, serve, status, store, unreachable, whole_again

pytestmark = pytest.mark.anyio

UNKNOWN: Mapping[str, Any] = {"artifact": {}}


async def saved(transport: Script, destination: Path) -> Path:
    async with client(transport) as api:
        return await api.download_job_results(JOB, destination)


async def test_results_appear_at_their_destination_only_when_complete(tmp_path: Path) -> None:
    """Replacing what was there, in a folder that is made if needed."""
    destination = tmp_path / "folder" / "results.parquet"
    assert await saved(store(), destination) == destination
    destination.write_bytes(b"old")
    assert await saved(store(), destination) == destination
    assert destination.read_bytes() == PARQUET
    assert names_in(destination.parent) == ["results.parquet"]
    assert destination.stat().st_mode & 0o777 == 0o600


async def interrupted(destination: Path) -> None:
    """A first call that breaks off after 1,000 bytes."""
    with pytest.raises(errors.ConnectionFailedError):
        await saved(store(cut(1000), *[unreachable] * 3), destination)


async def test_an_interrupted_download_goes_on_in_the_next_call(tmp_path: Path) -> None:
    """Partial bytes and their tag lie beside the destination, as with the official SDK."""
    destination = tmp_path / "r.parquet"
    await interrupted(destination)
    assert names_in(tmp_path) == ["r.parquet.part", "r.parquet.part.etag"]
    assert (tmp_path / "r.parquet.part.etag").read_text() == '"v1"'
    assert (tmp_path / "r.parquet.part").stat().st_size == 1000
    transport = store()
    assert (await saved(transport, destination)).read_bytes() == PARQUET
    assert asked(transport) == [(f"bytes=1000-{SIZE - 1}", '"v1"')]
    assert names_in(tmp_path) == ["r.parquet"]


@pytest.mark.parametrize("answer", [status(412), status(416), whole_again()], ids=["412", "416", "no ranges"])
async def test_what_cannot_be_continued_is_fetched_from_zero(tmp_path: Path, answer: Answer) -> None:
    """The artifact was replaced, or the store gives no parts: a second URL is asked for, and all of it."""
    await interrupted(tmp_path / "r.parquet")
    transport = store(answer, serve(etag='"v2"'))
    assert (await saved(transport, tmp_path / "r.parquet")).read_bytes() == PARQUET
    assert asked(transport) == [(f"bytes=1000-{SIZE - 1}", '"v1"'), (None, None)]


FROM_ZERO = (None, None)


@pytest.mark.parametrize(
    ("part", "etag", "expected"),
    [
        (PARQUET, b'"v1"', (f"bytes={SIZE - 1}-{SIZE - 1}", '"v1"')),
        (PARQUET + b"more", b'"v1"', FROM_ZERO),
        (PARQUET[:1000], b"no tag", FROM_ZERO),
        (PARQUET[:1000], None, FROM_ZERO),
        (PARQUET[:1000], b"\xff", FROM_ZERO),
        (b"", b'"v1"', FROM_ZERO),
    ],
    ids=["complete", "too long", "junk tag", "no tag file", "binary tag file", "empty"],
)
async def test_whatever_an_earlier_process_left_the_result_is_right(
    tmp_path: Path, part: bytes, etag: bytes | None, expected: tuple[str | None, str | None]
) -> None:
    """Kept only if it can be continued."""
    (tmp_path / "r.parquet.part").write_bytes(part)
    if etag is not None:
        (tmp_path / "r.parquet.part.etag").write_bytes(etag)
    transport = store()
    assert (await saved(transport, tmp_path / "r.parquet")).read_bytes() == PARQUET
    assert asked(transport) == [expected]
    assert names_in(tmp_path) == ["r.parquet"]


async def test_content_that_is_wrong_is_neither_kept_nor_fetched_for_ever(tmp_path: Path) -> None:
    """Going on from a web page makes no sense; a store that has something else is asked from zero, once."""
    with pytest.raises(errors.UnexpectedReplyError, match="a web page"):
        await saved(store(serve(b"<html>"), offers=[UNKNOWN]), tmp_path / "r.parquet")
    transport = store(*[serve(PARQUET[:-1])] * 3)
    with pytest.raises(errors.ArtifactChangedError):
        await saved(transport, tmp_path / "r.parquet")
    assert asked(transport) == [(None, None)] * 2
    assert names_in(tmp_path) == []


async def test_without_links_the_second_route_is_used_if_it_has_parquet(tmp_path: Path) -> None:
    """JSON under the name of a Parquet file would be a trap."""
    emulator = Emulator(variant=ApiVariant(results_url=False))
    job_id = emulator.add_job()
    async with emulated(emulator) as api:
        path = await api.download_job_results(job_id, tmp_path / "r.parquet", include_inputs=True)
        assert path.read_bytes()[:4] == b"PAR1"
        emulator.faults.add(Fault.raw(b'{"outputs": []}'), path="/jobs/*/results")
        with pytest.raises(errors.UnexpectedReplyError, match="but not as Parquet"):
            await api.download_job_results(job_id, tmp_path / "again.parquet")
    assert names_in(tmp_path) == ["r.parquet"]


async def test_a_job_that_has_not_finished_leaves_no_trace(tmp_path: Path) -> None:
    """Not even an empty file."""
    emulator = Emulator()
    job_id = emulator.add_job(status="RUNNING")
    async with emulated(emulator) as api:
        with pytest.raises(errors.ResultsNotReadyError):
            await api.download_job_results(job_id, tmp_path / "r.parquet")
    assert names_in(tmp_path) == []


async def test_neither_a_folder_nor_an_artifact_above_the_cap_is_begun(tmp_path: Path) -> None:
    """The caller names the file; the cap is eight gibibytes."""
    with pytest.raises(errors.InvalidArgumentError, match="is a folder"):
        await saved(store(), tmp_path)
    with pytest.raises(errors.ReplyTooLargeError, match=r"more than the 8,589,934,592 that are fetched"):
        await saved(store(offers=[{"artifact": {"size_bytes": 8 * 1024**3 + 1}}]), tmp_path / "r.parquet")
    assert names_in(tmp_path) == []


async def test_a_disk_that_cannot_be_written_is_an_error_of_the_settings(tmp_path: Path) -> None:
    """With the reason, and where to change the folder."""
    (tmp_path / "file").write_text("")
    async with client(store()) as api:
        with pytest.raises(errors.ConfigurationError, match="could not be written") as caught:
            await api.fetch_results(ResultsSpec(JOB), tmp_path / "file" / "below")
    assert "right to write" in str(caught.value)
    part = PartFile.fresh(tmp_path, "test")
    part.path.unlink()
    with pytest.raises(errors.ConfigurationError, match="No such file or directory"):
        await part.publish(tmp_path / "gone")
    part.discard()


def test_a_disk_error_without_a_number_is_said_in_general_words(tmp_path: Path) -> None:
    """Some file systems give none."""
    part = PartFile.fresh(tmp_path, "test")
    with pytest.raises(errors.ConfigurationError, match=r"\(the disk failed\)"), part._disk():  # pyright: ignore[reportPrivateUsage]
        raise OSError("odd")
    part.discard()


@pytest.mark.parametrize("etag", [None, 'W/"v1"', "v1", '""', '"a\tb"'], ids=repr)
async def test_without_a_strong_tag_a_broken_download_starts_again_once(
    tmp_path: Path, etag: str | None
) -> None:
    """Bytes of two artifacts must not be joined."""
    transport = store(cut(1000, etag), serve(etag=etag))
    assert (await saved(transport, tmp_path / "r.parquet")).read_bytes() == PARQUET
    assert asked(transport) == [(None, None), (None, None)]
    for answers in ([cut(1000, etag)] * 3, [cut(1000, etag), *[unreachable] * 3]):
        with pytest.raises((errors.ConnectionFailedError, errors.IncompleteReplyError)):
            await saved(store(*answers), tmp_path / "again.parquet")
        assert names_in(tmp_path) == ["r.parquet"]


async def test_an_artifact_of_unknown_size_is_fetched_from_the_start_at_each_attempt(tmp_path: Path) -> None:
    """A connection that breaks, a store that fails and a URL that has expired are passing."""
    transport = store(cut(1000), status(503), status(403), offers=[UNKNOWN] * 2)
    assert (await saved(transport, tmp_path / "r.parquet")).read_bytes() == PARQUET
    assert asked(transport) == [(None, None)] * 4
    for answer, happened in (
        (status(404), "answered 404"),
        (serve(headers={"content-encoding": "gzip"}), "sent the artifact compressed"),
    ):
        with pytest.raises(errors.UnexpectedReplyError, match=happened):
            await saved(store(answer, offers=[UNKNOWN]), tmp_path / "again.parquet")
