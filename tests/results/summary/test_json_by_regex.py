"""Objects that are written alike are counted as the parser counts them, without being parsed."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sutro_mcp.results.summary.json_by_regex import ObjectsByRegex
from tests.results.summary.support import summarise
from tests.tries import some_of

# JSON, and what looks like it, as it may stand behind a name.
WRITTEN = (
    *(
        '"a"',
        '""',
        '"say \\"so\\""',
        '"\\u00e9\\n"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"\\x"',
        '"\t"',
        '"é😀"',
    ),
    *(
        "0",
        "-0",
        "7",
        "01",
        "+1",
        "1.",
        "1.50",
        "-0.0",
        "1e5",
        "1E400",
        "999999999999999999",
        "9" * 19,
        "NaN",
    ),
    *(
        "true",
        "null",
        "nul",
        "{}",
        '{"x": 1}',
        "[]",
        "[ 1,2.50 ]",
        '["a", null]',
        "[1,]",
        "[[1], [2]]",
        "[{]",
    ),
    *('[{"k": 1, "k": 2}]', '[{"k": [1]}, {"j": "]"}]', '["\\ud800"]', f"[{2**70}]", '[1] ,"f": [2]'),
)
VALUES = st.sampled_from(WRITTEN)
BLANKS = st.sampled_from(["", " ", "\n\t"])
ROWS = st.tuples(BLANKS, st.sampled_from(["fg", "gf", "f"]), st.lists(VALUES, min_size=2, max_size=2), BLANKS)
SCHEMA = {"properties": {"f": {"enum": ["a", 7, [1, 2.5]]}, "g": {"properties": {"x": {"enum": [2]}}}}}


def written(blank: str, names: str, values: list[str], outer: str) -> str:
    """One object, with blanks where JSON allows them."""
    members = f"{blank},{blank}".join(
        f'"{name}"{blank}:{blank}{value}' for name, value in zip(names, values, strict=False)
    )
    return f"{outer}{{{blank}{members}{blank}}}{outer}"


@settings(max_examples=some_of(400), deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4), st.booleans(), st.sampled_from([None, SCHEMA]))
def test_many_alike_are_counted_as_a_few_are(rows: list[Any], inside: bool, schema: Any) -> None:
    """In batches of fewer than 128 rows each of them is parsed."""
    texts = [written(*row) for row in rows]
    if inside:
        texts = [f'{{"o": {{"a": 1, "i": {text}}}, "z": "end"}}' for text in texts]
    series = pl.Series([f"{text}{' ' * at}" for at in range(160) for text in texts])
    parsed = summarise(series, range(0, len(series), 100), json_schema=schema)
    assert summarise(series, json_schema=schema) == parsed


def test_objects_of_many_names_are_found_part_by_part() -> None:
    """One expression for all of them would be slow."""
    made = [{f"name {at}": f"value {at} of {row}, é" for at in range(60)} | {"n": row} for row in range(20)]
    alike = ObjectsByRegex()
    assert alike.learn(made)
    ((places, fields),) = alike.take_apart(pl.Series(map(json.dumps, made)))
    assert places.to_list() == list(range(20))
    (last,), (numbers,) = fields["name 59",], fields["n",]
    assert last.values.to_list() == [json.dumps(each["name 59"]) for each in made]
    assert (last.kind, numbers.kind, numbers.values.to_list()) == (None, int, list(range(20)))


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"a": {}},
        {"a": {"b": {"c": {"d": {"e": 1}}}}},
        {'"': 1},
        {"content": "x", "reasoning_content": "y"},
    ],
    ids=["empty", "empty inside", "too deep", "odd name", "envelope"],
)
def test_some_objects_are_always_parsed(found: dict[str, Any]) -> None:
    """However many are written so."""
    assert not ObjectsByRegex().learn([found] * 64)


def test_a_way_in_which_few_objects_are_written_is_given_up() -> None:
    """It would be tried on every row."""
    alike = ObjectsByRegex()
    assert alike.learn([{"a": 1}] * 8)
    others = pl.Series(['{"b": 1}'] * 5_000)
    assert list(alike.take_apart(others)) == []
    assert list(alike.take_apart(pl.Series(['{"a": 1}'] * 8))) == []
    assert not alike.learn([{"a": 1}] * 8)
