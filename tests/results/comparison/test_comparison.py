"""Changes between two runs: every number against a plain comparison of the same rows."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import Comparison
from tests.results.comparison.support import OUTPUT, Plain, Row, comparison, records, run
from tests.tries import some_of

FIELDS = ("id", "label", "n", "x", "flag", "tags", "at.k")
_small = st.integers(0, 3)
_numbers = st.one_of(_small, st.integers(-(2**63), 2**63 - 1), st.none())
_object: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(st.integers(0, 12), st.none()),
        "label": st.sampled_from(["a", "b", "long " * 40, "", None]),
        "n": _numbers,
        "x": st.one_of(st.sampled_from([0.5, 1.25, 3.0]), _small, st.none()),
        "flag": st.booleans(),
        "tags": st.lists(st.sampled_from("st"), max_size=2),
        "at": st.fixed_dictionaries({"k": _small}),
    },
)
_outputs = st.one_of(*[_object] * 6, st.sampled_from(["no JSON", "other text", "[1]"]), st.none())
_inputs = st.one_of(*[st.integers(0, 9).map(str)] * 5, st.none())
RUNS = st.lists(st.tuples(_inputs, _outputs), max_size=12)


@settings(max_examples=some_of(200), deadline=None)
@given(
    before=RUNS,
    after=RUNS,
    by=st.sampled_from(["row", "inputs", "id", "label"]),
    batch=st.sampled_from([1, 500]),
)
def test_every_number_is_that_of_a_plain_comparison(
    before: list[Row], after: list[Row], by: str, batch: int
) -> None:
    """Whatever the rows hold, by whatever they are matched, and in however many batches."""
    common = fields_of(before) & fields_of(after)
    if by in FIELDS and by not in common:
        by = "row"
    with TemporaryDirectory() as folder:
        found = comparison(
            run(Path(folder), "before", before), run(Path(folder), "after", after), by, batch_bytes=batch
        )
    fields = [name for name in FIELDS if name in common and name != by]
    check(found, Plain(before, after, by, fields))


def fields_of(rows: list[Row]) -> set[str]:
    """The fields that some row of a run has."""
    return {name for _, output in rows for name in FIELDS if has(output, name)}


def has(output: Any, field: str) -> bool:
    """Whether an output has the field, null or not."""
    first, _, rest = field.partition(".")
    return isinstance(output, dict) and first in output and (not rest or has(output[first], rest))


def check(found: Comparison, plain: Plain) -> None:
    """Each table and number of a comparison."""
    assert records(found.runs) == [
        {"run": "before", **plain.counts(plain.before, plain.after)},
        {"run": "after", **plain.counts(plain.after, plain.before)},
    ]
    pairs = plain.pairs()
    assert found.compared_rows == len(pairs)
    if plain.by != "inputs":
        inputs = plain.inputs()
        assert (found.same_inputs, found.different_inputs) == (inputs[True], inputs[False])
    are_objects = all(isinstance(output, dict | None) for _, output in (*plain.before, *plain.after))
    fields = [*plain.fields, *([] if plain.fields and are_objects else [OUTPUT])]
    figures = {name: line for name in fields if (line := plain.figures(name))}
    shown = {line.pop("field"): line for line in records(found.fields)}
    assert {name: with_values(line) for name, line in shown.items()} == {
        name: with_values(line) for name, line in figures.items()
    }
    assert list(shown) == sorted(shown, key=lambda name: figures[name]["agree"] - figures[name]["rows"])
    moves = records(found.moves)
    for name, line in figures.items():
        expected = sorted(plain.moves(name).values(), reverse=True)
        counts = [move["rows"] for move in moves if move["field"] == name]
        assert counts == [n for n in expected if n > 1 or line["moves"] <= 3][: len(counts)]
    changed = [
        pair for n, pair in enumerate(pairs) if any(is_change(plain.values(name)[n]) for name in fields)
    ]
    assert found.changed_rows == len(changed)
    rows = [(line["row"], line.get("row_after", line["row"])) for line in records(found.samples)]
    assert list(dict.fromkeys(rows)) == sorted(changed)[:5]


def with_values(line: dict[str, Any]) -> dict[str, Any]:
    """The words of a line, but the type; columns that are all zero are left out."""
    return {name: value for name, value in line.items() if value is not None and name != "type"} | {
        name: line.get(name, 0) for name in ("lost", "gained")
    }


def is_change(pair: tuple[Any, Any]) -> bool:
    """Whether a value became another one."""
    return pair[0] != pair[1]


def only(found: Comparison) -> dict[str, Any]:
    """The line of the one field that changed."""
    (line,) = records(found.fields)
    return line


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ([1], [1.5], {"type": "BIGINT → DOUBLE", "agree": 0, "mean_difference": 0.5}),
        ([2**62], [2**62 + 1], {"type": "BIGINT", "agree": 0, "mean_difference": 1.0}),
        ([2**70], [1], {"type": "HUGEINT → BIGINT", "agree": 0}),
        ([2**70], [2**70 + 1], {"type": "HUGEINT", "agree": 0, "mean_difference": 1.0}),
        ([0, 1, 2], [2**60, 2**60 + 2, 2**60 + 4], {"sd_difference": 1.0}),
        ([2**80, 1], [2**81 + 1, 2**80 + 2], {"mean_difference": 1.20893e24, "sd_difference": 0.0}),
        ([-(2**126)], [2**126], {"agree": 0, "mean_difference": 1.70141e38}),
        ([0.5, 1.0, 1.5], [1e9 + 0.5, 1e9 + 1.5, 1e9 + 2.5], {"sd_difference": 0.5}),
        ([1, 5], ["1", "x"], {"type": "BIGINT → VARCHAR", "agree": 1}),
        ([1, 10**5, 0.1, 2.5], [1, 10**5, 0.1, "n/a"], {"type": "DOUBLE → VARCHAR", "agree": 3}),
        (["007", "1.50"], [7, 1.5], {"type": "VARCHAR → DOUBLE", "agree": 1}),
        ([[1, 2], [3]], [[1, 2], [3.5]], {"type": "BIGINT[] → DOUBLE[]", "agree": 1}),
        ([[1, 2], [2.5]], [[1, 2], "x"], {"type": "DOUBLE[] → VARCHAR", "agree": 1}),
        ([[1, "a"], [True]], [[1, "a"], "x"], {"type": "VARCHAR[] → VARCHAR", "agree": 1}),
        ([[{"b": 1}], [{"b": 2}]], [[{"b": 1}], [{"b": 2.5}]], {"agree": 1}),
        ([[1], [1]], [[1], [0, 1]], {"type": "BIGINT[]", "agree": 1}),
        ([list[str](), list[str]()], [list[str](), [None]], {"type": "VARCHAR[]", "agree": 1}),
        (
            [[{"b": 1}], [{"b": 2}]],
            [[{"b": 1}], ["x"]],
            {"type": "STRUCT(b BIGINT)[] → VARCHAR[]", "agree": 1},
        ),
        ([[{"b": 1}, "x"], []], [[{"b": 1}, "x"], "y"], {"type": "VARCHAR[] → VARCHAR", "agree": 1}),
        ([1e300], [-1e300], {"type": "DOUBLE", "agree": 0}),
        ([["a", "b"]], [["b", "a"]], {"type": "VARCHAR[]", "agree": 0}),
        ([[1]], [["x"]], {"type": "BIGINT[] → VARCHAR[]", "agree": 0}),
        ([[{"b": 1}]], [[{"b": 2}]], {"type": "STRUCT(b BIGINT)[]", "agree": 0}),
        ([[{"b": 1}]], [[{"c": 2}, {"b": 1}]], {"type": "STRUCT(b BIGINT)[] → JSON[]", "agree": 0}),
        (["x" * 10**6], ["x" * 10**6 + "y"], {"type": "VARCHAR", "agree": 0}),
        ([True], [None], {"type": "BOOLEAN → VARCHAR", "agree": 0, "lost": 1}),
    ],
)
def test_values_of_any_type_are_compared(
    tmp_path: Path, before: list[Any], after: list[Any], line: dict[str, Any]
) -> None:
    """Where the types of the runs differ, both are named."""
    one, other = (
        run(tmp_path, name, [("", {"f": each}) for each in values])
        for name, values in (("before", before), ("after", after))
    )
    found = only(comparison(one, other))
    assert {"field": "f"} | line == {name: found[name] for name in ("field", *line)}


def test_integers_that_no_float_holds_are_said_to_be_compared_as_floats(tmp_path: Path) -> None:
    """Where the other run has fractions in the field: what agrees may not."""
    before = run(tmp_path, "before", [("", {"n": 2**53 + 1, "m": 1}), ("", {"n": 1, "m": 2})])
    after = run(tmp_path, "after", [("", {"n": 2**53, "m": 1e300}), ("", {"n": 0.5, "m": 2.5})])
    assert comparison(before, after).shortened == (
        "integers beyond 2^53 were compared with fractions, as these, in n; "
        "differences of 1e150 and more, as from infinity, are not in the mean of m"
    )


def test_differences_that_have_no_mean_are_said_to_be_left_out(tmp_path: Path) -> None:
    """Differences of the other rows have one."""
    before = run(tmp_path, "before", [("", '{"x":-1e400,"y":1e400}'), ("", {"x": 1, "y": 2})])
    after = run(tmp_path, "after", [("", '{"x":1,"y":1e400}'), ("", {"x": 3, "y": 2})])
    found = comparison(before, after)
    assert only(found)["mean_difference"] == 2.0
    assert found.shortened == "differences of 1e150 and more, as from infinity, are not in the mean of x"


def test_fields_of_clashing_names_are_compared_with_themselves(tmp_path: Path) -> None:
    """The one seen first keeps its name, which another one may have had in the other run."""
    before = run(tmp_path, "before", [("", {"label": "a", "Label": 1})])
    after = run(tmp_path, "after", [("", {"Label": 1, "label": "b"})])
    found = comparison(before, after)
    assert only(found)["field"] == "label"
    assert (found.unchanged, found.only_before, found.only_after) == (["inference_result.Label"], None, None)


def test_nested_objects_are_compared_field_by_field(tmp_path: Path) -> None:
    """And a row without any field by its text."""
    before = [("", {"a": {"b": 1, "c": "x"}}), ("", "no JSON"), ("", None)]
    after = [("", {"a": {"b": 2, "c": "x"}}), ("", "no JSON at all"), ("", None)]
    found = comparison(run(tmp_path, "before", before), run(tmp_path, "after", after))
    assert [(line["field"], line["rows"], line["agree"]) for line in records(found.fields)] == [
        ("a.b", 1, 0),
        ("inference_result", 1, 0),
    ]
    assert (found.unchanged, found.changed_rows) == (["a.c"], 2)


def test_fields_of_one_run_are_named(tmp_path: Path) -> None:
    """A renamed field is one that is gone and one that is new; so is text where there was JSON."""
    before = run(tmp_path, "before", [("", {"a": 1, "b": 2})])
    found = comparison(before, run(tmp_path, "after", [("", {"a": 1, "c": 2})]))
    assert (found.only_before, found.only_after, found.unchanged) == (["b"], ["c"], ["a"])
    assert (found.changed_rows, found.fields) == (0, None)
    found = comparison(before, run(tmp_path, "text", [("", "plain text")]))
    assert (found.only_before, found.only_after) == (["a", "b"], None)
    assert only(found)["field"] == OUTPUT


def test_inputs_that_did_not_come_are_unknown(tmp_path: Path) -> None:
    """A field of the outputs with that name is none of them."""
    rows: list[Row] = [("x", {"inputs": "x", "a": 1})]
    before, after = (run(tmp_path, name, rows, inputs=False) for name in ("before", "after"))
    found = comparison(before, after)
    assert (found.same_inputs, found.different_inputs) == (None, None)
    with pytest.raises(InvalidArgumentError, match="neither run has inputs in its results"):
        comparison(before, after, "inputs")


def test_runs_without_rows_or_changes_have_no_tables(tmp_path: Path) -> None:
    """Nothing is shown of nothing."""
    some = run(tmp_path, "some", [("x", {"a": 1})])
    none = run(tmp_path, "none", [])
    assert comparison(some, some).model_dump(exclude_none=True) == snapshot(
        {
            "runs": {"columns": ["run", "rows", "only_here"], "rows": [["before", 1, 0], ["after", 1, 0]]},
            "compared_rows": 1,
            "changed_rows": 0,
            "same_inputs": 1,
            "different_inputs": 0,
            "unchanged": ["a"],
        }
    )
    assert comparison(some, none).model_dump(exclude_none=True) == snapshot(
        {
            "runs": {"columns": ["run", "rows", "only_here"], "rows": [["before", 1, 1], ["after", 0, 0]]},
            "compared_rows": 0,
            "changed_rows": 0,
            "same_inputs": 0,
            "different_inputs": 0,
            "only_before": ["a"],
        }
    )


def test_more_moves_than_can_be_counted_are_not_counted(tmp_path: Path) -> None:
    """The other numbers are exact all the same, over several batches."""
    count = 12_000
    before = run(tmp_path, "before", [("", {"n": row, "label": "a"}) for row in range(count)])
    after = run(tmp_path, "after", [("", {"n": row + 1, "label": "ab"[row % 2]}) for row in range(count)])
    found = comparison(before, after, batch_bytes=200_000)
    assert records(found.fields) == snapshot(
        [
            {
                "field": "n",
                "type": "BIGINT",
                "rows": 12000,
                "agree": 0,
                "agree_share": 0.0,
                "moves": "over 5,000",
                "mean_difference": 1.0,
                "sd_difference": 0.0,
            },
            {
                "field": "label",
                "type": "VARCHAR",
                "rows": 12000,
                "agree": 6000,
                "agree_share": 0.5,
                "moves": 1,
                "mean_difference": None,
                "sd_difference": None,
            },
        ]
    )
    assert records(found.moves) == snapshot(
        [{"field": "label", "before": "a", "after": "b", "rows": 6000, "first_row": 1}]
    )


@pytest.mark.parametrize("by", ["row", "inputs"])
def test_an_answer_is_small_whatever_is_compared(tmp_path: Path, by: str) -> None:
    """Three hundred fields with long names and values, all of which changed."""

    def rows(salt: str) -> list[Row]:
        return [
            (str(row), {f"{n}{'x' * 90}": f"{salt}{row % 3}{chr(34) * 80}" for n in range(300)})
            for row in range(8)
        ]

    found = comparison(run(tmp_path, "before", rows("a")), run(tmp_path, "after", rows("b")), by)
    assert len(json.dumps(found.model_dump(exclude_none=True), ensure_ascii=False)) < 5_500
    assert "not shown" in (found.shortened or "")


@pytest.mark.parametrize("by", ["Row", "carried.Row", "id", "CARRIED.ID"])
def test_rows_are_matched_by_the_column_that_was_named(tmp_path: Path, by: str) -> None:
    """Not by their number, nor by a column that differs in case: keys stand the other way round after."""
    keys = ["x", "y"]
    before = run(tmp_path, "before", [("", "1"), ("", "2")], ID=["i", "i"], id=keys, Row=keys)
    after = run(tmp_path, "after", [("", "2"), ("", "1")], ID=["i", "i"], id=keys[::-1], Row=keys[::-1])
    assert comparison(before, after, by).changed_rows == 0


def test_text_of_others_is_made_visible(tmp_path: Path) -> None:
    """In names and in values."""
    before = run(tmp_path, "before", [("", {"a\u202e": "x"})])
    after = run(tmp_path, "after", [("", {"a\u202e": "y\u200b"})])
    (line,) = records(comparison(before, after).samples)
    assert line == {"row": 0, "field": "a\\u{202E}", "before": "x", "after": "y\\u{200B}"}
