"""Rows of an artifact whose bytes come when they are asked for, as the worker sees it."""

import importlib
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sutro_mcp.errors import InvalidArgumentError, UnexpectedReplyError
from sutro_mcp.results import LocalArtifact, Page, Summary
from sutro_mcp.results.byte_ranges import ByteRanges
from sutro_mcp.results.request_models import PageRequest, SummaryRequest
from sutro_mcp.results.rows.page import make_page
from sutro_mcp.results.summary.summariser import make_summary
from sutro_mcp.results.worker.protocol import StoppedError
from sutro_mcp.results_spec import ResultsSpec
from tests.results.support import JOB_ID

# Their types are unknown.
pa: Any = importlib.import_module("pyarrow")
pq: Any = importlib.import_module("pyarrow.parquet")

ROWS = 30_000


class Server:
    """A file with holes, and who fills them when asked; it refuses after `patience` requests."""

    def __init__(self, folder: Path, frame: pl.DataFrame, patience: int = 99, **options: Any) -> None:
        whole = folder / "whole.parquet"
        frame.write_parquet(whole, **options)
        self.raw = whole.read_bytes()
        self.path = folder / "holes.parquet"
        with self.path.open("wb") as file:
            file.truncate(len(self.raw))
        self.whole = LocalArtifact(path=str(whole), format="parquet", spec=ResultsSpec(JOB_ID))
        self.ref = LocalArtifact(
            path=str(self.path),
            format="parquet",
            spec=ResultsSpec(JOB_ID),
            inode=self.path.stat().st_ino,
            is_whole=False,
        )
        self.told: list[dict[str, Any]] = []
        self.sent = ByteRanges()
        self.patience = patience

    def ask(self, message: dict[str, Any]) -> None:
        """Send the bytes."""
        self.patience -= 1
        if self.patience < 0:
            raise StoppedError
        with self.path.open("r+b") as file:
            for start, stop in message["fetch"]:
                file.seek(start)
                file.write(self.raw[start:stop])
                self.sent.add(start, stop)

    def tell(self, message: dict[str, Any]) -> None:
        """Remember what was said."""
        self.told.append(message)

    def page(self, **options: Any) -> Page:
        """A page made from the file with holes, which is that of the whole one."""
        page = make_page(self.ref, PageRequest(**options), self)
        assert page == make_page(self.whole, PageRequest(**options))
        return page

    def summary(self) -> Summary:
        """The same for a summary."""
        summary = make_summary(self.ref, SummaryRequest(), self)
        assert summary == make_summary(self.whole, SummaryRequest())
        return summary


@pytest.fixture
def frame() -> pl.DataFrame:
    """Rows with an id, nested values and text."""
    number = pl.int_range(ROWS, eager=True)
    return pl.DataFrame(
        {
            "id": number,
            "outputs": number.hash(1).cast(pl.String) + number.hash(2).cast(pl.String),
            "cumulative_logprobs": pl.Series([[-0.5, row / 7] for row in range(ROWS)]),
        }
    )


def test_pages_and_summaries_come_from_the_bytes_that_are_asked_for(
    tmp_path: Path, frame: pl.DataFrame
) -> None:
    """They are those of the whole file; a page leaves most of it where it is."""
    server = Server(tmp_path, frame, row_group_size=5_000, data_page_size=16_384)
    server.page(offset=ROWS // 2, limit=3)
    assert server.sent.total < len(server.raw) / 2
    server.page(offset=ROWS - 1, columns=["id"])
    server.page(offset=0, limit=1_000, max_chars=50_000)
    asked = server.patience
    server.page(offset=5, limit=7)
    assert server.patience == asked
    server.summary()
    assert "prefetch" in server.told[0]
    assert server.told[-1] == {"rows": [ROWS, ROWS]}


def test_what_cannot_be_read_in_parts_is_read_whole(tmp_path: Path) -> None:
    """Its types take more room in the footer than is copied into every part."""
    kinds = [f"a category with a rather long name, number {number}" for number in range(2_000)]
    frame = pl.DataFrame({"outputs": kinds, "kind": pl.Series(kinds, dtype=pl.Enum(kinds))})
    server = Server(tmp_path, frame)
    server.page(offset=7, limit=3)
    server.summary()
    assert server.sent.covers(0, len(server.raw))


def test_a_task_whose_bytes_cannot_be_had_is_stopped(tmp_path: Path, frame: pl.DataFrame) -> None:
    """At whatever request; the next one goes on where it was."""
    server = Server(tmp_path, frame, patience=1)
    with pytest.raises(StoppedError):
        server.page(offset=ROWS - 5)
    server.patience = 99
    server.page(offset=ROWS - 5)


@pytest.mark.parametrize("fate", ["replaced", "cut", "removed"])
def test_a_file_that_is_no_longer_the_same_stops_the_task(
    tmp_path: Path, frame: pl.DataFrame, fate: str
) -> None:
    """The server fetches it anew; to the caller nothing has happened."""
    server = Server(tmp_path, frame)
    server.summary()
    if fate == "cut":
        os.truncate(server.path, len(server.raw) // 2)
    else:
        server.path.rename(tmp_path / "aside")
    if fate == "replaced":
        server.path.write_bytes(server.raw)
    with pytest.raises(StoppedError):
        make_page(server.ref, PageRequest(offset=ROWS - 3), server)


def test_a_field_is_looked_for_in_the_first_rows_of_large_results(tmp_path: Path) -> None:
    """Whether it is in none of them is not known, so the page says what was looked at."""
    noise = random.Random(7)
    texts = [
        json.dumps({"early" if row < 9 else "late": row, "text": noise.randbytes(9_000).hex()})
        for row in range(2_000)
    ]
    server = Server(tmp_path, pl.DataFrame({"outputs": texts}), row_group_size=200)
    found = server.page(offset=1_900, limit=1, columns=["early"])
    unknown = server.page(offset=0, limit=1, columns=["nowhere"])
    assert (found.rows, found.shortened) == ([[None]], None)
    assert unknown.rows == [[None]]
    assert unknown.shortened == (
        'no row looked at has "nowhere" (shown as null; not all rows were looked at)'
    )
    assert server.sent.total < len(server.raw) * 0.7


def test_a_page_behind_the_last_row_of_nothing_has_its_columns(tmp_path: Path) -> None:
    """A job may have no rows at all."""
    server = Server(tmp_path, pl.DataFrame({"id": pl.Series([], dtype=pl.Int64), "outputs": []}))
    assert server.page().columns == ["id", "inference_result"]
    assert server.summary().row_count == 0


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    """Said as such."""
    folder = LocalArtifact(path=str(tmp_path), format="parquet", spec=ResultsSpec(JOB_ID))
    with pytest.raises(UnexpectedReplyError, match="the file cannot be read"):
        make_page(folder, PageRequest())


def test_a_footer_that_is_not_understood_leads_to_the_whole_file(tmp_path: Path) -> None:
    """Two columns of one name are more than one footer can tell apart; who reads it whole says so."""
    buffer = io.BytesIO()
    pq.write_table(pa.table([["a"], ["b"]], names=["outputs", "outputs"]), buffer)
    server = Server(tmp_path, pl.DataFrame({"outputs": ["x"]}))
    server.raw = buffer.getvalue()
    with server.path.open("wb") as hole:
        hole.truncate(len(server.raw))
    with pytest.raises(UnexpectedReplyError, match="damaged"):
        make_page(server.ref, PageRequest(), server)
    assert server.sent.covers(0, len(server.raw))


def test_a_field_is_looked_for_in_the_whole_file_where_parts_cannot_be_read(tmp_path: Path) -> None:
    """Its type takes more room than is copied into every part."""
    kinds = [json.dumps({"field": f"a rather long value, number {number}"}) for number in range(2_000)]
    server = Server(tmp_path, pl.DataFrame({"outputs": pl.Series(kinds, dtype=pl.Enum(kinds))}))
    with pytest.raises(InvalidArgumentError, match="no such column"):
        make_page(server.ref, PageRequest(columns=("nowhere",)), server)


def test_decoded_rows_are_not_kept_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr("sutro_mcp.results.rows.reader._KEPT_BYTES", 100_000)
    noise = random.Random(3)
    texts = [noise.randbytes(200).hex() for _ in range(600)]
    server = Server(tmp_path, pl.DataFrame({"outputs": texts}), row_group_size=100)
    for offset in range(0, 600, 100):
        server.page(offset=offset, limit=100, max_cell_chars=16)
    asked = server.patience
    server.page(offset=0, limit=100, max_cell_chars=16)
    assert server.patience == asked
