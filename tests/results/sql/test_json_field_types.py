"""JSON as SQL sees it: a type for each field, and of every row what a page shows of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.results.sql.support import query, types
from tests.results.support import objects, outputs, page

BIG = 2**64


CASES: list[tuple[list[Any], str, list[Any]]] = [
    ([1, None, -3], "BIGINT", [1, None, -3]),
    ([1, 2.5], "DOUBLE", [1.0, 2.5]),
    ([True, None], "BOOLEAN", [True, None]),
    (["a", None, "2026-01-01"], "VARCHAR", ["a", None, "2026-01-01"]),
    ([None, None], "VARCHAR", [None, None]),
    ([1, "a", True, None, [1], {"k": 1}], "VARCHAR", ["1", "a", "true", None, "[1]", '{"k":1}']),
    ([1, True], "VARCHAR", ["1", "true"]),
    ([{"b": 1}, None, {"b": None}], "STRUCT(b BIGINT)", ['{"b":1}', None, '{"b":null}']),
    ([{"b": 1}, {"c": 1}], "JSON", ['{"b":1}', '{"c":1}']),
    ([{"b": 1}, {"b": "x"}], "JSON", ['{"b":1}', '{"b":"x"}']),
    ([{"B": 1, "b": 2}], "JSON", ['{"B":1,"b":2}']),
    ([{}, {"b": 1}], "JSON", ["{}", '{"b":1}']),
    ([[1, 2], [], None], "BIGINT[]", ["[1,2]", "[]", None]),
    ([[1], [0.5, None]], "DOUBLE[]", ["[1.0]", "[0.5,null]"]),
    ([[1], ["a", None]], "VARCHAR[]", ['["1"]', '["a",null]']),
    ([[], []], "VARCHAR[]", ["[]", "[]"]),
    ([[[1], []], [[2, 3]]], "BIGINT[][]", ["[[1],[]]", "[[2,3]]"]),
    ([[{"b": 1}, {"b": 2}], []], "STRUCT(b BIGINT)[]", ['[{"b":1},{"b":2}]', "[]"]),
    ([[{"b": 1}, {"c": 2}]], "JSON[]", ['[{"b":1},{"c":2}]']),
    ([[{"b": 1}], [{"b": 1, "c": 2}]], "JSON[]", ['[{"b":1}]', '[{"b":1,"c":2}]']),
    ([BIG, -1], "HUGEINT", [str(BIG), -1]),
    ([2**127, 1], "VARCHAR", [str(2**127), "1"]),
    ([2**127, 0.5], "DOUBLE", [float(2**127), 0.5]),
    ([10**400, 0.5], "VARCHAR", [str(10**400), "0.5"]),
    ([[BIG]], "HUGEINT[]", [f"[{BIG}]"]),
    ([{"b": BIG}], "STRUCT(b HUGEINT)", [f'{{"b":{BIG}}}']),
]


@pytest.mark.parametrize(("values", "kind", "expected"), CASES)
def test_a_field_has_one_type_and_no_value_is_made_another(
    tmp_path: Path, values: list[Any], kind: str, expected: list[Any]
) -> None:
    """Told from every value that is not null."""
    artifact = objects(tmp_path, *({"f": value} for value in values))
    assert types(artifact)["f"] == kind
    assert [row[0] for row in query(artifact, "SELECT f FROM results").rows] == expected


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"a": 1, "a": 2}', [[2]]),
        ('{"a": 1, "b": {"a": 1, "a": 2}, "a": 3}', [[3]]),
        ('{"a": NaN}', [[None]]),
        ('{"a": -inf}', [[None]]),
        ('{"a": 1,}', [[None]]),
        ('{"a": [1, 2,], "b": 1}', [[None]]),
        ('{"a": "x\\ud800y"}', [["x\ufffdy"]]),
        ('{"a": "\\ud83d\\ude00"}', [["\U0001f600"]]),
        ('{"a": 1e400}', [["inf"]]),
        ('{"a": ' + "[" * 210 + "]" * 210 + "}", [[None]]),
        ('{"b": ' + '{"b": ' * 210 + "1" + "}" * 211, [[None]]),
        ("{'a': 1}", [[None]]),
        ('{"a": 1} {"a": 2}', [[None]]),
        ('{"a": 1} x', [[1]]),
        ('\ufeff{"a": 1}', [[1]]),
        ('```json\n{"a": 1}\n```', [[1]]),
        ('<think>{"a": 2} or {}</think>\n{"a": 1}', [[1]]),
        ('[{"a": 1}]', [[None]]),
        (' \n\t{"a" : 1}\r\n', [[1]]),
        ('{"a": "he said \\"a\\": 1, NaN, "}', [['he said "a": 1, NaN, ']]),
        ("[1]", [[None]]),
        ('"{}"', [[None]]),
    ],
    ids=str,
)
def test_json_that_engines_read_in_two_ways_is_read_as_pages_read_it(
    tmp_path: Path, text: str, rows: list[list[Any]]
) -> None:
    """Among rows that nothing is odd about, and alone."""
    artifact = outputs(tmp_path, '{"a": null}', text, '{"a": null}')
    assert query(artifact, "SELECT a FROM results WHERE row = 1").rows == rows
    shown = page(artifact, columns=("a",), offset=1, limit=1).rows
    assert shown == rows or shown == [[str(rows[0][0])]]


def test_an_object_in_a_list_that_names_a_field_twice_has_the_last_value(tmp_path: Path) -> None:
    """As everywhere else, however many other objects there are."""
    texts = ['{"l": [{"b": 1}, {"b": 2, "b": 3}]}', '{"l": [{"b": 1}]}', '{"l": [{"b": 4}, {"b": 5}]}']
    artifact = outputs(tmp_path, *texts)
    assert query(artifact, "SELECT l FROM results").rows == [
        ['[{"b":1},{"b":3}]'],
        ['[{"b":1}]'],
        ['[{"b":4},{"b":5}]'],
    ]
    assert query(artifact, "SELECT sum(l[2].b) FROM results").rows == [[8]]


def test_the_content_of_a_reasoning_envelope_has_columns_too(tmp_path: Path) -> None:
    """By the paths that a summary names, whether it is an object or the text of one."""
    artifact = objects(
        tmp_path,
        {"content": '{"verdict": "yes", "n": 1}', "reasoning_content": "because"},
        {"content": "text", "reasoning_content": "b"},
        {"content": {"verdict": "no"}, "reasoning_content": None},
        {"content": '{"n": 1, "n": 2}', "reasoning_content": "c"},
        {"content": '{"verdict": "no envelope"}'},
    )
    page = query(artifact, 'SELECT "content.verdict" AS v, "content.n" AS n, content FROM results')
    assert page.rows == [
        ["yes", 1, '{"verdict": "yes", "n": 1}'],
        [None, None, "text"],
        ["no", None, '{"verdict":"no"}'],
        [None, 2, '{"n": 1, "n": 2}'],
        [None, None, '{"verdict": "no envelope"}'],
    ]


def test_fields_are_unpacked_to_four_levels(tmp_path: Path) -> None:
    """The rest stays in the object."""
    deep = objects(tmp_path, {"a": {"b": {"c": {"d": {"e": 1}}}}})
    assert list(types(deep)) == ["row", "a", "a.b", "a.b.c", "a.b.c.d", "inference_result"]


def test_any_key_can_be_reached(tmp_path: Path) -> None:
    """Whatever stands in it, and whatever it is called beside a list."""
    keys = ["a.b", 'q"q', "p/q", "~", "*", "$", "it's", "0", "-", "\0", "é", "[0]", "#"]
    artifact = objects(tmp_path, {key: at for at, key in enumerate(keys)}, {"o": [5]}, {"o": {"0": 6}})
    found = query(artifact, "SELECT * FROM results").rows
    assert found[0][1 : len(keys) + 1] == list(range(len(keys)))
    assert query(artifact, 'SELECT o, "o.0" FROM results WHERE row > 0').rows == [
        ["[5]", None],
        ['{"0":6}', 6],
    ]


@pytest.mark.parametrize("enveloped", [False, True])
def test_a_field_beside_a_list_is_read_from_objects_alone(tmp_path: Path, *, enveloped: bool) -> None:
    """Also of a list higher up, and of objects in an envelope."""
    rows: list[Any] = [{"a": {"0": {"b": 5}}}, {"a": [{"b": 7}]}, {"a": {"0": [1]}}]
    if enveloped:
        rows = [{"content": json.dumps(row), "reasoning_content": "r"} for row in rows]
    artifact = objects(tmp_path, *rows)
    sql = """SELECT COLUMNS('a\\.0\\.b') FROM results"""
    assert query(artifact, sql).rows == [[5], [None], [None]]


def test_data_for_keys_makes_two_hundred_columns_and_no_more(tmp_path: Path) -> None:
    """With as many structures as rows."""
    artifact = objects(tmp_path, *({"n": n, f"k{n}": {"x": n}} for n in range(1_500)))
    page = query(artifact, "SELECT sum(n), max(k7.x), count(*) FROM results")
    assert page.rows == [[1_499 * 750, 7, 1_500]]
    assert page.shortened == "some JSON fields are no columns (they are in inference_result)"


@pytest.mark.large
def test_objects_of_any_length_can_be_counted(tmp_path: Path) -> None:
    """Two thousand of them together take far more memory than short ones."""
    artifact = objects(tmp_path, *({"a": n, "text": [f"{n} words"] * 3_000} for n in range(2_048)))
    assert query(artifact, "SELECT count(*) FROM results").rows == [[2_048]]


@pytest.mark.parametrize("odd", [[5, *range(3_000, 5_100)], range(9_999, 60_000)], ids=["few", "many"])
def test_rows_keep_their_order_where_few_of_many_are_read_singly(tmp_path: Path, odd: Sequence[int]) -> None:
    """DuckDB would let full batches of rows pass those of which a filter leaves little."""
    texts = [f'{{"a": {n}}}' for n in range(max(10_000, odd[-1] + 1))]
    for n in odd:
        texts[n] = f"Here it is: {texts[n]}"
    artifact = outputs(tmp_path, "")
    pl.DataFrame({"outputs": texts}).write_parquet(artifact.path, row_group_size=10_000)
    assert query(artifact, "SELECT count(*), count(a), count_if(a <> row) FROM results").rows == [
        [len(texts), len(texts), 0]
    ]


def test_rows_keep_their_order_where_most_are_read_singly(tmp_path: Path) -> None:
    """DuckDB would rather begin with those than with all."""
    artifact = outputs(tmp_path, *(f'{"" if n == 3 else "Here: "}{{"a": {n}}}' for n in range(100)))
    assert query(artifact, "SELECT a FROM results", limit=100).rows == [[n] for n in range(100)]
    assert query(artifact, "SELECT a FROM results WHERE row IN (2, 3, 4)").rows == [[2], [3], [4]]


@pytest.mark.parametrize(
    ("odd", "length"), [(3, 1), (50_500, 1), (3_500, 6_000)], ids=["few", "many", "long"]
)
def test_rows_that_are_read_singly_stay_in_their_places(tmp_path: Path, odd: int, length: int) -> None:
    """However many and long they are, and whatever stands between and behind them."""
    texts = [f'{{"a": {n}}}' for n in range(2 * odd + 500)]
    long = "x" * length
    texts[1 : 2 * odd : 2] = [f'{{"a": "x", "b": "{long}", "a": {n}}}' for n in range(1, 2 * odd, 2)]
    texts[5] = '{"a": NaN}'
    artifact = outputs(tmp_path, *texts)
    wrong = "SELECT count(*) FROM results WHERE a <> row OR (a IS NULL) <> (row = 5)"
    assert query(artifact, wrong).rows == [[0]]
    assert query(artifact, "SELECT row, a FROM results WHERE row > 3 LIMIT 3").rows == [
        [4, 4],
        [5, None],
        [6, 6],
    ]
    assert types(artifact)["a"] == "BIGINT"
