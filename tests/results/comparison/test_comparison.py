"""What changed between two runs: every number against a plain comparison of the same rows."""

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
_object = st.fixed_dictionaries(
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
    return {name for _, output in rows if isinstance(output, dict) for name in FIELDS if has(output, name)}


def has(output: dict[str, Any], field: str) -> bool:
    """Whether an output has the field, null or not."""
    first, _, rest = field.partition(".")
    return first in output and (not rest or has(output[first], rest))


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
    """What a line says, but the type."""
    return {name: value for name, value in line.items() if value is not None and name != "type"}


def is_change(pair: tuple[Any, Any]) -> bool:
    """Whether a value became another one."""
    return pair[0] != pair[1]
