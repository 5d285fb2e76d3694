"""A summary: what the outputs are, what each column holds, which rows deserve a look."""

import datetime
import decimal
import json
import math
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sutro_mcp.results import ColumnSummary, Distribution, QualityFlag, Sample, TopValue
from tests.results.support import column, objects, outputs, parquet, summary, suspicions


def test_prose_is_one_column_with_lengths(tmp_path: Path) -> None:
    """And samples from everywhere: first, a spread, shortest, longest."""
    answer = summary(outputs(tmp_path, *(f"{number:03} {'x' * number}" for number in range(100))))
    assert answer.outputs == "text"
    lengths = Distribution(min=4, q25=28.75, median=53.5, q75=78.25, max=103, mean=53.5)
    counts: Any = {"present": 100, "nulls": 0, "values": 100, "distinct": 100, "lengths": lengths}
    assert answer.columns == [
        ColumnSummary(name="inference_result", type="text", sql_type="VARCHAR", **counts)
    ]
    spread = [(25, "spread"), (50, "spread"), (75, "spread")]
    assert [(each.row, each.why) for each in answer.samples] == [(0, "first"), *spread, (99, "longest")]
    assert (answer.suspicious, answer.shortened) == ([], None)


def test_objects_are_a_column_for_each_field(tmp_path: Path) -> None:
    """With the values that are frequent, and how many rows have the field at all."""
    answer = summary(
        objects(tmp_path, {"label": "good", "score": 1}, {"label": "good", "score": 2}, {"label": None})
    )
    assert answer.outputs == "JSON objects"
    good = TopValue(value="good", count=2, share=1.0)
    scores = Distribution(min=1, q25=1.25, median=1.5, q75=1.75, max=2, mean=1.5)
    assert answer.columns == [
        ColumnSummary(
            name="label",
            type="text",
            sql_type="VARCHAR",
            present=3,
            nulls=1,
            values=2,
            distinct=1,
            top=[good],
        ),
        ColumnSummary(
            name="score",
            type="integer",
            sql_type="BIGINT",
            present=2,
            nulls=0,
            values=2,
            distinct=2,
            numbers=scores,
        ),
    ]


def test_broken_rows_are_counted_beside_the_objects(tmp_path: Path) -> None:
    """Each kind with the numbers of its first five rows, most frequent first."""
    texts = ['{"a": 1}'] * 12 + ['{"a": 1'] * 7 + ["Sure!", None, "", " \n"]
    answer = summary(outputs(tmp_path, *texts))
    assert answer.outputs == "JSON objects in 12 of 23 rows"
    assert answer.suspicious == [
        QualityFlag(kind="JSON cut off or broken", count=7, rows=[12, 13, 14, 15, 16]),
        QualityFlag(kind="empty output", count=2, rows=[21, 22]),
        QualityFlag(kind="not JSON", count=1, rows=[19]),
        QualityFlag(kind="null output", count=1, rows=[20]),
    ]


def test_objects_with_text_around_them_are_objects_and_counted(tmp_path: Path) -> None:
    """By what stands around them, also in the content of a reasoning envelope."""
    fenced = '```json\n{"a": 1}\n```'
    envelope = json.dumps({"content": fenced, "reasoning_content": "r"})
    cut = '```json\n{"a": '
    answer = summary(outputs(tmp_path, fenced, fenced, 'It is {"a": 2}.', envelope, "f(x) = {x}", cut))
    assert answer.wrapped == {"fence": 3, "text": 1}
    assert answer.outputs.startswith("JSON objects in 4 of 6 rows")
    assert column(answer, "a").present == 3
    assert column(answer, "content.a").present == 1
    assert suspicions(answer) == {"not JSON": (1, [4]), "JSON cut off or broken": (1, [5])}


def test_outputs_are_objects_if_half_of_them_are_or_the_job_has_a_schema(tmp_path: Path) -> None:
    """One stray object does not make prose broken JSON."""
    artifact = outputs(tmp_path, '{"a": 1}', "one", "two")
    assert summary(artifact).outputs == "text, with a JSON object in 1 of 3 rows"
    assert summary(artifact, json_schema={}).outputs == "JSON objects in 1 of 3 rows"
    assert summary(outputs(tmp_path, '{"a": 1}', "one", None, "")).outputs == "JSON objects in 1 of 4 rows"
    assert summary(outputs(tmp_path, "one"), json_schema={}).outputs == "text"
    assert summary(artifact, json_schema={}, unpack_json=False).outputs == "text"


ENVELOPES: dict[str, tuple[list[Any], str, list[str]]] = {
    "text": (["yes", "no"], "text", ["content"]),
    "objects": ([{"a": 1}, {"a": 2}], "JSON objects", ["content.a"]),
    "objects in strings": (['{"a": 1}', '{"a": 2}'], "JSON objects", ["content.a"]),
    "some of each": ([{"a": 1}, "no"], "text or JSON", ["content.a", "content"]),
}


@pytest.mark.parametrize(("contents", "word", "names"), ENVELOPES.values(), ids=ENVELOPES)
def test_reasoning_envelopes_are_named_and_opened(
    tmp_path: Path, contents: list[Any], word: str, names: list[str]
) -> None:
    """Whatever form the content has."""
    answer = summary(objects(tmp_path, *({"content": each, "reasoning_content": "so"} for each in contents)))
    assert answer.outputs == f"reasoning envelopes (content, reasoning_content); content is {word}"
    assert {each.name for each in answer.columns} == {*names, "reasoning_content"}


@pytest.mark.parametrize(
    ("values", "kind", "nulls"),
    [
        ([None, None], "text", 2),
        ([], "none, there are no rows", 0),
        ([1, 2], "not text", 0),
        ([[0.5, 1.0], None], "not text", 1),
    ],
    ids=["all null", "no rows", "numbers", "embeddings"],
)
def test_outputs_without_text_have_a_summary(
    tmp_path: Path, values: list[Any], kind: str, nulls: int
) -> None:
    """Also those of a job without rows."""
    answer = summary(outputs(tmp_path, *values), expected_rows=2)
    assert (answer.row_count, answer.expected_rows, answer.outputs) == (len(values), 2, kind)
    assert (answer.columns[0].present, answer.columns[0].nulls) == (len(values), nulls)
    assert {sample.row for sample in answer.samples} == set(range(len(values)))


def test_embeddings_are_summarised_by_their_number_of_items(tmp_path: Path) -> None:
    """Samples show the numbers themselves."""
    answer = summary(outputs(tmp_path, [0.5, 1.0], [0.25], [0.5, 1.0]))
    assert answer.columns[0].type == "list"
    assert answer.columns[0].items == Distribution(min=1, q25=1.5, median=2, q75=2, max=2, mean=1.66667)
    assert answer.columns[0].top == [TopValue(value="[0.5,1.0]", count=2, share=0.667)]
    assert answer.samples[0] == Sample(row=0, why="first", output="[0.5,1.0]")


TYPES: dict[str, tuple[pl.Series, str, int]] = {
    "booleans": (pl.Series([True, False, True]), "boolean", 2),
    "floats": (pl.Series([0.5, math.nan, math.nan, math.inf]), "number", 3),
    "huge floats": (pl.Series([1.7e308, 1.7e308, -1.7e308]), "number", 2),
    "128 bit": (pl.Series([2**100, 1], dtype=pl.Int128), "integer", 2),
    "structs": (pl.Series([{"a": 1}, {"a": 1}, None]), "object", 1),
    "lists of odd numbers": (pl.Series([[math.nan], [math.nan], [math.inf]]), "list", 2),
    "lists of binary": (pl.Series([[b"\xff"], [b"\xff"]]), "list", 1),
    "dates": (pl.Series([datetime.date(2026, 1, 1)] * 2), "date", 1),
    "far dates": (pl.Series([10**7, 10**7], dtype=pl.Int32).cast(pl.Date), "date", 1),
    "durations": (pl.Series([datetime.timedelta(days=1)] * 2), "duration", 1),
    "decimals": (pl.Series([decimal.Decimal("1.5"), decimal.Decimal("2.5")]), "decimal", 2),
    "binary": (pl.Series([b"\xff", b"\xfe"]), "bytes", 2),
    "nothing": (pl.Series([None, None], dtype=pl.Int64), "null", 0),
}


@pytest.mark.parametrize(("values", "label", "distinct"), TYPES.values(), ids=TYPES)
def test_columns_of_any_type_are_described(
    tmp_path: Path, values: pl.Series, label: str, distinct: int
) -> None:
    """As output and as carried column; the answer is JSON that can be read back."""
    answer = summary(parquet(tmp_path, pl.DataFrame({"outputs": values, "id": values})))
    assert [(each.type, each.distinct) for each in answer.columns] == [(label, distinct)] * 2
    assert type(answer).model_validate_json(answer.model_dump_json()) == answer


@pytest.mark.parametrize("number", [0.0, 5e-324, sys.float_info.max, -sys.float_info.max])
def test_the_distribution_of_one_number_is_that_number(tmp_path: Path, number: float) -> None:
    """Its ends exactly and the rest to six digits, at the edges of what a number can be as well."""
    spread = summary(outputs(tmp_path, *[number] * 7)).columns[0].numbers
    assert spread is not None
    assert spread.min == spread.max == number
    assert {spread.q25, spread.median, spread.q75, spread.mean} == {float(f"{number:.6g}")}


def test_identifiers_and_amounts_keep_their_digits(tmp_path: Path) -> None:
    """A smallest id that no row has would be a wrong answer."""
    rows = [{"id": 1234567 + n, "at": 1760000123 + n, "paid": 1234567.89} for n in range(5)]
    found = {column.name: column.numbers for column in summary(objects(tmp_path, *rows)).columns}
    paid = 1234567.89
    assert found == {
        "id": Distribution(min=1234567, q25=1234568, median=1234569, q75=1234570, max=1234571, mean=1234569),
        "at": Distribution(
            min=1760000123, q25=1760000124, median=1760000125, q75=1760000126, max=1760000127, mean=1760000125
        ),
        "paid": Distribution(min=paid, q25=paid, median=paid, q75=paid, max=paid, mean=paid),
    }


def test_integers_too_large_for_a_number_are_counted(tmp_path: Path) -> None:
    """JSON sets no limit to them."""
    answer = summary(outputs(tmp_path, f'{{"n": 1{"0" * 400}}}', f'{{"n": 1{"0" * 400}}}', '{"n": 3}'))
    assert column(answer, "n").numbers == Distribution(min=3, q25=3, median=3, q75=3, max=3, mean=3)
    assert column(answer, "n").top == [TopValue(value=f"1{'0' * 106}… [401 chars]", count=2, share=0.667)]


FIELDS: dict[str, tuple[list[Any], str, int]] = {
    "numbers": ([1, 2.5], "number", 2),
    "anything": ([1, "x", True], "mixed (boolean, integer, text)", 3),
    "looks equal": ([1, 1.0, True, "1"], "mixed (boolean, integer, number, text)", 4),
    "empty": ([[], {}], "mixed (list, object)", 2),
    "null": ([None], "null", 0),
}


@pytest.mark.parametrize(("values", "label", "distinct"), FIELDS.values(), ids=FIELDS)
def test_a_field_of_several_types_says_so(
    tmp_path: Path, values: list[Any], label: str, distinct: int
) -> None:
    """1, 1.0 and true are one value to Python, three to JSON."""
    answer = summary(objects(tmp_path, *({"a": value} for value in values)))
    assert (column(answer, "a").type, column(answer, "a").distinct) == (label, distinct)


def test_nested_fields_have_paths_four_levels_deep(tmp_path: Path) -> None:
    """Deeper ones are counted as objects. A dot in a name is not a level."""
    deep = {"a": {"b": {"c": {"d": {"e": 1}}}}, "a.b": 2, "empty": {}}
    answer = summary(objects(tmp_path, {"x": deep}, deep))
    assert [(each.name, each.type, each.present) for each in answer.columns] == [
        ("x.a.b.c", "object", 1),
        ("x.a.b", "integer", 1),
        ("x.empty", "object", 1),
        ("a.b.c.d", "object", 1),
        ("a.b", "integer", 1),
        ("empty", "object", 1),
    ]


def test_values_outside_the_schema_are_counted_by_field(tmp_path: Path) -> None:
    """Null is a matter of the schema's types, not of its list of values."""
    schema = {
        "properties": {
            "label": {"enum": ["good", "bad"]},
            "at": {"properties": {"\u202ezip": {"enum": [1]}, "odd": True}},
            "free": {"enum": "not a list"},
        }
    }
    labels: list[Any] = [{"label": "good"}, {"label": "ugly"}, {"label": None}, {"label": []}]
    answer = summary(objects(tmp_path, *labels, {"at": {"\u202ezip": 2}}, {"at": "x"}), json_schema=schema)
    assert suspicions(answer) == {
        "outside the schema's enum: label": (2, [1, 3]),
        "outside the schema's enum: at.\\u{202E}zip": (1, [4]),
    }


def test_values_inside_an_envelope_are_held_against_the_schema_too(tmp_path: Path) -> None:
    """A reasoning model answers the schema in `content`, as an object or as its text."""
    schema = {"properties": {"label": {"enum": ["good"]}}}
    contents = [{"label": "good"}, {"label": "bad"}, json.dumps({"label": "worse"}), "no object"]
    artifact = objects(tmp_path, *({"content": each, "reasoning_content": "so"} for each in contents))
    of_the_envelope = {"properties": {"content": {"properties": {"label": {"enum": ["bad"]}}}}}
    assert suspicions(summary(artifact, json_schema=schema)) == {
        "outside the schema's enum: content.label": (2, [1, 2])
    }
    assert suspicions(summary(artifact, json_schema=of_the_envelope)) == {
        "outside the schema's enum: content.label": (1, [0])
    }


@pytest.mark.parametrize(
    "schema",
    [{"properties": []}, {"properties": {"a": {"enum": 1}}}, {"$ref": "#"}],
    ids=["odd properties", "odd enum", "reference"],
)
def test_a_schema_that_lists_no_values_finds_nothing(tmp_path: Path, schema: dict[str, Any]) -> None:
    """Nor does it fail."""
    assert summary(objects(tmp_path, {"a": 1}), json_schema=schema).suspicious == []


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I am very sorry to say that", True),
        ("Sorry, I cannot", True),
        ("**Unfortunately, I am unable to read it.", True),
        ("I can\u2019t", True),
        ("As an AI language model", True),
        ("I cannotate songs", False),
        ("The customer says: I'm sorry", False),
        ("Sorry for the delay", False),
        ('{"answer": "I cannot"}', False),
    ],
)
def test_refusals_are_told_by_how_they_begin(tmp_path: Path, text: str, is_refusal: bool) -> None:
    """In English; the name of the kind says so."""
    answer = summary(outputs(tmp_path, text))
    assert suspicions(answer) == ({"refusal-like (English phrases)": (1, [0])} if is_refusal else {})


def test_samples_are_the_same_every_time(tmp_path: Path) -> None:
    """Chosen by position and length; empty and null outputs are not the shortest."""
    artifact = parquet(
        tmp_path,
        {"outputs": ["bbb", "", None, "a", "cccc\u200b", "dd", "ee", "ff"], "inputs": [None, *"1234567"]},
        include_inputs=True,
    )
    answer = summary(artifact)
    assert answer == summary(artifact)
    assert answer.samples == [
        Sample(row=0, why="first", output="bbb", input=None),
        Sample(row=2, why="spread", output=None, input="2"),
        Sample(row=3, why="shortest", output="a", input="3"),
        Sample(row=4, why="longest", output="cccc\\u{200B}", input="4"),
        Sample(row=6, why="spread", output="ee", input="6"),
    ]


def test_a_name_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    """In polars `^…$` stands for all names that match, and none does here."""
    found = summary(parquet(tmp_path, {"^a+$": ["x", "y"], "^b+$": [1, 2], "outputs": ["no", "no"]}))
    assert [column(found, name).distinct for name in ("^a+$", "^b+$")] == [2, 2]


def test_a_field_that_has_the_name_of_a_column_says_where_it_is_from(tmp_path: Path) -> None:
    """By the name that pages and SQL give it; so does the second of two paths that look alike."""
    texts = [json.dumps({"id": "x", "a.b": 1, "a": {"b": "c"}})] * 2
    answer = summary(parquet(tmp_path, {"id": [1, 2], "outputs": texts}))
    assert [(each.name, each.type) for each in answer.columns] == [
        ("inference_result.id", "text"),
        ("a.b", "integer"),
        ("inference_result.a.b", "text"),
        ("id", "integer"),
    ]


def test_carried_columns_are_described_behind_the_fields(tmp_path: Path) -> None:
    """Confidence is a distribution, a carried id is not repeated."""
    artifact = parquet(
        tmp_path, {"id": ["x", "y"], "confidence_score": [0.5, 1.0], "outputs": ['{"a": 1}'] * 2}
    )
    answer = summary(artifact)
    assert [each.name for each in answer.columns] == ["a", "id", "confidence_score"]
    assert answer.columns[1].top == []
    assert answer.columns[2].numbers == Distribution(
        min=0.5, q25=0.625, median=0.75, q75=0.875, max=1, mean=0.75
    )


def test_fields_beyond_the_two_hundredth_are_said_to_be_missing(tmp_path: Path) -> None:
    """As are those for which there is no room."""
    many = summary(objects(tmp_path, *({f"field {row}": row} for row in range(300))))
    some = summary(objects(tmp_path, {f"field {number}": number for number in range(60)}))
    assert (many.shortened or "").startswith("at least 1")
    rest = "more columns or fields not shown; page them with columns"
    assert many.shortened == f"at least {200 - len(many.columns)} {rest}"
    assert some.shortened == f"{60 - len(some.columns)} {rest}"


def test_kinds_of_suspicious_rows_without_room_are_said_to_be_missing(tmp_path: Path) -> None:
    """A schema may list values for any number of fields."""
    names = [f"field {number}" for number in range(20)]
    schema = {"properties": {name: {"enum": [1]} for name in names}}
    answer = summary(objects(tmp_path, dict.fromkeys(names, 2)), json_schema=schema)
    words = f"{20 - len(answer.suspicious)} more kinds of suspicious rows, with fewer rows each, not shown"
    assert words in (answer.shortened or "")
