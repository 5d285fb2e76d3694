"""SQL over results: what the table holds, what a query yields, and what is said when it is wrong."""

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sutro_mcp.errors import UnexpectedReplyError
from sutro_mcp.results import LocalArtifact
from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.sql import lazy_engine
from sutro_mcp.results.sql.profile_file import prepare
from tests.results.sql.support import query, query_all, refusal, types
from tests.results.support import JOB_ID, file, objects, outputs, page, parquet

REVIEWS: list[dict[str, Any]] = [
    {"label": "good", "score": 5, "vendor": {"name": "Ada", "at": {"city": "Rome"}}, "tags": ["a", "b"]},
    {"label": "bad", "score": 1, "vendor": {"name": "Bob"}, "tags": []},
    {"label": "good", "score": 2.5, "tags": ["c"], "order": 7, "is it": True},
    {"label": None, "vendor": {"name": "Ada"}},
]
COLUMNS = (
    'The columns of results are "row" BIGINT, "label" VARCHAR, "score" DOUBLE, "vendor" JSON, "vendor.name" '
    'VARCHAR, "vendor.at" STRUCT(city VARCHAR), "vendor.at.city" VARCHAR, "tags" VARCHAR[], "order" BIGINT, '
    '"is it" BOOLEAN, "inference_result" VARCHAR'
)


@pytest.fixture
def reviews(tmp_path: Path) -> LocalArtifact:
    """Four reviews, a null, text, and JSON that was cut off."""
    texts = [*map(json.dumps, REVIEWS), None, "sorry", '{"label": "go']
    return outputs(tmp_path, *texts)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT label, count(*) AS n FROM results GROUP BY label ORDER BY n DESC, label NULLS LAST",
         [[None, 4], ["good", 2], ["bad", 1]]),
        ("SELECT sum(score), avg(score), min(score), max(score), count(score) FROM results",
         [[8.5, 8.5 / 3, 1.0, 5.0, 3]]),
        ("WITH g AS (SELECT * FROM results WHERE label = 'good') SELECT row FROM g ORDER BY row DESC",
         [[2], [0]]),
        ("SELECT a.row, b.row AS other FROM results a JOIN results b ON a.label = b.label AND a.row < b.row",
         [[0, 2]]),
        ("SELECT row FROM results ORDER BY row DESC LIMIT 2 OFFSET 1", [[5], [4]]),
        ('SELECT "vendor.name", count(*) AS n FROM results WHERE vendor IS NOT NULL GROUP BY 1 ORDER BY 1',
         [["Ada", 2], ["Bob", 1]]),
        ("SELECT vendor.name, vendor.at.city, vendor->'at'->>'city' FROM results WHERE row = 0",
         [["Ada", "Rome", "Rome"]]),
        ('SELECT "vendor.at.city", vendor, "vendor.at" FROM results WHERE row = 0',
         [["Rome", '{"name":"Ada","at":{"city":"Rome"}}', '{"city":"Rome"}']]),
        ('SELECT `order`, "is it", ORDER_ FROM (SELECT *, "Order" AS order_ FROM Results) WHERE row = 2',
         [[7, True, 7]]),
        ("SELECT row, tags, ARRAY_LENGTH(tags) AS n FROM results WHERE tags IS NOT NULL ORDER BY row",
         [[0, '["a","b"]', 2], [1, "[]", 0], [2, '["c"]', 1]]),
        ("SELECT UNNEST(tags) AS tag FROM results ORDER BY tag", [["a"], ["b"], ["c"]]),
        ("SELECT row, inference_result FROM results WHERE row > 3 AND label IS NULL ORDER BY row",
         [[4, None], [5, "sorry"], [6, '{"label": "go']]),
        ("SELECT count(*), count(*) FROM results -- end\n;", [[7, 7]]),
        ("SELECT 'read_csv(''x'')' AS a /* DROP */ FROM results LIMIT 1", [["read_csv('x')"]]),
        ("SELECT TIMESTAMP '2026-01-02 03:04:05' AT TIME ZONE 'UTC', DATE '2026-01-02', TIME '03:04:05.5'",
         [["2026-01-02T03:04:05+00:00", "2026-01-02", "03:04:05.5"]]),
        ("SELECT INTERVAL 1 MONTH, DATE 'infinity', TIMESTAMP '2026-01-02 03:04:05', [DATE '2026-01-02']",
         [["1 month", "infinity", "2026-01-02T03:04:05", '["2026-01-02"]']]),
        ("SELECT 0.1 + 0.2, 12345678901234567890.123, 1e400::DOUBLE, NULL, true, 'a'::BLOB, {'a': 1.5}",
         [[0.3, "12345678901234567890.123", "inf", None, True, "(1 bytes)", '{"a":1.5}']]),
        ("SELECT '[1, \"x\"]'::JSON, '1.5'::JSON, '\"x\"'::JSON, 'null'::JSON, uuid() IS NULL, MAP {'k':[1]}",
         [["[1, \"x\"]", 1.5, "x", None, False, '{"k":[1]}']]),
        ("SELECT score // 0, 7 // 2, 7 / 2 FROM results LIMIT 1", [[None, 3, 3.5]]),
        ("SELECT 'é', -- 1 *\n 1000*60*60*24 * 30 /* +1 */, row FROM results ORDER BY 3 DESC LIMIT 1",
         [["é", 2592000000, 6]]),
        ("SELECT row FROM results WHERE row > 99", []),
    ],
)  # fmt: skip
def test_sql_yields_what_it_says(reviews: LocalArtifact, sql: str, rows: list[list[Any]]) -> None:
    """Over fields of JSON outputs; rows that are no objects are null in them and spoil nothing."""
    page = query(reviews, sql)
    assert page.rows == rows
    assert (page.row_count, page.next_offset, page.shortened) == (len(rows), None, None)


def test_inputs_and_logprobs_are_there_when_asked_for(tmp_path: Path) -> None:
    """With carried columns, and confidence always."""
    columns = {
        "outputs": ['{"a": 1}'],
        "inputs": ["in"],
        "cumulative_logprobs": [-0.5],
        "id": pl.Series([7], dtype=pl.Int8),
        "confidence_score": [0.9],
    }
    asked = parquet(tmp_path, columns, include_inputs=True, include_cumulative_logprobs=True)
    page = query(asked, "SELECT * FROM results")
    assert page.columns == [
        "row", "inputs", "id", "a", "inference_result", "cumulative_logprobs", "confidence_score",
    ]  # fmt: skip
    assert page.rows == [[0, "in", 7, 1, '{"a": 1}', -0.5, 0.9]]


def test_totals_do_not_wrap(tmp_path: Path) -> None:
    """Whatever the size of the integers that are added."""
    fields = {"outputs": [f'{{"n": {2**62}}}'] * 3, "id": pl.Series([2**31 - 1] * 3, dtype=pl.Int32)}
    page = query(parquet(tmp_path, fields), "SELECT sum(n) AS n, sum(id) AS i FROM results")
    assert page.rows == [[str(3 * 2**62) if 3 * 2**62 >= 2**64 else 3 * 2**62, 3 * (2**31 - 1)]]


def test_integers_that_came_as_json_are_integers_at_any_size(tmp_path: Path) -> None:
    """Parquet has none of more than 64 bits; alone and in lists they are as pages show them."""
    columns = {"outputs": ["a", "b"], "n": [2**64, 1], "l": [[2**64], [2]], "huge": [2**127 - 1, None]}
    artifact = file(tmp_path, json.dumps(columns), "json")
    shown = query(artifact, "SELECT n, l, huge FROM results ORDER BY row").rows
    assert shown == page(artifact, columns=("n", "l", "huge")).rows
    assert query(artifact, "SELECT sum(n) = 18446744073709551617 FROM results").rows == [[True]]


def test_a_narrow_float_has_no_digits_of_a_wide_one(tmp_path: Path) -> None:
    """0.1 is 0.1, whatever its size."""
    found = query(outputs(tmp_path, "a"), "SELECT 0.1::FLOAT, 'nan'::FLOAT, NULL::FLOAT FROM results")
    assert found.rows == [[0.1, "nan", None]]


def test_names_that_are_taken_are_given_way_to(tmp_path: Path) -> None:
    """Ours stay, and nothing is lost: SQL knows no case, and an empty name cannot be written."""
    text = (
        '{"row": 1, "inference_result": 2, "id": 3, "a.b": 4, "a": {"b": 5}, "\\u202e": 6, '
        '"label": 7, "Label": 8, "": 9}'
    )
    columns = {"outputs": [text], "row": ["r"], "inference_result": ["i"], "id": ["d"], "ID": ["e"]}
    page = query(parquet(tmp_path, columns), "SELECT * FROM results")
    assert dict(zip(page.columns, page.rows[0], strict=True)) == {
        "row": 0,
        "carried.row": "r",
        "carried.inference_result": "i",
        "id": "d",
        "carried.ID": "e",
        "inference_result.row": 1,
        "inference_result.inference_result": 2,
        "inference_result.id": 3,
        "a.b": 4,
        "a": '{"b":5}',
        "inference_result.a.b": 5,
        "\\u{202E}": 6,
        "label": 7,
        "inference_result.Label": 8,
        "inference_result.": 9,
        "inference_result": text,
    }


def test_any_column_may_stand_in_the_file(tmp_path: Path) -> None:
    """Whatever its name, and whatever its type."""
    columns = {
        "outputs": pl.Series(['{"a": 1}', '{"a": 2}'], dtype=pl.Enum(['{"a": 1}', '{"a": 2}'])),
        "file_row_number": [7, 8],
        'say "j"': [[1, 2], []],
        " j": ["x", None],
        "day": [datetime.date(2026, 1, 1), None],
        "of": [{"k": 1}, {"k": None}],
    }
    assert query(parquet(tmp_path, columns), "SELECT * FROM results ORDER BY row").rows == [
        [0, 7, "[1,2]", "x", "2026-01-01", '{"k":1}', 1, '{"a": 1}'],
        [1, 8, "[]", None, None, '{"k":null}', 2, '{"a": 2}'],
    ]


def test_outputs_that_are_no_text_are_a_column_as_they_are(tmp_path: Path) -> None:
    """Vectors can be measured."""
    artifact = outputs(tmp_path, [0.5, 1.5], [2.0])
    assert query(artifact, "SELECT len(inference_result), inference_result[1] FROM results").rows == [
        [2, 0.5],
        [1, 2.0],
    ]
    assert types(artifact) == {"row": "BIGINT", "inference_result": "DOUBLE[]"}


def test_results_that_come_as_json_are_a_table_too(tmp_path: Path) -> None:
    """With the types that they have as Parquet."""
    artifact = file(tmp_path, json.dumps({"outputs": ['{"a": 1}', "x"], "id": [1, 2]}), "json")
    assert query(artifact, "SELECT * FROM results ORDER BY row").rows == [
        [0, 1, 1, '{"a": 1}'],
        [1, 2, None, "x"],
    ]


def test_several_jobs_are_tables_side_by_side(tmp_path: Path) -> None:
    """Each with the fields of its own outputs."""
    after = objects(tmp_path, {"label": "a"}, {"label": "b"}, {"label": "b"})
    before = objects(tmp_path, {"label": "a", "n": 1}, {"label": "a", "n": 2})
    page = query_all(
        {"results": after, "before": before},
        "SELECT b.label AS was, r.label AS is_now, count(*), sum(n) FROM results r JOIN before b USING (row) "
        "GROUP BY ALL ORDER BY ALL",
    )
    assert page.rows == [["a", "a", 1, 1], ["a", "b", 1, 2]]
    assert query_all({"results": after, "before": before}, "SHOW TABLES").rows == [["before"], ["results"]]
    assert query_all({"results": after, "tables": before}, "SELECT sum(n) FROM tables").rows == [[3]]


def test_what_cannot_be_read_is_no_table(tmp_path: Path) -> None:
    """The same errors as for a page."""
    for raw in ("no parquet", b"PAR1" + b"\0" * 64 + b"\x04\0\0\0PAR1"):
        with pytest.raises(UnexpectedReplyError, match="damaged"):
            query(file(tmp_path, raw), "SELECT 1")


@pytest.mark.parametrize(
    ("sql", "happened"),
    [
        ("SELECT nope FROM results", 'there is no column "nope"'),
        ("SELECT lable FROM results", 'there is no column "lable"; the nearest names are "label"'),
        ("SELECT name FROM results", 'there is no column "name"; the nearest names are "vendor.name"'),
        ('SELECT * FROM results WHERE label = "good"',
         'there is no column "good"; text goes in single quotes'),
        ("SELECT inputs FROM results", 'there is no column "inputs" (include_inputs=true adds it)'),
        ("SELECT cumulative_logprobs FROM results",
         'there is no column "cumulative_logprobs" (include_cumulative_logprobs=true adds it)'),
        ("SELECT * FROM nope", 'there is no table "nope"'),
        ("SELECT content.verdict FROM results", 'there is no table "content"'),
        ("SELECT \"vendor.at\".town FROM results", 'there is no field "town"'),
        ("SELECT score + FROM WHERE", 'there is a syntax error at or near "FROM"'),
        ("SELECT TOP 5 * FROM results",
         'there is a syntax error at or near "5"; write LIMIT 5 at the end instead of TOP 5'),
        ("SELECT safe_cast(label AS INT64) FROM results",
         'there is a syntax error at or near "AS"; write TRY_CAST instead of SAFE_CAST'),
        ("SELECT * FROM results WHERE label > 4",
         "it compares VARCHAR with INTEGER; TRY_CAST(x AS DOUBLE) makes a number of text"),
        ("SELECT * FROM results WHERE label > DATE '2026-01-01'",
         "it compares VARCHAR with DATE; CAST(x AS DATE) or CAST(x AS TIMESTAMP) makes a time of text"),
        ("SELECT avg(label) FROM results",
         'there is no "avg(VARCHAR)"; TRY_CAST(x AS DOUBLE) makes a number of text'),
        ("SELECT * FROM results WHERE score LIKE '4%'",
         'there is no "LIKE(DOUBLE, STRING_LITERAL)"; CAST(x AS VARCHAR) makes text of any value'),
        ("SELECT year(label) FROM results",
         'there is no "year(VARCHAR)"; CAST(x AS DATE) or CAST(x AS TIMESTAMP) makes a time of text'),
        ("SELECT CAST(label AS INTEGER) FROM results",
         '"Could not convert string \'good\' to INT32"; TRY_CAST gives null for what cannot be cast'),
        ("SELECT to_char(score, '9') FROM results",
         "there is no function \"to_char\"; use strftime(time, '%Y-%m'), or format('{:,.2f}', number)"),
        ("SELECT medain(score) FROM results",
         'there is no function "medain"; the nearest name is median'),
        ("SELECT list_transform(tags, x -> upper(x)) FROM results",
         "a lambda is written lambda x: x + 1, as in list_transform(tags, lambda x: upper(x))"),
        ("SELECT unnest(inference_result->'tags') FROM results",
         "UNNEST takes a list; CAST(x AS JSON[]) makes one of a JSON array"),
        ("SELECT * FROM results WHERE vendor.name = 'Ada'",
         "it compares JSON with text; x->>'key' is text where x->'key' is JSON"),
        ("SELECT * FROM results WHERE vendor->'name' = 'Ada'",
         "an operator after -> takes the key for its own; write (x->>'key') in brackets"),
        ("SELECT label, count(*) FROM results",
         '"column \'label\' must appear in the GROUP BY clause or must be part of an aggregate function."'),
        ("SELECT 9223372036854775807 + 1::BIGINT FROM results",
         '"Overflow in addition of INT64 (9223372036854775807 + 1)!"'),
        ("SELECT * FROM '/etc/passwd'", 'there is no table "/etc/passwd"'),
        ("SELECT * FROM read_csv('/etc/passwd')", "SQL can read the tables listed here and nothing else"),
        ("SELECT " + "(" * 500 + "1" + ")" * 500, "it is nested too deeply"),
        ("", "it has to be one SELECT"),
        ("SELECT 1; SELECT 2", "it holds more than one statement"),
        ("DROP VIEW results",
         "DROP is not allowed: it has to be one SELECT (DESCRIBE, SUMMARIZE and PIVOT are, too)"),
        ("/* é */ install x",
         "INSTALL is not allowed: it has to be one SELECT (DESCRIBE, SUMMARIZE and PIVOT are, too)"),
        ("WITH x AS (SELECT 1) DELETE FROM results",
         "DELETE is not allowed: it has to be one SELECT (DESCRIBE, SUMMARIZE and PIVOT are, too)"),
        ("SELECT '" + "x" * 10_000 + "'", "the SQL has more than 10,000 characters"),
    ],
)  # fmt: skip
def test_wrong_sql_is_answered_with_what_is_wrong_and_the_columns(
    reviews: LocalArtifact, sql: str, happened: str
) -> None:
    """One short sentence that says what to write instead, and what there is to select."""
    refused = refusal(reviews, sql)
    assert refused.happened == happened
    assert (refused.doing, refused.next_step) == (f"query the results of {JOB_ID}", COLUMNS)


def test_what_duckdb_says_is_cut_and_made_visible(reviews: LocalArtifact) -> None:
    """It may repeat a name that someone else chose."""
    happened = refusal(reviews, 'SELECT "\u202e' + "x" * 500 + '" FROM results').happened
    assert "\u202e" not in happened
    assert len(happened) < 360


def test_a_query_beyond_its_memory_says_what_takes_less(reviews: LocalArtifact) -> None:
    """It is our limit and not a failure of the engine."""
    happened = refusal(reviews, "SELECT list(i) FROM range(100_000_000) t(i)").happened
    assert happened.startswith("it needs more memory than it may have: select or group by fewer")


def test_rows_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    """And said, with what to do; where that takes too long, that there are more."""
    artifact = objects(tmp_path, *({"n": n} for n in range(30)))
    page = query(artifact, "SELECT n FROM results", limit=10)
    assert (len(page.rows), page.row_count) == (10, 30)
    assert page.shortened == "20 rows not shown (limit goes up to 1,000; OFFSET skips rows)"


def test_rows_that_take_too_long_to_count_are_not_counted(reviews: LocalArtifact) -> None:
    """The first of them are there all the same, and the next query works."""
    tables = replace(lazy_engine.load({"results": prepare(reviews)}), count_seconds=0.05)
    endless = "SELECT 7 FROM range(1_000_000_000_000) a, range(1000) b WHERE a.range + b.range >= 0"
    page = lazy_engine.run(tables, QueryRequest(sql=endless, limit=2))
    assert (page.rows, page.row_count) == ([[7], [7]], 3)
    assert page.shortened is not None
    assert page.shortened.startswith("row_count is a lower bound, there are too many to count")
    assert lazy_engine.run(tables, QueryRequest(sql="SELECT count(*) FROM results")).rows == [[7]]
    tables.close()


def test_a_single_row_may_have_long_cells(tmp_path: Path) -> None:
    """Rows share what there is; long cells of many rows are cut, and that is said."""
    artifact = outputs(tmp_path, *["x" * 6_000] * 20)
    alone = query(artifact, "SELECT inference_result FROM results LIMIT 1")
    assert alone.rows == [["x" * 6_000]]
    many = query(artifact, "SELECT inference_result FROM results", max_chars=50_000)
    assert many.shortened == "20 cells cut to 500 characters (select fewer rows or columns)"


def test_rows_that_do_not_fit_are_counted_with_those_beyond_the_limit(tmp_path: Path) -> None:
    """A page ends at a whole row rather than pass its budget."""
    artifact = outputs(tmp_path, *["x" * 90] * 60)
    page = query(artifact, "SELECT inference_result FROM results", max_chars=1_000)
    assert (len(page.rows), page.row_count) == (10, 60)
    assert page.shortened == "50 rows not shown (limit goes up to 1,000; OFFSET skips rows)"


def test_columns_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    """Sixty are shown at most, and two hundred fields have columns."""
    artifact = objects(tmp_path, {f"k{n}": n for n in range(70)})
    assert query(artifact, "SELECT * FROM results").shortened == (
        "12 columns not shown (select those you need)"
    )
    wide = objects(tmp_path, {f"k{n}": n for n in range(250)})
    page = query(wide, "SELECT k199 FROM results")
    assert page.rows == [[199]]
    assert page.shortened == "some JSON fields are no columns (they are in inference_result)"
    refused = refusal(wide, "SELECT k200 FROM results")
    assert refused.happened.endswith("; some JSON fields are no columns (they are in inference_result)")
    message = refused.next_step
    assert message.startswith('The columns of results are "row" BIGINT, "k0" BIGINT')
    assert message.endswith(", and 142 more")


def test_a_column_is_found_however_its_accents_are_composed(tmp_path: Path) -> None:
    """In quotes or without, beside texts that stay as they are; an exact name comes first."""
    found = query(
        objects(tmp_path, {"Ko\u0308ln": "\u00f6", "ä b": 2, "a\u0308 b": 3}),
        '-- ö\n  SELECT "K\u00f6ln" = \'o\u0308\', results.k\u00f6ln, "a\u0308 b", "ä b" FROM results',
    )
    assert (found.columns[1], found.rows) == ("Ko\u0308ln", [[False, "\u00f6", 3, 2]])
