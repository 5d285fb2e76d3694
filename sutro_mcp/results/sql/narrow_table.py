"""The short columns of an artifact as a table of their own, a few bytes a row: what most questions are about.

Numbers, booleans, short texts, lists and objects are in it; long texts stay in the artifact. In the view over
it a column that it lacks is an expression that fails when it is needed; the query then runs on the artifact.
"""

import re
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import duckdb

from sutro_mcp.results.request_models import SqlTable
from sutro_mcp.results.rows.json_shape import literal, quoted

from .profile_file import OpenTable, connect, narrow_file, open_views, published, with_more_memory

# In bytes of text, on average. Lists and objects are stored by their parts, which takes less.
_SHORT = 64
_SHORT_NESTED = 160
_MOST_COLUMNS = 32
_SAMPLE = 4_096
# Several threads keep what they have written until it is their turn, and ten million rows do not fit.
_MOST_MIB = 160
# What says that a query needs the artifact. TRY would make null of it.
_MARK = "this column is in the artifact alone"
_TRY = re.compile(r"\btry\b", re.IGNORECASE)

Column = tuple[str, str]


def make_narrow(table: SqlTable) -> SqlTable:
    """The table with its `narrow_file`, which is made unless it is there or nothing is short."""
    path = narrow_file(Path(table.profile_file))
    if not path.exists():
        with published(path) as part:
            with_more_memory(partial(_make, table), part, _MOST_MIB, table.artifact)
    return table.model_copy(update={"narrow_file": str(path)})


def narrow_view(connection: duckdb.DuckDBPyConnection, name: str, columns: Sequence[Column]) -> str:
    """SQL that makes the view `name`, whose columns have these names and types, one over the short ones."""
    short = {column for column, *_ in connection.execute(f"DESCRIBE {name}_narrow.narrow").fetchall()}
    shown = ", ".join(
        quoted(column)
        if column in short
        else f"CASE WHEN row >= 0 THEN error({literal(_MARK)}) END::{kind} AS {quoted(column)}"
        for column, kind in columns
    )
    return f"CREATE OR REPLACE VIEW {name} AS SELECT {shown} FROM {name}_narrow.narrow"


def may_use_narrow(sql: str) -> bool:
    """Whether a query that needs the artifact is sure to say so."""
    return _TRY.search(sql) is None


def needs_artifact(error: BaseException) -> bool:
    """Whether a query failed because it needs a column that is not short."""
    return _MARK in str(error)


def _make(table: SqlTable, path: Path, most_mib: int) -> None:
    with ExitStack() as files, closing(connect(path, most_mib, threads="1")) as connection:
        opened = open_views(connection, {"source": table}, files)
        short = ", ".join(map(quoted, _short(connection, opened["source"])))
        connection.execute(opened["source"].view(short))
        connection.execute(f"CREATE TABLE narrow AS SELECT {short} FROM source")
        connection.execute("DROP VIEW source")
        connection.execute("CHECKPOINT")


def _short(connection: duckdb.DuckDBPyConnection, source: OpenTable) -> list[str]:
    found: list[str] = []
    for name, kind in source.columns:
        # One by one, as several at once take the memory of each; lengths, not texts, are what LIMIT keeps.
        connection.execute(source.view(quoted(name)))
        sizes = f"SELECT strlen(CAST({quoted(name)} AS VARCHAR)) AS size FROM source LIMIT {_SAMPLE}"
        ((average,),) = connection.execute(f"SELECT avg(size) FROM ({sizes})").fetchall()
        if (average or 0) <= (_SHORT if kind in ("VARCHAR", "JSON") else _SHORT_NESTED):
            found.append(name)
        if len(found) == _MOST_COLUMNS:
            break
    return found
