"""Properties of every summary: its counts are the naive ones, and it is short whatever it is about."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from sutro_mcp.results import LocalArtifact, Summary
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server.tools.get_job_results import ResultsAnswer, text_of_summary
from tests.results.summary.support import PROSE
from tests.results.support import JOB_ID, objects, parquet, summary, suspicions
from tests.tries import some_of

Values = st.SearchStrategy[Any]

SCALARS: Values = st.sampled_from([None, True, False, 0, 1, 1.0, -2.5, 10**30, "", "good", "bad", "\u202ex"])
NESTED: Values = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from("xy"), SCALARS)
OBJECTS: Values = st.dictionaries(st.sampled_from(["label", "n", "*", "at"]), NESTED, max_size=4)
TEXTS: Values = st.sampled_from(
    ["", " ", "ok", "I'm sorry, but no.", PROSE, PROSE[::-1], "[1]", '{"label": "bad"']
)
OUTPUTS: Values = st.one_of(st.none(), TEXTS, OBJECTS.map(json.dumps))
SCHEMA = {"properties": {"label": {"enum": ["good", None]}, "at": {"properties": {"x": {"enum": ["good"]}}}}}


@settings(max_examples=some_of(100, least=25), deadline=None)
@given(st.lists(OUTPUTS, max_size=40))
def test_counts_of_prose_are_the_naive_ones(folder: Path, texts: list[str | None]) -> None:
    """Rows, nulls, distinct values, frequent values, suspicious rows."""
    answer = summary(write(folder, texts), unpack_json=False, max_chars=10**6)
    (column,) = answer.columns
    filled = [each for each in texts if each is not None]
    counts = Counter(filled)
    assert answer.row_count == len(texts) == column.present
    assert column.nulls == len(texts) - len(filled)
    assert column.distinct == len(counts)
    assert [top.count for top in column.top] == [n for _, n in counts.most_common(8) if n > 1]
    assert {kind: count for kind, (count, _) in suspicions(answer).items()} == +Counter(
        {
            "null output": texts.count(None),
            "empty output": texts.count("") + texts.count(" "),
            "refusal-like (English phrases)": texts.count("I'm sorry, but no."),
            "same output as another row": sum(n for each, n in counts.items() if len(each) >= 80 and n > 1),
        }
    )


@settings(max_examples=some_of(100, least=25), deadline=None)
@given(st.lists(OUTPUTS, max_size=40))
def test_counts_of_objects_are_the_naive_ones(folder: Path, texts: list[str | None]) -> None:
    """For each field by its path; and for each row that is no object, or not as the schema has it."""
    answer = summary(write(folder, texts), json_schema=SCHEMA, max_chars=10**6)
    found = [json.loads(each) if each and each[0] == "{" and each[-1] == "}" else None for each in texts]
    fields: dict[str, list[str]] = {}
    for each in found:
        for path, value in leaves(each or {}):
            fields.setdefault(path, []).append(json.dumps(value))
    if any(each is not None for each in found):
        assert [column.name for column in answer.columns] == list(fields)
        for column in answer.columns:
            counts = Counter(value for value in fields[column.name] if value != "null")
            assert column.present == len(fields[column.name])
            assert column.nulls == column.present - counts.total()
            assert column.distinct == len(counts)
            frequent = [n for _, n in counts.most_common(8) if n > 1]
            assert [top.count for top in column.top] == frequent
            assert [top.share for top in column.top] == [round(n / counts.total(), 3) for n in frequent]
        assert {kind: count for kind, (count, _) in suspicions(answer).items()} == doubts(texts, found)
    assert all(sorted(rows) == rows and len(rows) == min(5, n) for n, rows in suspicions(answer).values())


def doubts(texts: list[str | None], found: list[dict[str, Any] | None]) -> Counter[str]:
    """How many rows of each suspicious kind there are, by the definition of each kind."""
    counts: Counter[str] = Counter()
    for raw, each in zip(texts, found, strict=True):
        values = dict(leaves(each or {}))
        label, x = values.get("label"), values.get("at.x")
        counts["null output"] += raw is None
        counts["empty output"] += raw is not None and not raw.strip()
        counts["refusal-like (English phrases)"] += raw == "I'm sorry, but no."
        counts["JSON cut off or broken"] += raw == '{"label": "bad"'
        counts["not JSON"] += raw in ("ok", "I'm sorry, but no.", PROSE, PROSE[::-1], "[1]")
        is_nested = any(path.startswith("label.") for path in values)
        counts["outside the schema's enum: label"] += is_nested or label not in (None, "good")
        counts["outside the schema's enum: at.x"] += x not in (None, "good")
    return +counts


def leaves(found: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields by path, in order; an empty object is a value."""
    for key, value in found.items():
        if value and isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


QUOTES = '"' * 5_000
NESTED_QUOTES = {"a": {"b": {"c": {"d": QUOTES}}}}
MIXED: list[Any] = [QUOTES, -1.23456e-300, 9.87654e300, True, [QUOTES], NESTED_QUOTES, 10**300]

HOSTILE: dict[str, list[dict[str, Any]]] = {
    "200 fields": [{f"field {number}": number for number in range(200)}] * 30,
    "200 fields of prose": [{f"field {n}": f"{row} {PROSE}" for n in range(200)} for row in range(30)],
    "very long names": [{f"{number}{'n' * 3_000}": 1 for number in range(50)}] * 3,
    "very long values": [{"a": "x" * 100_000, "b": f"{row}{'y' * 100_000}"} for row in range(4)],
    "names of quotes": [{'"' * (200 + number): number for number in range(100)}] * 30,
    "invisible names and values": [{"\u202e" * (9 + n): "\U000e0041" * 999 for n in range(60)}] * 9,
    "everything at once": [
        {'"' * (200 + number): [*MIXED, f"{row}{QUOTES}"][(number + row) % 8] for number in range(60)}
        for row in range(60)
    ],
    "texts and numbers in every field": [
        {
            '"' * (50 + number): [QUOTES, QUOTES + str(row), 1.23456e-300 * row, [row] * row][row % 4]
            for number in range(30)
        }
        for row in range(120)
    ],
}


@pytest.mark.hostile
@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("with_schema", [True, False], ids=["schema", "no schema"])
def test_a_summary_of_any_shape_is_short(
    tmp_path: Path, values: list[dict[str, Any]], with_schema: bool
) -> None:
    """Detail goes first, counts stay."""
    artifact = objects(tmp_path, *values)
    schema = {"properties": {name: {"enum": ["none of them"]} for name in values[0]}}
    answer = summary(artifact, expected_rows=10**9, json_schema=schema if with_schema else None)
    assert_short(answer)
    assert answer.row_count == len(values)
    assert answer.columns
    assert bool(answer.suspicious) == with_schema


def test_a_summary_of_wide_results_is_short(tmp_path: Path) -> None:
    """Whatever a customer carried along, and inputs beside outputs in every sample."""
    columns = {f"{number}" + '"' * 300: [QUOTES, QUOTES, None] for number in range(100)}
    artifact = parquet(
        tmp_path, {"outputs": [QUOTES] * 3, "inputs": ["\u202e" * 5_000] * 3, **columns}, include_inputs=True
    )
    assert_short(summary(artifact, expected_rows=3))


def test_a_budget_too_small_for_anything_still_gives_the_counts(tmp_path: Path) -> None:
    """The least detail there is."""
    answer = summary(objects(tmp_path, {f"field {n}": n for n in range(9)}, {}), max_chars=1)
    assert (answer.row_count, len(answer.columns)) == (2, 3)
    assert answer.shortened == "6 more columns or fields not shown; page them with columns"


def assert_short(answer: Summary) -> None:
    """At most 6,000 characters, as JSON and as text, with the longest id and what a tool puts around it."""
    whole = ResultsAnswer.of_summary("j" * 128, answer)
    assert len(to_json(whole.structured()).decode()) <= 6_000
    assert len(text_of_summary(whole)) <= 6_000


def write(folder: Path, texts: list[str | None] | list[str]) -> LocalArtifact:
    """Outputs as an artifact that takes the place of the one before."""
    path = folder / "property.parquet"
    pl.DataFrame({"outputs": pl.Series(texts, dtype=pl.String)}).write_parquet(path)
    return LocalArtifact(path=str(path), format="parquet", spec=ResultsSpec(JOB_ID))
