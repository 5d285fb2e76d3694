"""The rows of one SELECT as a file: all of its rows in types that other readers have, or none."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results import LocalArtifact
from sutro_mcp.results.request_models import ExportFormat, WriteRequest, YieldedRows
from sutro_mcp.results.sql.duckdb_engine import load
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.sql.select_to_parquet import new_output, write_parquet
from tests.results.support import files_of_at_most, objects, outputs

from .support import query


def written(folder: Path, artifact: LocalArtifact, sql: str, form: ExportFormat = "parquet") -> YieldedRows:
    """The file that the SQL makes, in this process."""
    path = str(folder / "output")
    tables = load({"results": prepare(artifact)}, new_output(path))
    try:
        return write_parquet(tables, WriteRequest(sql=sql, path=path, format=form))
    finally:
        tables.close()


@pytest.fixture
def artifact(tmp_path: Path) -> LocalArtifact:
    """Objects, one of which has another key."""
    (tmp_path / "artifact").mkdir()
    long = "a rather long text " * 20
    return objects(tmp_path / "artifact", {"o": {"a": 1}, "t": long}, {"o": {"b": 2}, "t": long}, {"o": None})


TYPES: list[tuple[str, Any, Any]] = [
    ("sum(row)", pl.Int64, 3),
    ("99999999999999999999", pl.Decimal(38, 0), 99999999999999999999),
    (str(2**127 - 1), pl.String, str(2**127 - 1)),
    ("[1::HUGEINT]", pl.List(pl.Int64), [1]),
    ("TIME '24:00:00'", pl.String, "24:00:00"),
    ("{'a': INTERVAL 1 DAY}", pl.Struct({"a": pl.String}), {"a": "1 day"}),
    ("'a'::ENUM('a')", pl.String, "a"),
    ("MAP {1: 'x'}", pl.Map(pl.Int32, pl.String), {1: "x"}),
    ("max(o)", pl.String, '{"b":2}'),
    ("'\"x\"'::JSON", pl.String, "x"),
    ("NULL", pl.String, None),
]


@pytest.mark.parametrize(("sql", "dtype", "value"), TYPES)
def test_values_are_of_a_type_that_files_have(
    tmp_path: Path, artifact: LocalArtifact, sql: str, dtype: Any, value: Any
) -> None:
    """Integers as narrow as they are; columns of one name are told apart."""
    written(tmp_path, artifact, f"SELECT {sql} AS v, {sql} AS V FROM results LIMIT 1")  # noqa: S608
    frame = pl.read_parquet(tmp_path / "output")
    assert frame.schema == {"v": dtype, "V_2": dtype}
    assert frame.rows() == [(value, value)]


def test_rows_keep_their_order(tmp_path: Path) -> None:
    """DuckDB would let full batches of rows pass those of which a condition leaves little."""
    (tmp_path / "artifact").mkdir()
    texts = [f'{{"a": {n}}}' for n in range(10_000)]
    for n in (5, *range(3_000, 3_500)):
        texts[n] = f"Here it is: {texts[n]}"
    written(
        tmp_path, outputs(tmp_path / "artifact", *texts), "SELECT a FROM results WHERE row = 5 OR row >= 3000"
    )
    assert pl.read_parquet(tmp_path / "output")["a"].to_list() == [5, *range(3_000, 10_000)]


def test_json_stays_json_for_json_lines(tmp_path: Path, artifact: LocalArtifact) -> None:
    """An object is not written as text where it can stand as such."""
    sql = "SELECT row, o, [o] AS l FROM results WHERE row < 1; -- all of it"
    assert written(tmp_path, artifact, sql, "jsonl").json_columns == ("o", "l")
    assert pl.read_parquet(tmp_path / "output").rows() == [(0, '{"a":1}', '[{"a":1}]')]


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("DATE 'infinity'", "infinity"),
        ("TIMESTAMP '2026-01-02 12:00:00.5'", "2026-01-02T12:00:00.5"),
        ("TIMESTAMPTZ '2026-01-02 12:00+05:30'", "2026-01-02T06:30:00+00:00"),
    ],
)
def test_times_are_text_for_formats_that_are_text(
    tmp_path: Path, artifact: LocalArtifact, sql: str, text: str
) -> None:
    """Also those that no other engine has, and as a query shows them."""
    statement = f"SELECT {sql} AS v FROM results LIMIT 1"  # noqa: S608
    written(tmp_path, artifact, statement, "csv")
    assert pl.read_parquet(tmp_path / "output").rows() == [(text,)]
    assert query(artifact, statement).rows == [[text]]


def test_what_would_be_too_large_is_refused(tmp_path: Path, artifact: LocalArtifact) -> None:
    """By the limit of the process, whoever set it."""
    prepare(artifact)
    sql = "SELECT uuid() AS u FROM range(1000000)"
    with files_of_at_most(4_000), pytest.raises(InvalidArgumentError, match="more than 4 GiB") as refused:
        written(tmp_path, artifact, sql)
    assert refused.value.next_step.startswith("Filter or aggregate")
