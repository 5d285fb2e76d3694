"""What holds for every artifact: the table that SQL sees is what its JSON says, and answers keep to size."""

import json
from pathlib import Path
from typing import Any, cast

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.sql.polars_engine import run_query
from sutro_mcp.results.sql.table import load_table
from tests.results.support import parquet, size

KEYS = st.sampled_from(["a", "b", "*", "^x$", "Order", "", "row", "inference_result", "é\u202e"])
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.one_of(LEAVES, st.lists(LEAVES, max_size=3))
ROWS = st.lists(st.none() | st.just("no JSON") | st.dictionaries(KEYS, VALUES, max_size=4), max_size=8)


@settings(max_examples=150, deadline=None)
@example(rows=[{"a": 1}, {"a": True}], limit=3)
@given(rows=ROWS, limit=st.integers(1, 9))
def test_select_all_is_what_a_reader_of_json_would_write_down(
    folder: Path, rows: list[Any], limit: int
) -> None:
    """Row by row, field by field, by a plainer way to the same table."""
    objects = [cast("dict[str, Any]", row) if isinstance(row, dict) else {} for row in rows]
    texts = [json.dumps(row) if isinstance(row, dict) else row for row in rows]
    artifact = parquet(folder, {"outputs": pl.Series(texts, dtype=pl.String)})
    table = load_table(artifact)
    names = list(dict.fromkeys(key for row in objects for key in row))
    assert table.frame.width == 2 + len(names)
    assert table.frame.get_column("row").to_list() == list(range(len(rows)))
    assert table.frame.get_column("inference_result").to_list() == texts
    for at, key in enumerate(names, start=1):
        values = [row.get(key) for row in objects]
        assert table.frame.to_series(at).to_list() == plainly(values), key
    page = run_query(table, QueryRequest(sql="SELECT * FROM results", limit=limit))
    assert page.row_count == len(rows)
    assert len(page.rows) == min(limit, len(rows))
    assert size(page) <= 9_000


def plainly(values: list[Any]) -> list[Any]:
    """Values of one field, of one type."""
    kinds: set[type] = {type(value) for value in values if value is not None}
    if kinds == {list}:
        items = iter(plainly([item for value in values if value is not None for item in value]))
        return [None if value is None else [next(items) for _ in value] for value in values]
    if len(kinds) <= 1:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [value if isinstance(value, str | None) else to_json(value).decode() for value in values]
