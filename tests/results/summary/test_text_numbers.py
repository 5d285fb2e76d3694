"""Numbers that are held as text are told by the form that nearly all values have, never guessed."""

from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.results import Distribution
from tests.results.sql.support import query
from tests.results.summary.test_summary_facts import said
from tests.results.support import column, objects, summary

# Texts, their unit, and the numbers that they are.
NUMBERS: dict[str, tuple[list[str], str | None, list[float]]] = {
    "plain": (["7", "-12", "0.5", "+3"], None, [7, -12, 0.5, 3]),
    "point": (["1,234.50", "12", "1,000,000"], None, [1234.5, 12, 1e6]),
    "comma": (["1.234,50", "-0,5", "1.000.000"], None, [1234.5, -0.5, 1e6]),
    "one decides for all": (["1,234", "2,500", "3.75"], None, [1234, 2500, 3.75]),
    "and for the other": (["1,234", "2,500", "3,75"], None, [1.234, 2.5, 3.75]),
    "no group begins with zero": (["0.125", "1.250"], None, [0.125, 1.25]),
    "apostrophes": (["1'234.50", "12'000"], None, [1234.5, 12000]),
    "typographic apostrophes": (["1\u2019234.50", "7"], None, [1234.5, 7]),
    "spaces": (["1 234,50", "1 000 000"], None, [1234.5, 1e6]),
    "narrow spaces": (["1\u202f234,5", "12\u00a0000"], None, [1234.5, 12000]),
    "sign before": (["€ 12", "€1.50", "-€ 3"], "€", [12, 1.5, -3]),
    "sign after": (["12 €", "1.234,50 €"], "€", [12, 1234.5]),
    "other dollars": (["US$5", "US$1,000.00"], "US$", [5, 1000]),
    "dollars": (["$1,234.50", "$-3", "-$0.99"], "$", [1234.5, -3, -0.99]),
    "code before": (["EUR 12", "EUR 1.5"], "EUR", [12, 1.5]),
    "code after": (["12 USD", "1,500,000 USD"], "USD", [12, 1.5e6]),
    "per cent": (["12 %", "3.5%", "100\u00a0%"], "%", [12, 3.5, 100]),
}


@pytest.mark.parametrize(("texts", "unit", "numbers"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_held_as_text_are_summed_up_as_numbers(
    tmp_path: Path, texts: list[str], unit: str | None, numbers: list[float]
) -> None:
    """And the SQL that the summary names gives the same."""
    artifact = objects(tmp_path, *({'it\'s "x"': text} for text in texts * 10))
    (field,) = summary(artifact).columns
    found = field.text_numbers
    assert found is not None
    assert found.sql is not None
    assert found.sql.isprintable()
    assert (found.count, found.unit, field.type) == (len(texts) * 10, unit, "text")
    rows = query(artifact, f"SELECT {found.sql} FROM results LIMIT {len(texts)}").rows  # noqa: S608
    assert [row[0] for row in rows] == numbers
    assert (found.numbers.min, found.numbers.max) == (min(numbers), max(numbers))
    assert found.numbers.mean == pytest.approx(sum(numbers) / len(numbers), rel=1e-5)


TEXTS: dict[str, list[str]] = {
    "either": ["1,234", "2,500", "12"],
    "both": ["1,234", "3.75", "3,75"],
    "two currencies": ["$ 12", "€ 12"],
    "unit at both sides": ["12 €", "€ 12"],
    "leading zeros": ["01234", "98765", "00501"],
    "dates": ["2026-01-02", "2026-02-03"],
    "times": ["12:30", "08:15"],
    "versions": ["1.2.3", "1.10.0"],
    "phones": ["+49 30 1234567", "030/1234567"],
    "ranges": ["10-20", "5-7"],
    "groups of two": ["12,34,567", "1,23"],
    "words": ["twelve", "12"],
    "units of other kinds": ["12 kg", "3 m"],
    "nothing": ["", " "],
}


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_what_is_no_number_or_could_be_two_stays_text(tmp_path: Path, texts: list[str]) -> None:
    """A wrong sum would be worse than none."""
    (field,) = summary(objects(tmp_path, *({"x": text} for text in texts * 10))).columns
    assert field.text_numbers is None


@pytest.mark.parametrize(("strange", "is_known"), [(5, True), (6, False)])
@pytest.mark.parametrize("place", [0, 95], ids=["first", "last"])
def test_one_value_in_twenty_may_be_anything(
    tmp_path: Path, strange: int, is_known: bool, place: int
) -> None:
    """The SQL gives NULL for these; other kinds of values and other forms count as such."""
    odd: list[Any] = ["n/a", "1,2,3", True, "$ 12", "unknown", "about 12"][:strange]
    values: list[Any] = [f"{number}.5" for number in range(100 - strange)]
    values[place:place] = odd
    artifact = objects(tmp_path, *({"x": value} for value in [*values, None]))
    field = column(summary(artifact), "x")
    assert (field.text_numbers is not None) == is_known
    if field.text_numbers:
        assert (field.text_numbers.count, field.values) == (95, 100)
        mean = query(artifact, f"SELECT avg({field.text_numbers.sql}), count(*) FROM results").rows  # noqa: S608
        assert mean == [[field.text_numbers.numbers.mean, 101]] == [[47.5, 101]]


def test_both_channels_say_that_the_numbers_are_text(tmp_path: Path) -> None:
    """With the SQL for them."""
    answer = summary(objects(tmp_path, *({"price": f"€ {number},50"} for number in (1, 2, 3))))
    found = answer.columns[0].text_numbers
    assert found is not None
    assert found.numbers == Distribution(min=1.5, q25=2, median=2.5, q75=3, max=3.5, mean=2.5)
    assert (
        "; all values are numbers with the unit € as text: "
        f"1.5/2/2.5/3/3.5 (min/q25/median/q75/max), mean 2.5; in SQL {found.sql}\n"
    ) in said(answer)
