"""Summaries of millions of rows: what is called exact is exact, and estimates are near and called so."""

import json
from collections.abc import Callable

import polars as pl
import pytest

from sutro_mcp.results import QualityFlag, TopValue
from sutro_mcp.server.tools.get_job_results import ResultsAnswer, text_of_summary
from tests.results.summary.support import OUTPUT, PROSE, summarise
from tests.results.support import JOB_ID, column

MILLION = 1_000_000


def numbered(start: int, stop: int) -> pl.Series:
    """Integers, shuffled by a fixed seed."""
    return pl.int_range(start, stop, eager=True).shuffle(seed=7)


COLUMNS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "texts": lambda numbers: numbers.cast(pl.String),
    "integers": lambda numbers: numbers * 1_000,
    "dates": lambda numbers: numbers.cast(pl.Int32).cast(pl.Date),
    "pairs": lambda numbers: pl.DataFrame({"a": numbers, "b": numbers}).select(pl.concat_list("a", "b"))["a"],
}


@pytest.mark.parametrize("made_of", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("distinct", [300_000, pytest.param(MILLION, marks=pytest.mark.large)])
def test_distinct_values_are_estimated_within_the_stated_error(
    made_of: Callable[[pl.Series], pl.Series], distinct: int
) -> None:
    """And called an estimate."""
    values = made_of(numbered(0, MILLION) % distinct)
    (answer,) = summarise(values, range(0, MILLION, 120_000)).columns
    assert answer.estimates
    assert "distinct" in answer.estimates
    assert abs(answer.distinct / distinct - 1) < 0.025


def test_up_to_the_stated_number_distinct_values_are_counted() -> None:
    """One column has room for a quarter of a million; so have two."""
    ids = numbered(0, 400_000) % 200_000
    answer = summarise({OUTPUT: ids.cast(pl.String), "id": ids}, range(0, 400_000, 60_000))
    assert [(each.distinct, each.estimates) for each in answer.columns] == [(200_000, None)] * 2
    numbers = answer.columns[1].numbers
    assert numbers
    assert (numbers.q25, numbers.median, numbers.q75) == (49_999.75, 99_999.5, 149_999.25)


@pytest.fixture(scope="module")
def wide() -> dict[str, pl.Series]:
    """More columns of many values each than there is room to count."""
    return {OUTPUT: pl.Series(["x"] * 60_000)} | {f"c{n}": numbered(0, 60_000) * n for n in range(1, 30)}


def test_many_columns_share_the_room(wide: dict[str, pl.Series]) -> None:
    """Each is estimated the better the fewer they are, and a column of few values stays exact."""
    answer = summarise(wide, range(0, 60_000, 20_000))
    output, *columns = answer.columns
    assert (output.distinct, output.estimates) == (1, None)
    assert {tuple(each.estimates or ()) for each in columns} == {("distinct", "quartiles")}
    assert max(abs(each.distinct / 60_000 - 1) for each in columns) < 0.025


def test_estimates_do_not_depend_on_the_batches(wide: dict[str, pl.Series]) -> None:
    """Nor on what was there first."""
    assert summarise(wide, range(0, 60_000, 7_000)) == summarise(wide, [1])


def test_quartiles_of_many_numbers_are_estimated_from_rows_everywhere() -> None:
    """Half of the rows are zero. Extremes, mean and lengths stay exact."""
    numbers = pl.concat([numbered(0, MILLION // 2) * 0, numbered(0, MILLION // 2)]).cast(pl.Float64)
    answer = summarise(
        {OUTPUT: numbers.cast(pl.Int64).cast(pl.String), "n": numbers}, range(0, MILLION, 99_000)
    )
    texts, found = answer.columns
    assert found.estimates == ["distinct", "quartiles"]
    assert found.numbers
    assert (found.numbers.min, found.numbers.max) == (0, 499_999)
    assert found.numbers.mean == pytest.approx(numbers.mean())
    assert (found.numbers.q25, found.numbers.q75) == (0, pytest.approx(250_000, rel=0.02))
    assert found.top == [TopValue(value=0.0, count=MILLION // 2 + 1, share=0.5)]
    assert texts.lengths
    assert (texts.lengths.min, texts.lengths.max) == (1, 6)
    assert (texts.lengths.q25, texts.lengths.median, texts.lengths.q75) == (1, 1, 6)


def test_frequent_values_are_counted_among_any_number_of_others() -> None:
    """One that was frequent from the start. One that comes late is found, its count not called exact."""
    rows = pl.int_range(MILLION, eager=True)
    # Half of the rows are all different; a third are frequent for a while and never again.
    values = numbered(0, MILLION).cast(pl.String).zip_with(rows % 2 == 0, (-rows // 250).cast(pl.String))
    early, late = rows % 10 == 3, (rows % 10 == 4) & (rows >= 600_000)
    values = values.set(early, "early").set(late, "late").set(rows == 5, "late")
    (answer,) = summarise(values, range(0, MILLION, 5_000)).columns
    assert answer.estimates == ["distinct", "top"]
    assert [top.value for top in answer.top] == ["early", "late"]
    assert answer.top[0].count == 100_000
    assert 0 <= 40_001 - answer.top[1].count <= 1


def test_repeated_texts_are_estimated_where_not_all_are_counted() -> None:
    """The heaviest are counted, of the others there is a sample; the rows named are such rows."""
    numbers = pl.int_range(600_000, eager=True)
    # A third of all rows are one text, a sixth are pairs.
    numbers = numbers.set(numbers % 3 == 0, 0)
    numbers = numbers.zip_with(numbers % 12 != 1, numbers // 24 * 24 + 1)
    texts = f"{PROSE} " + numbers.cast(pl.String)
    true = int(texts.is_duplicated().sum())
    answer = summarise(texts, range(0, 600_000, 50_000))
    (found,) = answer.suspicious
    assert found.estimate
    assert found.count == answer.suspicious_rows
    assert abs(found.count / true - 1) < 0.025
    assert (
        abs((found.beyond_first or 0) / (true - texts.filter(texts.is_duplicated()).n_unique()) - 1) < 0.025
    )
    assert texts.is_duplicated().gather(found.rows).all()
    printed = text_of_summary(ResultsAnswer.of_summary(JOB_ID, answer))
    assert f"suspicious rows: about {found.count:,} " in printed
    assert f"- same output as another row: about {found.count:,} (rows 0, " in printed
    assert f"; {found.beyond_first:,} beyond the first of each)" in printed


def test_estimates_are_called_so_in_the_text() -> None:
    """A reader of the text channel sees the same reservations."""
    values = [json.dumps({"n": n}) for n in range(3)]
    answer = summarise(pl.Series(values))
    (field,) = answer.columns
    top = [TopValue(value=1, count=2, share=0.5)]
    guessed = field.model_copy(update={"estimates": ["distinct", "quartiles", "top"], "top": top})
    doubt = QualityFlag(kind="empty output", count=7, rows=[1, 2])
    shown = answer.model_copy(update={"columns": [guessed], "suspicious": [doubt], "suspicious_rows": 7})
    assert (
        "- n (integer, BIGINT): in 3 rows, 0 null, about 3 distinct; "
        "0/0.5/1/1.5/2 (min/q25/median/q75/max), mean 1 (quartiles estimated); "
        "of 3: 1 2 (50.0%) (counts at least)\n"
        "suspicious rows: 7 (view rows, offset, limit=1 shows one)\n- empty output: 7 (rows 1, 2, …)\n"
    ) in text_of_summary(ResultsAnswer.of_summary(JOB_ID, shown))


def test_the_fields_of_many_objects_are_estimated_as_columns_are() -> None:
    """Numbers, texts and nested ones; what is rare in them is still found."""
    rows = pl.DataFrame({"n": numbered(0, 300_000)})
    outputs = rows.select(pl.format('{{"id": {}, "at": {{"city": "c{}"}}, "label": "good"}}', "n", "n"))
    answer = summarise(outputs.to_series().set(rows["n"] == 77, '{"id": '), range(0, 300_000, 25_000))
    assert answer.outputs == "JSON objects in 299,999 of 300,000 rows"
    identity, city, label = answer.columns
    assert [each.name for each in answer.columns] == ["id", "at.city", "label"]
    assert identity.estimates == ["distinct", "quartiles"]
    assert city.estimates == ["distinct"]
    assert max(abs(each.distinct / 299_999 - 1) for each in (identity, city)) < 0.025
    assert (label.estimates, label.top) == (None, [TopValue(value="good", count=299_999, share=1)])
    (broken,) = answer.suspicious
    assert (broken.kind, broken.count) == ("JSON cut off or broken", 1)
    assert column(answer, "id").present == 299_999


def test_a_list_of_values_that_may_lack_one_is_called_an_estimate() -> None:
    """X is the most frequent, but was rare while it was not yet counted."""
    batch, parts = 20_000, list[pl.Series]()
    for number in range(30):
        x = 0 if number < 14 else 48 if number < 20 else 340
        named = ["X"] * x + [f"Y{label}" for label in range(8) for _ in range(120)]
        unique = [f"{number}-{row}" for row in range(batch - len(named))]
        parts.append(pl.Series([*unique, *named]))
    (answer,) = summarise(pl.concat(parts), range(0, 30 * batch, batch)).columns
    assert "X" not in [top.value for top in answer.top]
    assert answer.estimates == ["distinct", "top"]
