"""JSON as SQL sees it: a type for each field, and of every row what a page shows of it."""

import json
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from sutro_mcp.results.rows.json_fields import unwrap
from sutro_mcp.results.rows.json_values import cell, read_output
from tests.results.sql.support import query, types
from tests.results.support import objects, outputs, page, parquet
from tests.tries import some_of

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


def test_data_for_keys_makes_two_hundred_columns_and_no_more(tmp_path: Path) -> None:
    """With as many structures as rows."""
    artifact = objects(tmp_path, *({"n": n, f"k{n}": {"x": n}} for n in range(1_500)))
    page = query(artifact, "SELECT sum(n), max(k7.x), count(*) FROM results")
    assert page.rows == [[1_499 * 750, 7, 1_500]]
    assert page.shortened == "some JSON fields are no columns (they are in inference_result)"


@pytest.mark.parametrize("odd", [3, 20_500], ids=["few", "many"])
def test_rows_that_are_read_singly_stay_in_their_places(tmp_path: Path, odd: int) -> None:
    """However many they are, and whatever stands between and behind them."""
    texts = [f'{{"a": {n}}}' for n in range(2 * odd + 500)]
    texts[1 : 2 * odd : 2] = [f'{{"a": "x", "a": {n}}}' for n in range(1, 2 * odd, 2)]
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


KEYS = st.sampled_from(["a", "b", "A", "", "row", "x.y", "x", "0", 'q"q', "content", "reasoning_content"])
LEAVES = st.one_of(
    st.sampled_from(
        ["null", "true", "false", "0", "-1", "2.5", "-0.0", "1e400", "NaN", "-Infinity", str(BIG)]
    ),
    st.sampled_from(['"t"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\u0000"', '"\\"a\\": 1"', '"{\\"k\\": 1}"']),
    st.integers(-(2**70), 2**70).map(str),
    st.text('ab é"\\/,:{}[]1', max_size=5).map(json.dumps),
)


def _object(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """JSON text of an object: names may occur twice, and a comma may be too many."""

    def text(found: list[tuple[str, str, str]], end: str) -> str:
        return "{" + ", ".join(map("".join, found)) + (end if found else "") + "}"

    fields = st.lists(st.tuples(KEYS.map(json.dumps), st.sampled_from([":", ": ", " :"]), values), max_size=4)
    return st.builds(text, fields, st.sampled_from(["", "", "", "", ","]))


VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]") | _object(inner),
    max_leaves=6,
)
OTHERS = st.sampled_from(["no JSON", '{"a": 1', "[1]", ' {"a": 1}\n', '\ufeff{"a": 1}', '"{"'])
ROWS = st.lists(st.none() | OTHERS | _object(VALUES), min_size=1, max_size=8)


@settings(max_examples=some_of(200, 40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(rows=['{"a": 1}', '{"a": true}'])
@example(rows=['{"content": "{\\"a\\": 1}", "reasoning_content": "x"}', '{"content": {"a": {"b": 1}}}'])
@given(rows=ROWS)
def test_every_field_is_what_a_reader_of_json_reads(folder: Path, rows: list[str | None]) -> None:
    """Row by row, field by field; an integer beside a float may be that float, and mixed values are text."""
    artifact = parquet(folder, {"outputs": pl.Series(rows, dtype=pl.String)})
    read = [None if (found := read_output(row)[0]) is None else unwrap(found) for row in rows]
    names = list(dict.fromkeys(key for found in read if found for key in found))
    kinds = list(types(artifact).values())
    page = query(artifact, "SELECT * FROM results ORDER BY row", max_chars=10**7)
    assert [row[-1] for row in page.rows] == [cell(row) for row in rows]
    for key in names:
        at = page.columns.index(_shown(key, names))
        for row, found in zip(page.rows, read, strict=True):
            value = found.get(key) if found else None
            if key == "content" and isinstance(value, dict):
                continue  # shown as it stands there: text or object
            assert _same(value, row[at], kinds[at]), (key, value, row[at])


def _shown(key: str, names: list[str]) -> str:
    before = {name.lower() for name in names[: names.index(key)]} | {"row", "inference_result"}
    # Paths such as x.y may be taken by the fields of x.
    return f"inference_result.{key}" if key.lower() in before or not key else key


def _same(value: Any, shown: Any, kind: str) -> bool:
    if cell(value) == shown:
        return True
    if kind == "DOUBLE":
        return isinstance(value, int) and cell(float(value)) == shown
    if isinstance(shown, str) and isinstance(value, list | dict | bool | int | float):
        return _plain(value) == _plain(json.loads(shown.replace("\\u{0}", "\\u0000")))
    return False


def _plain(value: Any) -> str:
    """JSON in which numbers are their digits, and text that holds JSON is that."""
    match value:
        case dict():
            fields = sorted(cast("dict[str, Any]", value).items())
            return to_json({key: _plain(inner) for key, inner in fields}).decode()
        case list():
            return to_json([_plain(inner) for inner in cast("list[Any]", value)]).decode()
        case int() | float() if not isinstance(value, bool):
            return repr(float(value)) if abs(value) < 1e300 else "huge"
        case str():
            try:
                return _plain(json.loads(value)) if not isinstance(json.loads(value), str) else value
            except ValueError:
                return value
        case _:
            return repr(value)
