"""However the rows are cut into batches, the summary is the same; and nothing is left out of it unsaid."""

import datetime
import json
import math
import string
import threading
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sutro_mcp.results import Distribution
from sutro_mcp.results.summary.batches import one_ahead
from sutro_mcp.results.summary.summariser import Summariser
from sutro_mcp.results.worker.protocol import StoppedError
from tests.results.summary.support import OUTPUT, PROSE, summarise
from tests.results.support import column, suspicions
from tests.tries import some_of

PATIENCE = 60
REFUSAL = f"I'm sorry, but I cannot. {PROSE}"
ENVELOPE = {"content": '{"label": "good"}', "reasoning_content": "so"}

Values = st.SearchStrategy[Any]
SCALARS: Values = st.sampled_from([None, True, 0, 1, 1.0, -2.5, 10**30, -(2**63), "", "good", "\u202ex"])
NESTED: Values = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=4,
)
OBJECTS: Values = st.dictionaries(st.sampled_from(["label", "n", "a.b", "at"]), NESTED, max_size=4)
TEXTS: Values = st.sampled_from(
    ["", "\x1c", "ok", PROSE, REFUSAL, "[1]", '{"n": 1', '{"n": 1},{"n": 2}', '{"n": [1', "2]}", '{"n": NaN}']
)
OUTPUTS: Values = st.one_of(
    st.none(), TEXTS, OBJECTS.map(json.dumps), st.just(ENVELOPE).map(json.dumps), st.just(r'{"n": "\ud800"}')
)
SCHEMA = {"properties": {"label": {"enum": ["good", None]}, "at": {"properties": {"x": {"enum": [1]}}}}}


@settings(max_examples=some_of(60, least=20), deadline=None)
@given(
    st.lists(st.tuples(OUTPUTS, st.sampled_from([None, 0.5, -0.0, math.nan, math.inf]))),
    st.lists(st.integers(1, 60), max_size=6),
    st.booleans(),
)
def test_batches_may_be_cut_anywhere(
    rows: list[tuple[str | None, float | None]], cuts: list[int], with_schema: bool
) -> None:
    """Of outputs of all kinds, and of a column that was carried along."""
    table = {
        OUTPUT: pl.Series([text for text, _ in rows], dtype=pl.String),
        "score": pl.Series([score for _, score in rows], dtype=pl.Float64),
    }
    options: dict[str, Any] = {"json_schema": SCHEMA if with_schema else None}
    assert summarise(table, cuts, **options) == summarise(table, **options)


@pytest.mark.parametrize("step", [1, 7, 50, 200])
def test_rows_that_repeat_are_parsed_once_and_counted_each(step: int) -> None:
    """Texts of a few kinds only, some of them broken: each row is in its kind, under its own number."""
    kinds = ['{"label": "good", "n": 1}', '{"n": 2, "label": "bad"}', '{"label": null}', '{"label": "go']
    texts = [kinds[row % 4] for row in range(200)]
    answer = summarise(pl.Series(texts), range(0, 200, step), json_schema=SCHEMA)
    assert suspicions(answer) == {
        "outside the schema's enum: label": (50, [1, 5, 9, 13, 17]),
        "JSON cut off or broken": (50, [3, 7, 11, 15, 19]),
    }
    label = column(answer, "label")
    assert (label.present, label.nulls, label.distinct) == (150, 50, 2)
    assert [(top.value, top.count, top.share) for top in label.top] == [("good", 50, 0.5), ("bad", 50, 0.5)]
    assert column(answer, "n").numbers == Distribution(min=1, q25=1, median=1.5, q75=2, max=2, mean=1.5)


@pytest.mark.parametrize("step", [1, 2, 3, 10])
def test_the_first_rows_that_repeat_are_found_across_batches(step: int) -> None:
    """Also those of a text that comes back at the very end."""
    texts = [f"{PROSE} {row}" for row in range(20)]
    for row, same in {7: 6, 9: 6, 12: 11, 13: 11, 19: 0}.items():
        texts[row] = texts[same]
    answer = summarise(pl.Series(texts), range(0, 20, step))
    assert suspicions(answer) == {"same output as another row": (8, [0, 6, 7, 9, 11])}


def test_a_row_that_repeats_and_refuses_is_one_row() -> None:
    """Two kinds, and not more rows than there are."""
    answer = summarise(pl.Series([REFUSAL, PROSE, REFUSAL, PROSE, None]))
    assert suspicions(answer) == {
        "same output as another row": (4, [0, 1, 2, 3]),
        "refusal-like (English phrases)": (2, [0, 2]),
        "null output": (1, [4]),
    }
    assert answer.suspicious_rows == 5


def test_texts_that_only_together_would_be_json_are_broken() -> None:
    """A text of two objects, and one object in two texts, among others that are parsed with them."""
    texts = ['{"n": 1}', '{"n": 2},{"n": 3}', '{"n": [4', "5]}", '{"n": 6', '{"n": 7},{"n": 8}']
    answer = summarise(pl.Series(texts), json_schema={})
    assert answer.outputs == "JSON objects in 1 of 6 rows"
    assert suspicions(answer) == {"JSON cut off or broken": (4, [1, 2, 4, 5]), "not JSON": (1, [3])}


def test_envelopes_among_other_objects_are_counted_and_opened() -> None:
    """Each for itself, as in SQL."""
    plain = {"label": "bad", "score": 1}
    answer = summarise(pl.Series([*map(json.dumps, [ENVELOPE, plain, ENVELOPE]), None]), json_schema=SCHEMA)
    assert answer.outputs == (
        "JSON objects in 3 of 4 rows, 2 of them reasoning envelopes (content, reasoning_content)"
    )
    assert [each.name for each in answer.columns] == ["content.label", "reasoning_content", "label", "score"]
    assert suspicions(answer) == {"outside the schema's enum: label": (1, [1]), "null output": (1, [3])}


def test_paths_that_look_alike_share_a_kind_of_doubt() -> None:
    """A row that fails twice under one name is one row of it."""
    enum = {"enum": [1]}
    schema = {"properties": {"a.b": enum, "a": {"properties": {"b": enum}}}}
    texts = ['{"a.b": 2, "a": {"b": 2}}', '{"a.b": 1, "a": {"b": 1}}', '{"a.b": 1, "a": {"b": 2}}']
    answer = summarise(pl.Series(texts), json_schema=schema)
    assert suspicions(answer) == {"outside the schema's enum: a.b": (2, [0, 2])}


def test_columns_that_are_never_shown_need_not_be_added() -> None:
    """And are counted all the same."""
    table = {name: pl.Series([1, 2]) for name in (OUTPUT, *string.ascii_letters)}
    summariser = Summariser(list(table), 2, OUTPUT)
    for name, values in table.items():
        summariser.add(name, 0, values)
    answer = summariser.result(lambda name, rows: table[name].gather(list(rows)).to_list(), max_chars=10**6)
    assert summariser.columns == list(table)[:40] == [each.name for each in answer.columns]
    assert answer.shortened == "13 more columns or fields not shown; page them with columns"


def test_types_of_a_column_are_told_from_all_its_batches() -> None:
    """The first of them may be null throughout, and categories are texts."""
    categories = pl.Series(["a", "b", "a", "a"], dtype=pl.Categorical)
    vectors = pl.Series([[0.5, 1.5], [0.5, 1.5], [1.0, 2.0], None], dtype=pl.Array(pl.Float32, 2))
    times = pl.Series([datetime.time(1)] * 4)
    summariser = Summariser([OUTPUT, "late", "kind", "vector", "at"], 4, OUTPUT)
    table = {OUTPUT: ["x", None, None, "y"], "late": [None, None, 1.5, 2]}
    for name, values in table.items():
        summariser.add(name, 0, pl.Series(values[:1]))
        summariser.add(name, 1, pl.Series(values[1:3]))
        summariser.add(name, 3, pl.Series(values[3:], dtype=pl.String if name == OUTPUT else pl.Float64))
    for name, values in {"kind": categories, "vector": vectors, "at": times}.items():
        summariser.add(name, 0, values)
        table[name] = values.to_list()
    answer = summariser.result(lambda name, rows: [table[name][row] for row in rows])
    assert [(each.name, each.type, each.nulls, each.distinct) for each in answer.columns] == [
        (OUTPUT, "text", 2, 2),
        ("late", "number", 2, 2),
        ("kind", "text", 0, 2),
        ("vector", "list", 1, 2),
        ("at", "time", 0, 1),
    ]
    assert [top.value for top in column(answer, "vector").top] == ["[0.5,1.5]"]
    assert column(answer, "vector").items == Distribution(min=2, q25=2, median=2, q75=2, max=2, mean=2)


def test_a_batch_out_of_turn_is_refused() -> None:
    """A row counted twice, or not at all, would be a wrong summary."""
    summariser = Summariser([OUTPUT], 4, OUTPUT)
    summariser.add(OUTPUT, 0, pl.Series(["a", "b"]))
    with pytest.raises(ValueError, match="rows from 2 were expected, not from 3"):
        summariser.add(OUTPUT, 3, pl.Series(["d"]))


def test_a_summary_of_some_of_the_rows_is_refused() -> None:
    """A part is never shown as the whole."""
    summariser = Summariser([OUTPUT, "id"], 2, OUTPUT)
    summariser.add(OUTPUT, 0, pl.Series(["a", "b"]))
    summariser.add("id", 0, pl.Series([1]))
    with pytest.raises(ValueError, match="rows of 'id' are missing: 1 of 2"):
        summariser.result(lambda _, rows: [None for _ in rows])


def test_one_item_is_made_ahead_and_no_more() -> None:
    """While the first is worked on, the second is made, and the third is not begun."""
    made: list[int] = []
    second, third = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number, event in ((1, threading.Event()), (2, second), (3, third)):
            made.append(number)
            event.set()
            yield number

    with one_ahead(items()) as ahead:
        assert next(ahead) == 1
        assert second.wait(PATIENCE)
        assert made == [1, 2]
        assert list(ahead) == [2, 3]
    assert made == [1, 2, 3]


def test_an_error_comes_in_the_place_of_the_item() -> None:
    """Also one that is no Exception, as when the bytes cannot be had."""

    def items() -> Iterator[int]:
        yield 1
        raise StoppedError

    found: list[int] = []
    with pytest.raises(StoppedError), one_ahead(items()) as ahead:
        found.extend(ahead)
    assert found == [1]


def test_nothing_is_being_made_once_the_block_has_ended() -> None:
    """The file that is read is closed then."""
    ended = False
    begun, may_end = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        nonlocal ended
        yield 1
        begun.set()
        assert may_end.wait(PATIENCE)
        ended = True
        yield 2

    with one_ahead(items()) as ahead:
        assert next(ahead) == 1
        assert begun.wait(PATIENCE)
        threading.Timer(0.05, may_end.set).start()
    assert ended
