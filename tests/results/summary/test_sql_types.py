"""The types that a summary names are those that SQL has."""

import datetime
import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sutro_mcp.results import LocalArtifact
from tests.results.sql.support import types
from tests.results.support import objects, parquet, summary
from tests.tries import some_of

Values = st.SearchStrategy[Any]

SCALARS: Values = st.sampled_from([None, True, 1, -(2**63), 2**63, 2**127, 10**400, 0.5, 1e300, "", "1", "a"])
LISTS: Values = st.lists(SCALARS, max_size=2)
OBJECTS: Values = st.dictionaries(st.sampled_from("xy"), SCALARS | LISTS, max_size=2)
NESTED: Values = SCALARS | LISTS | OBJECTS | st.lists(OBJECTS | SCALARS | LISTS, max_size=3)
DEEP: Values = NESTED | st.dictionaries(st.sampled_from("ab"), NESTED, max_size=2)
# The fields of a few rows; more rows repeat them, so that some are taken apart without being parsed.
ROWS: Values = st.lists(st.dictionaries(st.sampled_from("fgh"), DEEP, max_size=3), min_size=1, max_size=4)


@settings(
    max_examples=some_of(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROWS, st.sampled_from([1, 200]), st.booleans())
def test_a_field_has_the_type_that_sql_gives_it(
    tmp_path: Path, rows: list[Any], times: int, enveloped: bool
) -> None:
    """Or none where the summary cannot know: it is an object in some rows and null in others."""
    if enveloped:
        rows = [
            {"content": json.dumps(each) if place % 2 else each, "reasoning_content": "so"}
            for place, each in enumerate(rows)
        ]
    assert_same_types(objects(tmp_path, *rows * times))


CARRIED = [
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Int128),
    *(pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Time, pl.Null, pl.Categorical),
    *(pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("us", "UTC"), pl.Datetime("ns", "Europe/Berlin")),
    *(pl.Duration("us"), pl.Decimal(10, 2), pl.Enum(["a"]), pl.List(pl.Int32), pl.Array(pl.Float32, 2)),
    *(pl.Map(pl.String, pl.List(pl.UInt8)), pl.Map(pl.String, pl.Binary)),
    pl.Struct({"a": pl.UInt8, "a b": pl.List(pl.Struct({"select": pl.Datetime("us")}))}),
]


def test_a_column_of_the_file_has_the_type_that_sql_gives_it(tmp_path: Path) -> None:
    """Numbers are widened there; outputs that are no text are a column, too."""
    columns = {f"c{at}": pl.Series([None], dtype=dtype) for at, dtype in enumerate(CARRIED)}
    known = assert_same_types(
        parquet(tmp_path, pl.DataFrame({"outputs": [datetime.date(2026, 1, 1)], **columns}))
    )
    # Those of times, bytes, a map of them, nothing and 128 bits are not told.
    assert known == len(CARRIED) + 1 - 5


def assert_same_types(artifact: LocalArtifact) -> int:
    """How many types the summary knows; each is the one of the view."""
    found = types(artifact)
    known = {each.name: each.sql_type for each in summary(artifact, max_chars=10**6).columns if each.sql_type}
    assert {name: _as_described(kind) for name, kind in known.items()} == {
        name: found[name] for name in known
    }
    return len(known)


def _as_described(kind: str) -> str:
    with duckdb.connect() as connection:
        (row,) = connection.execute(f"DESCRIBE SELECT NULL::{kind} AS x").fetchall()
    return str(row[1])
