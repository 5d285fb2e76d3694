"""SQL over results: what the table holds, what a query yields, and what is said when it is wrong.

Runs in this process, where everything but the wall is the same; the wall has tests of its own.
"""

import datetime
import json
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from sutro_mcp.errors import InvalidArgumentError, UnexpectedReplyError
from sutro_mcp.results import LocalArtifact, Page
from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.sql.polars_engine import run_query, warm_up
from sutro_mcp.results.sql.polars_precheck import why_not
from sutro_mcp.results.sql.table import load_table
from tests.results.support import JOB_ID, file, objects, outputs, parquet

REVIEWS: list[dict[str, Any]] = [
    {"label": "good", "score": 5, "vendor": {"name": "Ada", "at": {"city": "Rome"}}, "tags": ["a", "b"]},
    {"label": "bad", "score": 1, "vendor": {"name": "Bob"}, "tags": []},
    {"label": "good", "score": 2.5, "tags": ["c"], "order": 7, "is it": True},
    {"label": None, "vendor": {"name": "Ada"}},
]


@pytest.fixture
def reviews(tmp_path: Path) -> LocalArtifact:
    """Four reviews, a null, text, and JSON that was cut off."""
    texts = [*map(json.dumps, REVIEWS), None, "sorry", '{"label": "go']
    return outputs(tmp_path, *texts)


def query(artifact: LocalArtifact, sql: str, **options: Any) -> Page:
    """The page, made in this process."""
    return run_query(load_table(artifact), QueryRequest(sql=sql, **options))


def refusal(artifact: LocalArtifact, sql: str, **options: Any) -> InvalidArgumentError:
    """Why the SQL cannot be run."""
    with pytest.raises(InvalidArgumentError) as refused:
        query(artifact, sql, **options)
    return refused.value


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
        ("SELECT CASE WHEN score > 2 THEN 'high' ELSE 'low' END AS band FROM results WHERE score IS NOT NULL",
         [["high"], ["low"], ["high"]]),
        ("SELECT row FROM results WHERE label LIKE 'g%'", [[0], [2]]),
        ("SELECT row FROM results WHERE label ILIKE 'B_D'", [[1]]),
        ("SELECT row FROM results WHERE label ~ '^[gb].*d$' ORDER BY row", [[0], [1], [2]]),
        ('SELECT "vendor.name", count(*) AS n FROM results WHERE vendor IS NOT NULL GROUP BY 1 ORDER BY 1',
         [["Ada", 2], ["Bob", 1]]),
        ('SELECT "vendor.at.city", vendor FROM results WHERE row = 0',
         [["Rome", '{"name":"Ada","at":{"city":"Rome"}}']]),
        ('SELECT `order`, "is it" FROM results WHERE row = 2', [[7, True]]),
        ("SELECT row, tags, ARRAY_LENGTH(tags) AS n FROM results WHERE tags IS NOT NULL ORDER BY row",
         [[0, '["a","b"]', 2], [1, "[]", 0], [2, '["c"]', 1]]),
        ("SELECT row FROM results WHERE ARRAY_CONTAINS(tags, 'c')", [[2]]),
        ("SELECT UNNEST(tags) AS tag FROM results ORDER BY tag NULLS LAST LIMIT 3", [["a"], ["b"], ["c"]]),
        ("SELECT row, inference_result FROM results WHERE row > 3 AND label IS NULL ORDER BY row",
         [[4, None], [5, "sorry"], [6, '{"label": "go']]),
        ("SELECT label FROM results WHERE row = 0 UNION SELECT 'x' AS label ORDER BY label",
         [["good"], ["x"]]),
        ("SELECT count(DISTINCT label) AS n FROM results HAVING n > 1 ; -- end", [[2]]),
        ("(SELECT row FROM results LIMIT 1)", [[0]]),
        ("SELECT 'read_csv(''x'')' AS a FROM results /* DROP; /* x */ */ LIMIT 1", [["read_csv('x')"]]),
        ("SELECT TIMESTAMP '2026-01-02 03:04:05' AT TIME ZONE 'UTC' AS t, DATE '2026-01-02' AS d",
         [["2026-01-02T03:04:05+00:00", "2026-01-02"]]),
        ("SELECT row FROM results WHERE row > 99", []),
    ],
)  # fmt: skip
def test_sql_yields_what_it_says(reviews: LocalArtifact, sql: str, rows: list[list[Any]]) -> None:
    """Over fields of JSON outputs; rows that are no objects are null in them and spoil nothing."""
    page = query(reviews, sql)
    assert page.rows == rows
    assert (page.row_count, page.next_offset, page.shortened) == (len(rows), None, None)


def test_the_table_has_a_column_for_each_field_and_says_of_what_type(reviews: LocalArtifact) -> None:
    """In order of first appearance, around the raw output."""
    assert load_table(reviews).listing() == (
        '"row" integer, "label" text, "score" number, "vendor" text, "vendor.name" text, "vendor.at" text, '
        '"vendor.at.city" text, "tags" list of text, "order" integer, "is it" boolean, '
        '"inference_result" text'
    )


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


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    cast(
        "list[Any]",
        [
            ([1, None, 3], pl.Int64, [1, None, 3]),
            ([1, 2.5], pl.Float64, [1.0, 2.5]),
            ([True, None], pl.Boolean, [True, None]),
            (["a", None], pl.String, ["a", None]),
            ([None, None], pl.String, [None, None]),
            ([1, "a", True, None, [1]], pl.String, ["1", "a", "true", None, "[1]"]),
            ([1, True], pl.String, ["1", "true"]),
            ([{"b": 1}, None], pl.String, ['{"b":1}', None]),
            ([[1, 2], [], None], pl.List(pl.Int64), [[1, 2], [], None]),
            ([[1], ["a", None]], pl.List(pl.String), [["1"], ["a", None]]),
            ([[{"b": 1}, [2]]], pl.List(pl.String), [['{"b":1}', "[2]"]]),
            ([[], []], pl.List(pl.String), [[], []]),
            ([2**63 - 1, 1], pl.Int128, [2**63 - 1, 1]),
            ([2**126, 2**126], pl.String, [str(2**126), str(2**126)]),
            ([10**400, 0.5], pl.String, [str(10**400), "0.5"]),
        ],
    ),
)
def test_a_field_has_one_type_whatever_its_values(
    tmp_path: Path, values: list[Any], dtype: pl.DataType, expected: list[Any]
) -> None:
    """And no value is lost, wrapped or guessed."""
    column = load_table(objects(tmp_path, *({"f": value} for value in values))).frame.get_column("f")
    assert column.dtype == dtype
    assert column.to_list() == expected


def test_totals_do_not_wrap(tmp_path: Path) -> None:
    """polars adds 64-bit numbers to a 64-bit total, and 32-bit ones to 32 bits, without a word."""
    fields = {"outputs": [f'{{"n": {2**62}}}'] * 3, "id": pl.Series([2**31 - 1] * 3, dtype=pl.Int32)}
    page = query(parquet(tmp_path, fields), "SELECT sum(n) AS n, sum(id) AS i FROM results")
    assert page.rows == [[3 * 2**62, 3 * (2**31 - 1)]]


def test_names_that_are_taken_are_given_way_to(tmp_path: Path) -> None:
    """Ours stay, and nothing is lost; what cannot be typed is spelled out."""
    text = (
        '{"row": 1, "inference_result": 2, "id": 3, "a.b": 4, "a": {"b": 5}, "\\u202e": 6, '
        '"*": 7, "^x$": 8, "": 9}'
    )
    columns = {"outputs": [text], "row": ["r"], "inference_result": ["i"], "id": ["d"]}
    page = query(parquet(tmp_path, columns), "SELECT * FROM results")
    assert dict(zip(page.columns, page.rows[0], strict=True)) == {
        "row": 0,
        "carried.row": "r",
        "carried.inference_result": "i",
        "id": "d",
        "inference_result.row": 1,
        "inference_result.inference_result": 2,
        "inference_result.id": 3,
        "a.b": 4,
        "a": '{"b":5}',
        "inference_result.a.b": 5,
        "\\u{202E}": 6,
        "inference_result.*": 7,
        "inference_result.^x$": 8,
        "inference_result.": 9,
        "inference_result": text,
    }


def test_the_content_of_a_reasoning_envelope_has_columns_too(tmp_path: Path) -> None:
    """By the paths that a summary names."""
    inside = {"content": '{"verdict": "yes"}', "reasoning_content": "because"}
    artifact = objects(
        tmp_path, inside, {"content": "text", "reasoning_content": "b"}, {"content": '{"x":1}'}
    )
    page = query(artifact, 'SELECT "content.verdict" AS v, content, reasoning_content AS r FROM results')
    assert page.rows[0] == ["yes", '{"verdict": "yes"}', "because"]
    assert page.rows[1:] == [[None, "text", "b"], [None, '{"x":1}', None]]


def test_fields_are_unpacked_to_four_levels_and_two_hundred(tmp_path: Path) -> None:
    """The rest stays in the JSON text, and the answer says so."""
    deep = load_table(objects(tmp_path, {"a": {"b": {"c": {"d": {"e": 1}}}}}))
    assert deep.frame.columns == ["row", "a", "a.b", "a.b.c", "a.b.c.d", "inference_result"]

    wide = objects(tmp_path, {f"k{n}": n for n in range(250)})
    page = query(wide, "SELECT k199 FROM results")
    assert page.rows == [[199]]
    assert page.shortened == "some JSON fields are no columns (they are in inference_result)"
    message = refusal(wide, "SELECT k200 FROM results").next_step
    assert message.startswith('The columns of results are "row" integer, "k0" integer')
    assert message.endswith(", and 142 more")


def test_outputs_that_are_no_text_are_a_column_as_they_are(tmp_path: Path) -> None:
    """Vectors can be measured; an array has a type of its own."""
    artifact = outputs(tmp_path, [0.5, 1.5], [2.0])
    assert query(artifact, "SELECT ARRAY_LENGTH(inference_result) AS n FROM results").rows == [[2], [1]]
    kinds = {
        "outputs": pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)),
        "day": [datetime.date(2026, 1, 1)],
        "kind": pl.Series(["a"], dtype=pl.Categorical),
    }
    assert load_table(parquet(tmp_path, kinds)).listing() == (
        '"row" integer, "day" date, "kind" text, "inference_result" list of integer'
    )


def test_what_cannot_be_read_is_no_table(tmp_path: Path) -> None:
    """The same errors as for a page."""
    with pytest.raises(UnexpectedReplyError, match="damaged"):
        load_table(file(tmp_path, "no parquet"))


@pytest.mark.parametrize(
    ("sql", "happened"),
    [
        ("SELECT nope FROM results", "\"unable to find column 'nope'\""),
        ("SELECT * FROM nope", "\"relation 'nope' was not found\""),
        ("SELECT score + FROM WHERE", '"sql parser error: Expected: an expression, found: EOF"'),
        ("SELECT * FROM '/etc/passwd'", "\"relation '(path)' was not found\""),
        ("SELECT * FROM results WHERE score = 'x'", '"cannot compare string with numeric type (f64)"'),
        ("", "it has to be one SELECT, or one WITH … SELECT"),
        ("SELECT '" + "x" * 10_000 + "'", "the SQL has more than 10,000 characters"),
    ],
)
def test_wrong_sql_is_answered_with_what_is_wrong_and_the_columns(
    reviews: LocalArtifact, sql: str, happened: str
) -> None:
    """One short sentence, and what there is to select."""
    refused = refusal(reviews, sql)
    assert refused.doing == f"query the results of {JOB_ID}"
    assert refused.happened == happened
    assert refused.next_step == f"The columns of results are {load_table(reviews).listing()}"


def test_what_polars_says_is_cut_and_made_visible(reviews: LocalArtifact) -> None:
    """It may repeat a name that someone else chose."""
    happened = refusal(reviews, 'SELECT "\u202e' + "x" * 500 + '" FROM results').happened
    assert "\u202e" not in happened
    assert len(happened) < 320


def test_a_file_that_cannot_be_opened_is_refused_without_a_word_about_it(
    reviews: LocalArtifact, tmp_path: Path
) -> None:
    """Whether it is not there or may not be read would be an answer."""
    sql = f"FROM read_csv('{tmp_path / 'none'}')"
    happened = refusal(reviews, sql, checked=False).happened
    assert happened == "SQL can read the table results and nothing else"


@pytest.mark.parametrize(
    ("sql", "happened"),
    [
        ("SELECT vendor.town FROM results", 'there is no field "town"; a column with a dot'),
        ("SELECT vendor->>'town' FROM results", 'there is no field "town"; a column with a dot'),
        (
            "SELECT count(*), count(*) FROM results",
            "two columns of the answer have one name; rename one with AS",
        ),
        ("SELECT cumulative_logprobs FROM results", "(include_cumulative_logprobs=true adds it)"),
    ],
)
def test_a_mistake_is_told_in_words_that_help_with_sql(
    reviews: LocalArtifact, sql: str, happened: str
) -> None:
    """Where polars says a bare name, or what to do in Python."""
    assert happened in refusal(reviews, sql).happened


def test_a_panic_of_polars_is_a_refusal(reviews: LocalArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """It derives from BaseException, and its text is about polars' own source."""

    def panic(*_arguments: Any, **_options: Any) -> None:
        raise pl.exceptions.PanicException("called `Option::unwrap()` on /builds/polars/x.rs")

    monkeypatch.setattr(pl.SQLContext, "execute", panic)
    assert refusal(reviews, "SELECT 1").happened == "the SQL engine failed on it"


def test_rows_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    """And said, with what to do."""
    page = query(objects(tmp_path, *({"n": n} for n in range(30))), "SELECT n FROM results", limit=10)
    assert (len(page.rows), page.row_count) == (10, 30)
    assert page.shortened == "20 rows not shown (limit goes up to 1,000; OFFSET skips rows)"


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
    """Sixty are shown at most."""
    artifact = objects(tmp_path, {f"k{n}": n for n in range(70)})
    assert query(artifact, "SELECT * FROM results").shortened == (
        "12 columns not shown (select those you need)"
    )


def test_warming_up_works_in_any_process() -> None:
    """Its own SQL has to be right."""
    warm_up()


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM read_csv('x')", "read_csv is not allowed"),
        ("select * from READ_Parquet /* hm */ ('x')", "read_parquet is not allowed"),
        ("SELECT * FROM \"read_csv\"('x')", "read_csv is not allowed"),
        ("SELECT * FROM `read_csv`('x')", "read_csv is not allowed"),
        ("SELECT * FROM 'read_csv'('x')", "read_csv is not allowed"),
        ("SELECT * FROM results, scan_anything('x')", "scan_anything is not allowed"),
        ("SELECT * FROM range(9)", "range is not allowed"),
        ("SELECT * FROM generate_series(1, 9)", "generate_series is not allowed"),
        ("WITH /**/ recursive t AS (SELECT 1) SELECT 1", "WITH RECURSIVE is not allowed"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("DROP TABLE results", "has to be one SELECT"),
        ("/* SELECT", "has to be one SELECT"),
        (";;", "has to be one SELECT"),
        ("SELECT 1" + " OR 1" * 1_001, "it has 1,001 operators, more than 1,000"),
    ],
)
def test_what_is_not_a_plain_select_is_refused_in_words(sql: str, reason: str) -> None:
    """Before polars sees it."""
    assert reason in (why_not(sql) or "")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT read_csv FROM results",
        "SELECT 'read_csv(1)', $$ ; read_csv(1) $$, $x$ ; $ $x$ FROM results",
        'SELECT "a;b", "say ""hi""", 1.5e3, a::int, a || b FROM results -- ; read_csv(1)',
        "SELECT extract(year FROM coalesce(a, b)), 'it''s; fine' FROM results;;",
        "SELECT 'never closed ; read_csv(1)",
        "SELECT 1 /* /* ; */ ; */",
    ],
)
def test_what_only_looks_dangerous_passes(sql: str) -> None:
    """Names, texts and comments are not statements."""
    assert why_not(sql) is None
