"""The base of the numbers in a summary, and how to get those that it leaves out."""

import math
from pathlib import Path

import polars as pl
import pytest

from sutro_mcp.results import Distribution, QualityFlag, Summary, TopValue
from sutro_mcp.results.request_models import Overlap
from sutro_mcp.results.summary.distinct_sketch import Budget, Sketch, hashes
from sutro_mcp.server.tools.get_job_results import ResultsAnswer, text_of_summary
from tests.results.sql.support import query
from tests.results.summary.support import PROSE
from tests.results.support import JOB_ID, column, objects, outputs, parquet, summary

REFUSED = "refusal-like (English phrases)"


def test_repeats_say_how_many_rows_are_beyond_the_first_of_each(tmp_path: Path) -> None:
    """Deleting the copies would leave the others."""
    found = summary(outputs(tmp_path, PROSE, PROSE, "other", PROSE, PROSE[::-1], PROSE[::-1])).suspicious
    assert found == [
        QualityFlag(kind="same output as another row", count=5, rows=[0, 1, 3, 4, 5], beyond_first=3)
    ]


def test_kinds_that_are_the_same_rows_say_so(tmp_path: Path) -> None:
    """Three kinds of one row each need not be three rows to look at."""
    refusal = f"I'm sorry, but I can't help with that. {PROSE}"
    as_text = summary(outputs(tmp_path, refusal, refusal, "I cannot", "fine", ""))
    assert [(flag.kind, flag.count, flag.also) for flag in as_text.suspicious] == [
        (REFUSED, 3, None),
        ("same output as another row", 2, [Overlap(kind=REFUSED, count=2)]),
        ("empty output", 1, None),
    ]
    assert as_text.suspicious_rows == 4
    as_json = summary(outputs(tmp_path, "I cannot", "no", '{"a": 1}'), json_schema={})
    assert "- not JSON: 2 (rows 0, 1)\n" in said(as_json)
    assert f'- {REFUSED}: 1 (row 0; also "not JSON")\n' in said(as_json)
    some = summary(outputs(tmp_path, refusal, refusal, "I cannot", PROSE, PROSE, PROSE))
    assert f'- {REFUSED}: 3 (rows 0, 1, 2; 2 of them also "same output as another row")\n' in said(some)


def test_numbers_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    """The extremes are those of the others."""
    texts = ('{"x": 1e400}', '{"x": -1e400}', '{"x": 1}', '{"x": 3}', f'{{"x": {10**400}}}')
    answer = summary(outputs(tmp_path, *texts))
    three = Distribution(min=1, q25=1.5, median=2, q75=2.5, max=3, mean=2)
    assert (column(answer, "x").numbers, column(answer, "x").not_finite) == (three, 3)
    assert "mean 2; 3 not finite\n" in said(answer)
    (floats,) = summary(outputs(tmp_path, 1.5, math.nan, math.inf)).columns
    assert (floats.not_finite, floats.distinct) == (2, 3)


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["spam", "ham", '{"a": 1}'])])
def test_outputs_that_are_categories_are_text(tmp_path: Path, dtype: pl.DataType) -> None:
    """Files of pandas and Arrow hold them as a dictionary."""
    answer = summary(outputs(tmp_path, *pl.Series(["spam", "ham", "spam"], dtype=dtype)))
    texts = pl.DataFrame({"outputs": pl.Series(["spam", "ham", "spam"], dtype=dtype)})
    texts.write_parquet(tmp_path / "texts.parquet")
    artifact = outputs(tmp_path).model_copy(update={"path": str(tmp_path / "texts.parquet")})
    assert summary(artifact) == answer
    assert answer.columns[0].top == [TopValue(value="spam", count=2, share=0.667)]
    objects_alone = pl.DataFrame({"outputs": pl.Series(['{"a": 1}'] * 2, dtype=dtype)})
    objects_alone.write_parquet(tmp_path / "texts.parquet")
    assert [each.name for each in summary(artifact).columns] == ["a"]


def test_values_that_are_left_out_are_counted_and_can_be_had(tmp_path: Path) -> None:
    """By the SQL that the summary names."""
    artifact = objects(tmp_path, *({'a "b"': f"v{number % 30}", "n": 1} for number in range(90)))
    answer = summary(artifact)
    first, second = answer.columns
    assert (len(first.top), first.more, first.distinct) == (8, 22, 30)
    assert (second.more, second.top) == (None, [TopValue(value=1, count=90, share=1)])
    assert answer.every_value_sql is not None
    counts = query(artifact, answer.every_value_sql).rows
    assert sorted(map(str, counts)) == sorted(f"['v{number}', 3]" for number in range(30))
    assert "; of 90: v0 3 (3.3%), " in said(answer)
    assert ", 22 other values\n- n (integer, BIGINT): in 90 rows, 0 null, 1 distinct; 1/" in said(answer)
    assert f"every value, by query_job_results: {answer.every_value_sql}\n" in said(answer)


def test_outputs_under_another_name_are_counted_by_their_name_in_sql(tmp_path: Path) -> None:
    """There it is always the same."""
    artifact = outputs(tmp_path, "a", "a", "b")
    answer = summary(artifact, output_column="answers")
    assert (answer.columns[0].name, answer.columns[0].more) == ("answers", 1)
    assert query(artifact, answer.every_value_sql or "").rows == [["a", 2], ["b", 1]]


def test_sql_of_a_summary_reads_the_column_that_it_is_about(tmp_path: Path) -> None:
    """Also where SQL calls it otherwise, as it does not tell case apart and numbers rows."""
    values = ["x"] * 40 + [f"v{n}" for n in range(40)]
    artifact = parquet(tmp_path, pl.DataFrame({"Row": values, "outputs": ["{}"] * 80}))
    sql = summary(artifact).every_value_sql or ""
    assert query(artifact, sql).rows[0] == ["x", 40]


def test_an_empty_text_is_shown_as_a_pair_of_quotes(tmp_path: Path) -> None:
    """Nothing at all looks like a mistake."""
    assert '; of 3: "" 2 (66.7%), 1 other value\n' in said(
        summary(objects(tmp_path, *({"a": each} for each in ("", "", "x"))))
    )


def test_there_are_never_more_distinct_values_than_values() -> None:
    """Where they are estimated as well."""
    budget = Budget()
    sketch = Sketch(budget)
    numbers = pl.int_range(300_000, dtype=pl.UInt32, eager=True)
    for start in range(0, 300_000, 1_000):
        some = numbers.slice(start, 1_000)
        sketch.add(pl.DataFrame({"h": hashes(some), "row": some}))
        assert sketch.distinct <= start + 1_000
    budget.settle()
    assert 0.97 * 300_000 < sketch.distinct <= 300_000


def said(answer: Summary) -> str:
    """The text of the tool."""
    return text_of_summary(ResultsAnswer.of_summary(JOB_ID, answer))
