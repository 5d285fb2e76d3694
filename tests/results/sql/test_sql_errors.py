"""Mistakes that analysts make, who know another dialect: what is said leads to SQL that runs."""

import json
from collections.abc import Iterator

import duckdb
import pytest

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import Cell, QueryRequest
from sutro_mcp.results.sql import lazy_engine
from sutro_mcp.results.sql.duckdb_engine import LoadedTables
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.sql.sql_errors import said
from tests.results.support import outputs

REVIEW = {
    "label": "good", "score": 5, "when": "2026-01-02", "until": "2026-02-03", "n": 20260102, "is it": True,
    "tags": ["a"], "items": [{"sku": "x"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedTables]:
    """One review."""
    artifact = outputs(tmp_path_factory.mktemp("review"), json.dumps(REVIEW))
    tables = lazy_engine.load({"results": prepare(artifact)})
    yield tables
    tables.close()


MISTAKES = [
    ('datediff(day, "when"::DATE, until::DATE)', "single quotes, as in datediff('day', a, b)",
     "datediff('day', \"when\"::DATE, until::DATE)", 32),
    ('datediff("when"::DATE, until::DATE)', "write datediff('day', start, end)", "1", 1),
    ("CAST(n AS DATE)", "strptime(x::VARCHAR, '%Y%m%d') of 20260131",
     "strptime(n::VARCHAR, '%Y%m%d')::DATE", "2026-01-02"),
    ("inference_result.label", "the fields of JSON outputs are columns of their own", "label", "good"),
    ("items.sku", "x[1].sku is that of the first", "items[1].sku", "x"),
    ("tags = 'a'", "list_contains(list, x) looks into a list", "list_contains(tags, 'a')", True),
    ("when", 'goes in double quotes: "when"', '"when"', "2026-01-02"),
    ("is it", 'goes in double quotes: "is it"', '"is it"', True),
    ("label + '!'", "a || b joins text", "label || '!'", "good!"),
    ('until - "when"', "CAST(x AS DATE) a date", 'CAST(until AS DATE) - CAST("when" AS DATE)', 32),
    ("label REGEXP 'go+d'", "write regexp_matches(text, pattern)", "regexp_matches(label, 'go+d')", True),
    ("group_concat(label SEPARATOR ',')", "write string_agg(x, ',')", "string_agg(label, ',')", "good"),
    ("listagg(label, ',') WITHIN GROUP (ORDER BY label)", "use string_agg(x, ', ' ORDER BY x)",
     "string_agg(label, ', ' ORDER BY label)", "good"),
    ("percentile_cont(score, 0.9)", "use quantile_cont(x, 0.9)", "quantile_cont(score, 0.9)", 5.0),
    ("count(DISTINCT label, score)", "count(DISTINCT (a, b)) counts pairs",
     "count(DISTINCT (label, score))", 1),
    ("sum(CASE WHEN score > 3 THEN 1)", "a CASE needs its END", "sum(CASE WHEN score > 3 THEN 1 END)", 1),
    ("score BETWEEN 1, 5", "write BETWEEN a AND b", "score BETWEEN 1 AND 5", True),
    ("rank()", "needs OVER (ORDER BY x)", "rank() OVER (ORDER BY score)", 1),
    ("sum(score) OVER PARTITION BY label", "write OVER (PARTITION BY x ORDER BY y)",
     "sum(score) OVER (PARTITION BY label)", 5),
    ("isnumeric(label)", "use TRY_CAST(x AS DOUBLE) IS NOT NULL",
     "TRY_CAST(label AS DOUBLE) IS NOT NULL", False),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "advice", "right", "value"), MISTAKES)
def test_a_mistake_names_what_to_write(
    loaded: LoadedTables, wrong: str, advice: str, right: str, value: Cell
) -> None:
    """And that runs."""
    assert advice in _refusal(loaded, f"SELECT {wrong} FROM results")  # noqa: S608
    query = QueryRequest(sql=f"SELECT {right} FROM results")  # noqa: S608
    assert lazy_engine.run(loaded, query).rows == [[value]]


@pytest.mark.parametrize(
    ("sql", "advice"),
    [
        ("SELECT label FROM results LIMIT 5,10", "write LIMIT 10 OFFSET 5 instead of LIMIT 5, 10"),
        ("SELECT label FROM job-1234", "the table of the job is called results"),
        ("SELECT label FROM results GROUP BY 1 WHERE score > 1", "WHERE goes before GROUP BY"),
        (
            "SELECT label FROM results WHERE count(*) > 1 GROUP BY 1",
            "WHERE cannot contain aggregates; HAVING",
        ),
        ("SELECT label FROM results a JOIN results b ON a.n = b.n", '"label" is in several tables'),
        ("FROM results, LATERAL FLATTEN(input => tags)", "FROM results, unnest(tags) AS t(tag)"),
        ("SELECT label FROM results WHERE tags CONTAINS 'a'", "write list_contains(list, x)"),
    ],
)
def test_clauses_of_other_dialects_are_told(loaded: LoadedTables, sql: str, advice: str) -> None:
    """With what to write."""
    assert advice in _refusal(loaded, sql)


def test_json_value_is_the_value(loaded: LoadedTables) -> None:
    """As the standard has it, and not its JSON."""
    sql = "SELECT json_value(inference_result, '$.label') FROM results"
    assert lazy_engine.run(loaded, QueryRequest(sql=sql)).rows == [["good"]]


def _refusal(loaded: LoadedTables, sql: str) -> str:
    with pytest.raises(InvalidArgumentError) as refused:
        lazy_engine.run(loaded, QueryRequest(sql=sql))
    return refused.value.happened


def test_memory_that_is_lacking_within_json_is_told_as_such() -> None:
    """DuckDB has other words for it there."""
    error = duckdb.InvalidInputException("Failed to write JSON string: memory allocation failed")
    assert said(error, "", ()).startswith("it needs more memory")
