"""SQL over artifacts in this process, where everything but the wall is the same; that has its own tests."""

from typing import Any

import pytest

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results import LocalArtifact, Page
from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.sql import lazy_engine
from sutro_mcp.results.sql.profile_file import prepare


def query(artifact: LocalArtifact, sql: str, **options: Any) -> Page:
    """The page that one SELECT over `results` makes."""
    return query_all({"results": artifact}, sql, **options)


def query_all(artifacts: dict[str, LocalArtifact], sql: str, **options: Any) -> Page:
    """The page that one SELECT over several jobs makes."""
    tables = lazy_engine.load({name: prepare(artifact) for name, artifact in artifacts.items()})
    try:
        return lazy_engine.run(tables, QueryRequest(sql=sql, **options))
    finally:
        tables.close()


def refusal(artifact: LocalArtifact, sql: str, **options: Any) -> InvalidArgumentError:
    """Why the SQL cannot be run."""
    with pytest.raises(InvalidArgumentError) as refused:
        query(artifact, sql, **options)
    return refused.value


def types(artifact: LocalArtifact) -> dict[str, str]:
    """The columns of `results` and their types, as DESCRIBE has them."""
    return {str(row[0]): str(row[1]) for row in query(artifact, "DESCRIBE results", max_chars=10**6).rows}
