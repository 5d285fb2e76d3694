"""The engine: store in front, worker behind, nothing left when it closes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import polars as pl
import pytest

from sutro_mcp.errors import InvalidArgumentError, QueryMemoryError
from sutro_mcp.results import ExpectedResults, PageRequest, SummaryRequest
from sutro_mcp.results.cache import OnBytes
from sutro_mcp.results.request_models import ExportRequest, QueryRequest
from sutro_mcp.results.results_engine import results_engine
from sutro_mcp.results_spec import ResultsSpec

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Fetched:
    """A file as a source hands it over."""

    path: Path
    format: Literal["parquet", "json", "csv"] = "parquet"
    size: int = 1


@dataclass
class Source:
    """Writes a table with what was asked for, and remembers where."""

    folders: list[Path] = field(default_factory=list[Path])
    cache_identity: str = "one"
    outputs: Sequence[str | None] = ('{"label": "good"}', '{"label": "bad"}', None)

    async def open_results(self, spec: ResultsSpec) -> None:
        """It has no parts to offer."""

    async def fetch_results(
        self, spec: ResultsSpec, directory: Path, *, on_bytes: OnBytes | None = None
    ) -> Fetched:
        """The outputs, and the inputs if they are asked for."""
        self.folders.append(directory)
        path = directory / f"{len(self.folders):016x}.parquet"
        columns: dict[str, Any] = {"outputs": self.outputs}
        if spec.include_inputs:
            columns["inputs"] = ["x" * 900, "b", "c"]
        pl.DataFrame(columns).write_parquet(path)
        return Fetched(path)


async def expected() -> ExpectedResults:
    """The job's own words."""
    return ExpectedResults(num_rows=3, json_schema={})


async def test_pages_and_summaries_come_from_one_artifact() -> None:
    """With every option on its way to the worker; the folder is private, and gone at the end."""
    source, spec = Source(), ResultsSpec("job-a", include_inputs=True)

    with anyio.fail_after(60):
        async with results_engine() as engine:
            some = PageRequest(
                offset=0, limit=2, columns=("label", "inputs"), max_cell_chars=16, max_chars=600
            )
            page = await engine.page(source, spec, some)
            plain = PageRequest(offset=1, unpack_json=False, output_column="raw")
            raw = await engine.page(source, spec, plain)
            summary = await engine.summary(source, spec, SummaryRequest(), expected=expected)
            as_text = SummaryRequest(unpack_json=False, output_column="raw")
            await engine.summary(source, spec, as_text, fresh=True)
            (folder,) = set(source.folders)
            mode = folder.stat().st_mode & 0o777

    assert page.columns == ["label", "inputs"]
    assert page.rows == [["good", "xxx… [900 chars]"], ["bad", "b"]]
    assert (page.row_count, page.next_offset) == (3, 2)
    assert (raw.columns, raw.rows) == (["inputs", "raw"], [["b", '{"label": "bad"}'], ["c", None]])
    assert (summary.expected_rows, summary.outputs) == (3, "JSON objects in 2 of 3 rows")
    assert len(source.folders) == 2
    assert mode == 0o700
    assert not folder.exists()


async def test_the_folder_is_gone_after_a_failure_too() -> None:
    """Whatever the reason."""
    source = Source()
    with pytest.raises(InvalidArgumentError, match="Use an offset below 3"):
        async with results_engine() as engine:
            await engine.page(source, ResultsSpec("job-a"), PageRequest(offset=9))
    assert not source.folders[0].exists()


@pytest.mark.skipif(sys.platform != "linux", reason="SQL runs on Linux only")
async def test_of_outputs_that_are_too_long_for_a_query_the_short_fields_are_asked(tmp_path: Path) -> None:
    """DuckDB takes two thousand objects at once, of which it needs four times their length."""
    texts = [json.dumps({"label": "ab"[n % 2], "essay": f"{n} words " * 3_000}) for n in range(2_100)]
    source, spec = Source(outputs=texts), ResultsSpec("job-a")
    async with results_engine() as engine:
        sql = "SELECT label, count(*) FROM results GROUP BY label ORDER BY label"
        page = await engine.query(source, {"results": spec}, QueryRequest(sql=sql))
        assert page.rows == [["a", 1_050], ["b", 1_050]]
        with pytest.raises(QueryMemoryError, match="more memory than it may have"):
            await engine.query(source, {"results": spec}, QueryRequest(sql="SELECT max(essay) FROM results"))
    async with results_engine() as engine:
        request = ExportRequest(folder=tmp_path, file_name="labels.csv", sql=sql)
        assert (await engine.export(source, spec, request)).rows == 2
    assert (tmp_path / "labels.csv").read_text().splitlines()[1:] == ['"a",1050', '"b",1050']
