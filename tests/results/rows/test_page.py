"""A page: which columns, which rows, what a cell looks like, and what is said when it cannot be had."""

import datetime
import decimal
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results import Page
from tests.results.support import JOB_ID, file, objects, outputs, page, parquet, size


def test_json_outputs_become_the_columns_of_their_page(tmp_path: Path) -> None:
    """Fields in order of first appearance; the next page has its own."""
    artifact = objects(tmp_path, {"b": 1}, {"a": 2, "b": 3}, {"c": True})
    assert page(artifact, limit=2) == Page(
        columns=["b", "a"], rows=[[1, None], [3, 2]], row_count=3, offset=0, next_offset=2
    )
    assert page(artifact, offset=2) == Page(columns=["c"], rows=[[True]], row_count=3, offset=2)


def test_rows_that_are_not_objects_keep_their_text(tmp_path: Path) -> None:
    """In the output column, which stands behind the fields. A null row needs no such column."""
    broken = outputs(tmp_path, '{"a": 1}', "Sorry, no.", '{"a": 2', "[3]", None)
    null = outputs(tmp_path, '{"a": 1}', None)
    assert page(broken).columns == ["a", "inference_result"]
    assert page(broken).rows == [
        [1, None],
        [None, "Sorry, no."],
        [None, '{"a": 2'],
        [None, "[3]"],
        [None, None],
    ]
    assert page(outputs(tmp_path, '{"a": 1}', None)) == page(null)
    assert page(null).columns == ["a"]


@pytest.mark.parametrize(
    "texts",
    [["one", "two"], ["[1]", "2"], ["{}", "{}"], [None, None], ["", " \n"], ['{"a": NaN}'], ["{" * 100_000]],
    ids=["prose", "lists and numbers", "empty objects", "nulls", "blanks", "not JSON", "too deep"],
)
def test_a_page_without_fields_shows_the_outputs_as_they_are(tmp_path: Path, texts: list[str]) -> None:
    """There is nothing to unpack."""
    answer = page(outputs(tmp_path, *texts), max_cell_chars=20)
    assert answer.columns == ["inference_result"]
    assert [row[0] if row[0] is None else str(row[0])[:1] for row in answer.rows] == [
        text if text is None else text[:1] for text in texts
    ]


def test_a_field_whose_name_is_taken_says_where_it_is_from(tmp_path: Path) -> None:
    """Neither of the two values is lost, even if the longer name is taken as well."""
    text = '{"id": "field", "inference_result.id": "other"}'
    answer = page(parquet(tmp_path, {"id": ["carried"], "outputs": [text]}))
    assert answer.columns == ["id", "inference_result.id", "inference_result.inference_result.id"]
    assert answer.rows == [["carried", "field", "other"]]


def test_a_field_may_be_called_like_the_output_column(tmp_path: Path) -> None:
    """It stands beside the text of rows that are no objects."""
    answer = page(outputs(tmp_path, '{"inference_result": 1}', "text"))
    assert answer.columns == ["inference_result.inference_result", "inference_result"]
    assert answer.rows == [[1, None], [None, "text"]]


def test_a_page_says_that_text_stands_around_an_object_and_shows_it_when_asked(tmp_path: Path) -> None:
    """The raw text can be had of any row."""
    texts = ['{"a": 1}', 'Sure: {"a": 2}', "no"]
    artifact = outputs(tmp_path, *texts)
    assert page(artifact).rows == [[1, None], [2, None], [None, "no"]]
    answer = page(artifact, columns=("a",))
    assert answer.shortened == (
        "1 of these rows are no JSON objects (name inference_result in columns to see them); "
        "1 of these rows have text around their JSON object (name inference_result in columns to see them)"
    )
    assert page(artifact, columns=("a", "inference_result")).rows == [
        [1, texts[0]],
        [2, texts[1]],
        [None, "no"],
    ]


def test_a_field_has_one_name_on_every_page_and_can_be_asked_for_by_it(tmp_path: Path) -> None:
    """Also where the field that it clashes with does not occur."""
    artifact = objects(tmp_path, {"label": 1, "Label": 2, "v": {"x": 3}, "v.x": 4}, {"Label": 5})
    assert page(artifact, limit=1).columns == ["label", "inference_result.Label", "v", "v.x"]
    names = ("inference_result.Label", "inference_result.v.x", "v.x")
    assert page(artifact, columns=names).rows == [[2, 3, 4], [5, None, None]]
    assert page(artifact, columns=names, offset=1).rows == [[5, None, None]]


CELLS: dict[str, tuple[Any, Any]] = {
    "null": (None, None),
    "truth": (True, True),
    "integer": (2**63, 2**63),
    "integer of thousands of digits": (10**4000, f"1{'0' * 484}… [4,001 chars]"),
    "number": (1.5, 1.5),
    "empty text": ("", ""),
    "invisible text": ("a\u202eb\x00", "a\\u{202E}b\\u{0}"),
    "list": ([1, None, "é"], '[1,null,"é"]'),
    "object": ({"b": {"c": [1.5]}, "a": ""}, '{"b":{"c":[1.5]},"a":""}'),
    "list of invisible text": (["\u200b"], '["\\u{200B}"]'),
}


@pytest.mark.parametrize(("value", "shown"), CELLS.values(), ids=CELLS)
def test_a_cell_shows_a_json_value(tmp_path: Path, value: Any, shown: Any) -> None:
    """Scalars as they are, nested values as compact JSON, nothing invisible."""
    assert page(objects(tmp_path, {"a": value})).rows == [[shown]]


VALUES: dict[str, tuple[pl.Series, Any]] = {
    "not a number": (pl.Series([math.nan]), "nan"),
    "infinity": (pl.Series([-math.inf]), "-inf"),
    "list of odd numbers": (pl.Series([[math.nan, math.inf, 1.0]]), '["NaN","Infinity",1.0]'),
    "array": (pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)), "[1,2]"),
    "struct": (pl.Series([{"a": 1, "b": None}]), '{"a":1,"b":null}'),
    "date": (pl.Series([datetime.date(2026, 1, 2)]), "2026-01-02"),
    "moment": (
        pl.Series([datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)]),
        "2026-01-02T03:04:05+00:00",
    ),
    "time": (pl.Series([datetime.time(3, 4)]), "03:04:00"),
    "nanoseconds": (pl.Series([1_500_000_001], dtype=pl.Datetime("ns")), "1970-01-01T00:00:01.500000001"),
    "part of a second": (pl.Series([1_500], dtype=pl.Datetime("ms", "UTC")), "1970-01-01T00:00:01.5+00:00"),
    "far future": (pl.Series([10**7], dtype=pl.Int32).cast(pl.Date), "+29349-01-26"),
    "far past": (pl.Series([-62135596801_000], dtype=pl.Datetime("ms")), "0000-12-31T23:59:59"),
    "duration": (pl.Series([datetime.timedelta(seconds=90)]), "PT1M30S"),
    "decimal": (pl.Series([decimal.Decimal("1.50")]), "1.50"),
    "binary": (pl.Series([b"\xff" * 2000]), "(2,000 bytes)"),
    "list of binary": (pl.Series([[b"\xff\xfe"]]), '["__4="]'),
    "category": (pl.Series(["x"], dtype=pl.Categorical), "x"),
    "unsigned": (pl.Series([255], dtype=pl.UInt8), 255),
    "128 bit": (pl.Series([2**70], dtype=pl.Int128), str(2**70)),
}


@pytest.mark.parametrize(("values", "shown"), VALUES.values(), ids=VALUES)
def test_a_cell_shows_a_value_of_any_type(tmp_path: Path, values: pl.Series, shown: Any) -> None:
    """Whatever a customer carried along or a model put out."""
    answer = page(parquet(tmp_path, pl.DataFrame({"outputs": values, "id": values})))
    assert answer.rows == [[shown, shown]]


def test_long_cells_are_cut_and_say_how_long_they_are(tmp_path: Path) -> None:
    """The reader learns what to pass to see more."""
    answer = page(outputs(tmp_path, "x" * 12_345, "short"), max_cell_chars=30)
    assert answer.rows == [["x" * 14 + "… [12,345 chars]"], ["short"]]
    assert answer.shortened == "1 cell cut to 30 characters (raise max_cell_chars, or name fewer columns)"
    answer = page(outputs(tmp_path, "x" * 12_345), max_cell_chars=4_000, max_chars=3_000)
    assert answer.shortened == "1 cell cut to 2973 characters (query_job_results reads on, with substr)"


def test_a_page_ends_early_at_a_whole_row(tmp_path: Path) -> None:
    """Rather than pass its budget."""
    answer = page(outputs(tmp_path, *["x" * 100] * 10), max_chars=500)
    assert (len(answer.rows), answer.next_offset, size(answer)) == (4, 4, 441)
    assert answer.shortened == "6 rows left out to stay short (next_offset continues)"


def test_a_page_of_many_columns_shows_the_first_sixty(tmp_path: Path) -> None:
    """And says how to see others."""
    artifact = objects(tmp_path, {f"field {number}": number for number in range(70)})
    assert page(artifact).columns == [f"field {number}" for number in range(60)]
    assert page(artifact).shortened == "10 columns left out (name those you need in columns)"
    assert page(artifact, columns=("field 69",)).rows == [[69]]


def test_a_row_too_wide_for_its_budget_loses_length_then_columns(tmp_path: Path) -> None:
    """One row is always there."""
    answer = page(objects(tmp_path, {f"field {n}": "x" * 900 for n in range(40)}), max_chars=500)
    assert size(answer) <= 500
    assert answer.rows[0][0] == "xxx… [900 chars]"
    assert answer.shortened == (
        "13 cells cut to 16 characters (name fewer columns); "
        "27 columns left out (name those you need in columns)"
    )


NAMES = ["*", "^x$", "^.*$", "a.b", "", " ", "[0]", "é", "a, b"]


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_chosen_by_their_literal_name(tmp_path: Path, name: str) -> None:
    """polars would take some of them for patterns."""
    artifact = parquet(tmp_path, {"x": ["no"], name: ["yes"], "outputs": ['{"y": 1}']})
    fields = objects(tmp_path, {"x": "no", name: "yes", "y": 1})
    carried = name or "carried."
    assert page(artifact, columns=(carried, "y", carried)).rows == [["yes", 1]]
    shown = name or "inference_result."
    assert page(fields, columns=(shown,)) == Page(columns=[shown], rows=[["yes"]], row_count=1, offset=0)


def test_a_column_can_be_chosen_by_the_name_that_is_shown(tmp_path: Path) -> None:
    """Nobody can type an invisible character."""
    artifact = parquet(tmp_path, {"a\u200bb": [7], "outputs": ['{"c\u202e": 1}']})
    shown = page(artifact).columns
    assert shown == ["a\\u{200B}b", "c\\u{202E}"]
    assert page(artifact, columns=shown) == page(artifact, columns=("a\u200bb", "c\u202e"))
    assert page(artifact, columns=shown).rows == [[7, 1]]


def test_the_output_column_can_be_chosen_beside_its_fields(tmp_path: Path) -> None:
    """A caller that names it wants the text."""
    answer = page(objects(tmp_path, {"a": 1}), columns=("inference_result", "a"))
    assert (answer.columns, answer.rows) == (["inference_result", "a"], [['{"a": 1}', 1]])


def test_a_field_of_another_page_is_an_empty_column(tmp_path: Path) -> None:
    """However far away: following `next_offset` must not fail half way."""
    artifact = outputs(tmp_path, *['{"a": 1}'] * 3000, "text", '{"a": 2, "rare\u200b": 3}')
    assert page(artifact, limit=1, columns=("rare\u200b",)).rows == [[None]]
    assert page(artifact, offset=3001, columns=("rare\\u{200B}",)).rows == [[3]]


@pytest.mark.parametrize("unpack_json", [True, False])
def test_an_unknown_column_is_refused_with_the_names_there_are(tmp_path: Path, unpack_json: bool) -> None:
    """So that the next call can be right. Names are data, and quoted."""
    artifact = parquet(tmp_path, {"id\u202e": [1], "outputs": ['{"label": "x"}']})
    with pytest.raises(InvalidArgumentError) as refused:
        page(artifact, columns=("id", "labels\n"), unpack_json=unpack_json)
    choices = '"id\\u{202E}, label"' if unpack_json else '"id\\u{202E}, inference_result"'
    assert str(refused.value) == (
        f'Cannot show column "id": the results have no such column or field. Choose from: {choices}.'
    )


def test_an_unknown_column_of_outputs_that_are_not_text_is_refused(tmp_path: Path) -> None:
    """There are no fields to look for."""
    with pytest.raises(InvalidArgumentError, match='Choose from: "inference_result"'):
        page(outputs(tmp_path, [0.5], [1.5]), columns=("a",))


def test_results_without_rows_are_an_empty_page(tmp_path: Path) -> None:
    """With their columns."""
    artifact = file(tmp_path, '{"id": [], "outputs": []}', "json")
    assert page(artifact) == Page(columns=["id", "inference_result"], rows=[], row_count=0, offset=0)


def test_a_path_of_the_summary_is_a_column(tmp_path: Path) -> None:
    """Through nested objects, also where one is JSON text in a string."""
    artifact = objects(tmp_path, {"a": {"b": {"c": 1}}, "a.x": 2}, {"a": {"b": 5}}, {"t": '{"u": "v"}'})
    answer = page(artifact, columns=("a.b.c", "t.u", "a.x"))
    assert answer.columns == ["a.b.c", "t.u", "a.x"]
    assert answer.rows == [[1, None, 2], [None, None, None], [None, "v", None]]
    with pytest.raises(InvalidArgumentError, match="no such column or field"):
        page(artifact, columns=("a.z",))


def test_rows_that_are_no_objects_are_counted_where_their_text_is_left_out(tmp_path: Path) -> None:
    """Their blank cells must not look like blank fields."""
    artifact = outputs(tmp_path, '{"a": 1}', '{"a": ', None, "", "no")
    answer = page(artifact, columns=("a",))
    assert answer.rows == [[1], [None], [None], [None], [None]]
    assert answer.shortened == (
        "3 of these rows are no JSON objects (name inference_result in columns to see them)"
    )
    assert "1 of these rows" in (page(artifact, columns=("a",), offset=4).shortened or "")
    assert page(artifact, columns=("a", "inference_result")).shortened is None
    assert page(artifact).shortened is None


@pytest.mark.parametrize(("texts", "offset"), [(["a", "b"], 2), ([], 1)], ids=["last row", "no rows"])
def test_an_offset_past_the_end_is_refused(tmp_path: Path, texts: list[str], offset: int) -> None:
    """An empty page would look like the end of the results."""
    with pytest.raises(InvalidArgumentError) as refused:
        page(outputs(tmp_path, *texts), offset=offset)
    assert str(refused.value) == (
        f"Cannot read rows of {JOB_ID} from offset {offset}: it has {len(texts)} rows, numbered from 0. "
        f"Use an offset below {max(len(texts), 1)}."
    )


def test_a_field_that_reads_like_the_path_of_another_is_not_that_one(tmp_path: Path) -> None:
    """`inputs` is called `inference_result.inputs`, and another row has that path."""
    texts = ['{"inputs": 1}', '{"inference_result": {"inputs": 2}}']
    answer = page(parquet(tmp_path, {"outputs": texts, "inputs": ["q", "r"]}, include_inputs=True))
    own = "inference_result.inference_result"
    assert answer.columns == ["inputs", "inference_result.inputs", own]
    assert answer.rows == [["q", 1, None], ["r", None, '{"inputs":2}']]


def test_a_column_is_found_however_its_accents_are_composed(tmp_path: Path) -> None:
    """A column of the file, a field, and one that only another page has; an exact name comes first."""
    rows = [{"Ko\u0308ln": 1, "ä": 2, "a\u0308": 3}, {"Gr\u00fc\u00dfe": 4}]
    artifact = objects(tmp_path, *rows)
    found = page(artifact, columns=("K\u00f6ln", "a\u0308", "Gru\u0308\u00dfe", "Ko\u0308ln"), limit=1)
    assert (found.columns, found.rows) == (["Ko\u0308ln", "a\u0308", "Gru\u0308\u00dfe"], [[1, 3, None]])
    stored = parquet(tmp_path, {"inference_result": ["x"], "sta\u0308dt": ["y"]})
    assert page(stored, columns=("st\u00e4dt",)).rows == [["y"]]
