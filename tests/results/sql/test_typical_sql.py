"""SQL as assistants write it: it works, or the refusal names what does; no value is wrong without a word."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.sql import lazy_engine
from sutro_mcp.results.sql.duckdb_engine import LoadedTables
from sutro_mcp.results.sql.profile_file import prepare
from tests.results.sql.support import query
from tests.results.support import objects, outputs, parquet

TYPICAL = [
    "SELECT label, COUNT(*) FROM results GROUP BY label ORDER BY COUNT(*) DESC",
    "SELECT label, COUNT(*) AS n FROM results GROUP BY 1 ORDER BY 2 DESC",
    "SELECT label, COUNT(*) AS n FROM results GROUP BY ALL ORDER BY ALL",
    "SELECT COUNT(DISTINCT label) FROM results",
    "SELECT label, AVG(score) a FROM results GROUP BY label HAVING AVG(score) > 0.1",
    "SELECT * FROM results WHERE reason ILIKE '%price%' LIMIT 5;",
    "SELECT n::int, score::text FROM results LIMIT 1",
    "SELECT CAST(n AS DOUBLE) FROM results LIMIT 1",
    "SELECT TRY_CAST(mixed AS DOUBLE) FROM results LIMIT 3",
    "SELECT * FROM results QUALIFY ROW_NUMBER() OVER (PARTITION BY label ORDER BY score DESC) = 1",
    "SELECT label, score, RANK() OVER (PARTITION BY label ORDER BY score DESC) AS r FROM results LIMIT 5",
    "SELECT label, score, LAG(score) OVER (ORDER BY row) FROM results LIMIT 3",
    "SELECT label, COUNT(*) * 100.0 / SUM(COUNT(*)) OVER () AS pct FROM results GROUP BY label",
    "SELECT label, ROUND(100.0 * COUNT(*) / (SELECT COUNT(*) FROM results), 2) AS p FROM results GROUP BY 1",
    "SELECT json_extract(inference_result, '$.label') FROM results LIMIT 1",
    "SELECT inference_result->>'label' FROM results LIMIT 1",
    "SELECT inference_result->'company'->>'name' FROM results LIMIT 1",
    "SELECT JSON_EXTRACT_STRING(inference_result, '$.company.name') FROM results LIMIT 1",
    "SELECT `label` FROM results LIMIT 1",
    'SELECT "label" FROM results LIMIT 1;',
    "-- count\nSELECT COUNT(*) /* all */ FROM results",
    "WITH t AS (SELECT label, score FROM results WHERE ok) SELECT label, AVG(score) FROM t GROUP BY label",
    "SELECT COUNT(*) FROM results WHERE regexp_matches(reason, 'pr.ce', 'i')",
    "SELECT COUNT(*) FROM results WHERE reason ~ 'Price'",
    "SELECT COUNT(*) FROM results WHERE reason SIMILAR TO '.*(Price|quality).*'",
    "SELECT COUNT(*) FROM results WHERE regexp_like(reason, 'Price')",
    "SELECT REGEXP_REPLACE(reason, 'P', 'p') FROM results LIMIT 1",
    "SELECT DATE_TRUNC('month', date::date) m, COUNT(*) FROM results GROUP BY 1",
    "SELECT EXTRACT(YEAR FROM CAST(date AS DATE)) y, COUNT(*) FROM results GROUP BY y",
    "SELECT STRFTIME(date::DATE, '%Y-%m') m, COUNT(*) FROM results GROUP BY m",
    "SELECT STRING_AGG(DISTINCT label, ', ') FROM results",
    "SELECT GROUP_CONCAT(label) FROM results",
    "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY score) FROM results",
    "SELECT MEDIAN(score) FROM results",
    "SELECT QUANTILE_CONT(score, 0.9) FROM results",
    "SELECT STDDEV(score), VARIANCE(score) FROM results",
    "SELECT CASE WHEN score > 0.5 THEN 'high' ELSE 'low' END AS b, COUNT(*) FROM results GROUP BY b",
    "SELECT SUM(CASE WHEN ok THEN 1 ELSE 0 END) FROM results",
    "SELECT COUNT(*) FILTER (WHERE score > 0.5) FROM results",
    "SELECT label FROM results UNION SELECT reason FROM results",
    "SELECT * FROM results WHERE score > (SELECT AVG(score) FROM results) LIMIT 2",
    "SELECT * FROM results WHERE label IN (SELECT label FROM results GROUP BY label HAVING COUNT(*) > 9)",
    "DESCRIBE results",
    "SHOW TABLES",
    "SUMMARIZE results",
    "PIVOT results ON label USING COUNT(*)",
    "SELECT tag, COUNT(*) FROM (SELECT UNNEST(tags) AS tag FROM results) GROUP BY tag",
    "SELECT tag, COUNT(*) FROM results, UNNEST(tags) AS t(tag) GROUP BY tag",
    "SELECT COUNT(*) FROM results WHERE 'a' = ANY(tags)",
    "SELECT COUNT(*) FROM results WHERE list_contains(tags, 'a')",
    "SELECT COUNT(*) FROM results WHERE array_contains(tags, 'a')",
    "SELECT * FROM results USING SAMPLE 5",
    "SELECT * FROM results ORDER BY RANDOM() LIMIT 5",
    "SELECT * FROM results LIMIT 5 OFFSET 10",
    "SELECT LENGTH(reason), LEN(reason), CHAR_LENGTH(reason) FROM results LIMIT 1",
    "SELECT SUBSTR(reason, 1, 3), SUBSTRING(reason FROM 1 FOR 3), LEFT(reason, 3) FROM results LIMIT 1",
    "SELECT SPLIT_PART(reason, ' ', 2) FROM results LIMIT 1",
    "SELECT IFNULL(label, 'x'), COALESCE(label, 'x'), NULLIF(label, 'x') FROM results LIMIT 1",
    "SELECT ROUND(AVG(score), 3) FROM results",
    "SELECT company.name, COUNT(*) FROM results GROUP BY company.name",
    "SELECT company['name'] FROM results LIMIT 1",
    'SELECT "company.name" FROM results LIMIT 1',
    "SELECT FLOOR(score * 10) / 10 AS bucket, COUNT(*) FROM results GROUP BY bucket ORDER BY bucket",
    "SELECT WIDTH_BUCKET(score, 0, 1, 10) FROM results LIMIT 1",
    "SELECT MODE(label) FROM results",
    "SELECT label, ARRAY_AGG(row ORDER BY score DESC)[1:3] FROM results GROUP BY label",
    "SELECT DISTINCT label FROM results ORDER BY label",
    "SELECT CORR(score, n) FROM results",
    "SELECT a.row, b.row FROM results a JOIN results b ON a.reason = b.reason AND a.row < b.row LIMIT 3",
    "SELECT COUNT(*) FROM results WHERE label IS NULL OR TRIM(LOWER(label)) = ''",
    "SELECT label, COUNT(*) FROM results WHERE date BETWEEN '2026-01-01' AND '2026-06-30' GROUP BY label",
    "SELECT CONCAT(label, '-', n), label || '-' || n FROM results LIMIT 1",
    "SELECT LABEL, Score FROM Results LIMIT 1",
    "SELECT * EXCLUDE (inference_result) FROM results LIMIT 1",
    "SELECT label, COUNT(*) OVER (PARTITION BY label) FROM results LIMIT 1",
    "SELECT NTILE(4) OVER (ORDER BY score) q FROM results LIMIT 1",
    "SELECT label, MAX(score) FROM results GROUP BY ROLLUP (label)",
    "SELECT label, n FROM results WHERE n % 2 = 0 AND NOT ok FETCH FIRST 3 ROWS ONLY",
    "SELECT row FROM results WHERE json_valid(inference_result) = false",
    "SELECT DATEDIFF('day', date::date, DATE '2026-12-31') FROM results LIMIT 1",
    "SELECT JSON_ARRAY_LENGTH(inference_result->'tags') FROM results LIMIT 1",
    "SELECT array_length(tags) FROM results LIMIT 1",
    "SELECT CARDINALITY(tags) FROM results LIMIT 1",
    "SELECT n / 2, n // 2, n % 3, POWER(n, 2) FROM results LIMIT 1",
    "SELECT label, nvl(score, 0) FROM results LIMIT 1",
    "SELECT (inference_result->>'score')::DOUBLE FROM results LIMIT 1",
    "SELECT approx_count_distinct(label), any_value(label), first(label ORDER BY row) FROM results",
    "SELECT label, list(DISTINCT n ORDER BY n)[:3] FROM results GROUP BY label",
    "SELECT label, score FROM results ORDER BY score DESC NULLS LAST LIMIT 3",
    "SELECT * REPLACE (round(score, 2) AS score) FROM results LIMIT 1",
    "SELECT COLUMNS('sc.*') FROM results LIMIT 1",
    "SELECT label, n FROM results ANTI JOIN (SELECT 1 AS row) USING (row) LIMIT 1",
    "SELECT a.label FROM results a LEFT JOIN results b ON b.row = a.row + 1 WHERE b.row IS NULL",
    "SELECT histogram(label) FROM results",
    "SELECT max_by(label, score), arg_min(label, score) FROM results",
    "FROM results SELECT label LIMIT 1",
    "SELECT label, sum(n) OVER (ORDER BY row ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM results LIMIT 3",
    "SELECT concat_ws('-', label, n) FROM results LIMIT 1",
    "SELECT strptime(date, '%Y-%m-%d'), date::DATE + INTERVAL 1 DAY, dayname(date::DATE) FROM results",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
    "SELECT label, company FROM results WHERE company.size BETWEEN 2 AND 4 LIMIT 1",
]

# The refusal says what to write.
REFUSED = [
    ("SELECT TOP 5 * FROM results", "write LIMIT 5 at the end"),
    ("SELECT list_filter(tags, x -> x = 'a') FROM results", "lambda x: x + 1"),
    ("SELECT avg(mixed) FROM results", "TRY_CAST(x AS DOUBLE)"),
    ("SELECT month(date) FROM results", "CAST(x AS DATE)"),
    ("SELECT date_format(date, '%Y') FROM results", "strftime(time, '%Y-%m')"),
    ("SELECT comapny FROM results", '"company"'),
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedTables]:
    """Five hundred objects with fields of every kind."""
    draw = random.Random(1)
    rows = [
        {
            "label": draw.choice(["positive", "negative", "neutral"]),
            "score": draw.random(),
            "n": draw.randrange(100),
            "reason": "because " + draw.choice(["Price", "quality", "x"]),
            "tags": draw.choices("abc", k=3),
            "company": {"name": draw.choice(["Acme", "Bolt"]), "size": draw.randrange(9)},
            "date": f"2026-0{draw.randrange(1, 9)}-1{draw.randrange(9)}",
            "ok": draw.random() < 0.5,
            "mixed": draw.choice([1, "two", 3.5]),
        }
        for _ in range(500)
    ]
    loaded = lazy_engine.load({"results": prepare(objects(tmp_path_factory.mktemp("typical"), *rows))})
    yield loaded
    loaded.close()


@pytest.mark.parametrize("sql", TYPICAL)
def test_typical_sql_works(tables: LoadedTables, sql: str) -> None:
    """Whatever database its writer has in mind."""
    assert lazy_engine.run(tables, QueryRequest(sql=sql)).columns


@pytest.mark.parametrize(("sql", "way"), REFUSED)
def test_what_does_not_work_names_what_does(tables: LoadedTables, sql: str, way: str) -> None:
    """In the first answer."""
    with pytest.raises(InvalidArgumentError) as refused:
        lazy_engine.run(tables, QueryRequest(sql=sql))
    assert way in refused.value.happened


TIMES = {"ts": "2026-03-01T23:30:00", "day": "2026-03-31", "text": "x" * 24}


@pytest.mark.parametrize(
    ("sql", "right"),
    [
        ("EXTRACT(HOUR FROM CAST(ts AS TIMESTAMP)) * 60 + EXTRACT(MINUTE FROM CAST(ts AS TIMESTAMP))", 1410),
        (
            "EXTRACT(YEAR FROM CAST(day AS DATE)) * 10000 + EXTRACT(MONTH FROM CAST(day AS DATE)) * 100",
            20260300,
        ),
        ("EXTRACT(DOY FROM CAST(ts AS TIMESTAMP)) * 1000", 60000),
        ("LENGTH(inputs) - LENGTH(inference_result)", 38 - 86),
        ("SUM(CASE WHEN LENGTH(inputs) - LENGTH(inference_result) < 0 THEN 1 ELSE 0 END)", 1),
        ("AVG(LENGTH(inputs) - LENGTH(inference_result))", -48.0),
        ("1000 * 60 * 60 * 24 * 30", 2592000000),
        ("SUM(LENGTH(inference_result)) * 1000000000", 86000000000),
    ],
)
def test_lengths_and_parts_of_dates_do_not_wrap(tmp_path: Path, sql: str, right: float) -> None:
    """In arithmetic with each other and with written numbers."""
    columns = {"inputs": ["please sort this ticket by its subject"], "outputs": [json.dumps(TIMES)]}
    artifact = parquet(tmp_path, columns, include_inputs=True)
    assert query(artifact, f"SELECT {sql} FROM results").rows == [[right]]  # noqa: S608


@pytest.mark.parametrize(
    ("texts", "sql", "rows"),
    [
        (['{"due": "2026-01-03"}', '{"due": "2026-01-20"}', '{"due": "2026-03-20"}'],
         "SELECT due FROM results WHERE CAST(due AS DATE) - DATE '2026-01-01' > 30", [["2026-03-20"]]),
        (['{"due": "2026-01-03"}', '{"due": "2026-01-20"}', '{"due": "2026-03-20"}'],
         "SELECT count(*) FROM results WHERE DATE '2026-03-31' - CAST(due AS DATE) <= 30", [[1]]),
        (['{"tags": ["fast", "cheap"]}', '{"tags": ["slow"]}', '{"tags": []}', '{"tags": null}'],
         "SELECT count(*) FROM (SELECT UNNEST(tags) AS t FROM results)", [[3]]),
        (['{"tags": ["fast", "cheap"]}', '{"tags": ["slow"]}', '{"tags": []}', '{"tags": null}'],
         "SELECT t, count(*) AS n FROM (SELECT UNNEST(tags) AS t FROM results) GROUP BY t ORDER BY n DESC, t",
         [["cheap", 1], ["fast", 1], ["slow", 1]]),
        (['{"a":1,"a":2}', '{"a":5}'], "SELECT a FROM results", [[2], [5]]),
        (['{"a":1}', '{"a":1,"b":{"c":1,"c":2}}'], "SELECT b, b.c FROM results",
         [[None, None], ['{"c":2}', 2]]),
        (['{"ts": "2026-11-25T10:00:00Z"}'],
         "SELECT CAST(ts AS TIMESTAMP), CAST(ts AS DATE), DATE(ts), CAST(ts AS TIMESTAMPTZ) FROM results",
         [["2026-11-25T10:00:00", "2026-11-25", "2026-11-25", "2026-11-25T10:00:00+00:00"]]),
    ],
)  # fmt: skip
def test_what_other_engines_get_wrong_without_a_word_is_right(
    tmp_path: Path, texts: list[str], sql: str, rows: list[list[Any]]
) -> None:
    """Days between dates, lists without items, names that occur twice, and times in UTC."""
    assert query(outputs(tmp_path, *texts), sql).rows == rows


def test_the_same_sql_has_the_same_answer_every_time(tables: LoadedTables) -> None:
    """Whatever it is: nothing depends on which thread came first."""
    for sql in (
        "SELECT row, RANK() OVER (ORDER BY score DESC, row) AS r FROM results LIMIT 3",
        "SELECT row FROM results WHERE score > (SELECT AVG(score) FROM results) LIMIT 3",
        "SELECT label FROM results UNION SELECT label FROM results",
        "SELECT label FROM results UNION SELECT CAST(n AS TEXT) FROM results",
        "SELECT label, avg(score), sum(score) FROM results GROUP BY label",
    ):
        pages = [lazy_engine.run(tables, QueryRequest(sql=sql)) for _ in range(20)]
        assert all(page == pages[0] for page in pages), sql
