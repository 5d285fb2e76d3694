"""A SQL engine: it loads tables and runs one SELECT over them.

Importing this module does not import the engine: the server asks for the name of its dialect only.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sutro_mcp.results.request_models import QueryRequest, QueryRows, SqlTable

if TYPE_CHECKING:
    from .duckdb_engine import LoadedTables

DIALECT = "DuckDB SQL"


def load(tables: Mapping[str, SqlTable]) -> "LoadedTables":
    """The tables by their names, ready for SQL that was not heard yet.

    From here on no file has to be opened, no module imported and no thread started. Raises
    UnexpectedReplyError for files that cannot be read, StoppedError for files that have gone.
    """
    from . import duckdb_engine

    return duckdb_engine.load(tables)


def run(tables: "LoadedTables", request: QueryRequest) -> QueryRows:
    """The first rows that the SQL yields. Raises InvalidArgumentError for SQL that cannot be run."""
    from . import duckdb_engine

    return duckdb_engine.run(tables, request)
