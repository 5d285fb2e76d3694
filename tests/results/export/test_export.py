"""Exports hold all results as pages and SQL show them, in every format, and say what a format cannot hold."""

import csv
import datetime
import decimal
import json
import sys
import zlib
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic_core import from_json

from sutro_mcp.errors import InvalidArgumentError, SettingsError, UnexpectedReplyError
from sutro_mcp.results import ExportFormat
from sutro_mcp.results.rows.json_shape import quoted
from sutro_mcp.untrusted_text import visible
from tests.results.export.support import FORMATS, export, frame_of, names
from tests.results.sql.support import query
from tests.results.support import file, files_of_at_most, objects, outputs, panicking, parquet
from tests.tries import some_of


def read(path: Path, schema: Any) -> pl.DataFrame:
    """An export as polars reads it; CSV and JSON Lines know no types, so they are told."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    if path.suffix == ".jsonl":
        return pl.read_ndjson(path, schema=schema)
    # Not the names: the reader of polars may leave the quotes in a quoted name doubled.
    with path.open(encoding="utf-8", newline="") as lines:
        names = next(csv.reader(lines, strict=True))
    return pl.read_csv(path, new_columns=names, schema_overrides=list(schema.values()))


def _as_shown(value: Any) -> Any:
    """Objects without their order and nulls, which a missing field is in a struct."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: _as_shown(inner) for name, inner in members.items() if inner is not None}
    return [_as_shown(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


NASTY = [
    'say "hi", she said',
    "two\nlines",
    "CR\rLF\r\n",
    "NUL\0 and escape\x1b",
    "=HYPERLINK(1)",
    " padded ",
]
CELLS = [*NASTY, "\ufeffmark \u202eturned\u202c \u200b", "👩‍💻 𝔘 \u2028", "null", "007", "true", "", None]


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """An export folder."""
    return made(tmp_path / "exports")


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Where results lie before they are exported."""
    return made(tmp_path / "artifacts")


def made(folder: Path) -> Path:
    """A new folder."""
    folder.mkdir()
    return folder


@pytest.mark.parametrize("form", FORMATS)
def test_text_is_written_as_it_is(exports: Path, artifacts: Path, form: ExportFormat) -> None:
    """Nothing is escaped for an assistant's or a spreadsheet's sake; null and empty text stay two things."""
    artifact = parquet(artifacts, {"id": range(len(CELLS)), "outputs": CELLS})
    report = export(exports, artifact, form=form)
    back = read(exports / f"a.{form}", {"id": pl.Int64, "inference_result": pl.String})
    assert back["inference_result"].to_list() == CELLS
    assert_frame_equal(back, frame_of(artifact))
    assert (report.rows, report.column_count, report.columns) == (13, 2, ["id", "inference_result"])


def test_csv_is_what_the_standard_says_for_any_reader(exports: Path, artifacts: Path) -> None:
    """Text is quoted, empty or not; null is an empty field; numbers are bare; lines end in CRLF."""
    artifact = parquet(artifacts, {"id": [1, 2, 3], "outputs": ['a"b', "", None]})
    export(exports, artifact, "a.csv")
    raw = (exports / "a.csv").read_bytes()
    assert raw == b'"id","inference_result"\r\n1,"a""b"\r\n2,""\r\n3,\r\n'


TEXTS = st.one_of(st.none(), st.text(max_size=30), st.sampled_from(CELLS))
# Nothing that SQL would show otherwise.
PLAIN = st.text(alphabet='aBé"\\/~. 1{[', max_size=5)
NUMBERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(allow_nan=False, allow_infinity=False), PLAIN),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(PLAIN, inner, max_size=3)),
    max_leaves=5,
)


@settings(
    max_examples=some_of(100, least=10),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.lists(st.dictionaries(PLAIN, VALUES, max_size=4), min_size=1, max_size=5))
def test_unpacked_json_is_what_sql_sees_whatever_its_shape(
    folder: Path, values: list[dict[str, Any]]
) -> None:
    """The same columns with the same values in every format; JSON Lines have lists and objects as such."""
    artifact = objects(folder, *values)
    reports = {form: export(folder, artifact, form=form, overwrite=True) for form in FORMATS}
    (columns,) = {tuple(report.columns) for report in reports.values()}
    back = pl.read_parquet(folder / "a.parquet")
    assert (back.height, len(back.columns)) == (len(values), len(columns))
    lines = (folder / "a.jsonl").read_text("utf-8").split("\n")
    assert lines.pop() == ""
    found = [list(json.loads(line).values()) for line in lines]
    shown = ", ".join(quoted(visible(name)) for name in back.columns)
    expected = query(artifact, f"SELECT {shown} FROM results ORDER BY row", max_chars=10**7).rows  # noqa: S608
    assert [[_as_shown(value) for value in row] for row in found] == [
        [
            _as_shown(from_json(cell))
            if isinstance(cell, str) and cell[:1] in ("[", "{") and isinstance(value, list | dict)
            else cell
            for cell, value in zip(row, values, strict=True)
        ]
        for row, values in zip(expected, found, strict=True)
    ]
    with (folder / "a.csv").open(encoding="utf-8", newline="") as text:
        cells = list(csv.reader(text, strict=True))
    if len(columns) > 1:
        assert len(cells) == len(values) + 1
    assert cells[0] == back.columns


def test_what_a_format_has_no_place_for_becomes_text_and_is_named(exports: Path, artifacts: Path) -> None:
    """Bytes, durations, and objects that are empty in every row."""
    carried = {
        "bytes": [b"\xff\x00", None],
        "taken": [datetime.timedelta(seconds=90), None],
        "blobs": [[b"\xff"], None],
        "array": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int64, 2)),
        "day": [datetime.date(2026, 1, 2), None],
    }
    artifact = parquet(artifacts, {**carried, "outputs": ['{"e": {}, "f": 1}', None]})
    remarks = {form: export(exports, artifact, form=form).remarks for form in FORMATS}
    assert ['"e"' in remarks["parquet"][0], '"bytes", "blobs"' in remarks["jsonl"][0]] == [True, True]
    assert remarks["csv"][0].endswith('in "bytes", "blobs", "array", "e".')
    back = pl.read_parquet(exports / "a.parquet")
    assert (back["e"].to_list(), back["bytes"].to_list()) == (["{}", None], [b"\xff\x00", None])
    line = json.loads((exports / "a.jsonl").read_text().splitlines()[0])
    assert line == {
        "bytes": "/wA=",
        "taken": "PT1M30S",
        "blobs": '["/w=="]',
        "array": [1, 2],
        "day": "2026-01-02",
        "e": {},
        "f": 1,
    }
    cells = (exports / "a.csv").read_text().splitlines()[1]
    assert cells == '"/wA=","PT1M30S","[""/w==""]","[1,2]","2026-01-02","{}",1'


def test_losses_that_no_text_can_mend_are_said(exports: Path, artifacts: Path) -> None:
    """NaN in JSON, and rows of one null in CSV."""
    artifact = parquet(
        artifacts, {"confidence_score": [float("nan"), None, 1.5], "outputs": ["a", None, "b"]}
    )
    assert "NaN and infinity" in export(exports, artifact, form="jsonl", unpack_json=False).remarks[0]
    assert export(exports, artifact, form="csv", unpack_json=False).remarks == []
    nested = pl.DataFrame(
        {"l": [[[1.5], [float("inf")]]], "s": [{"a": float("nan"), "b": 1}], "outputs": ["a"]}
    )
    for name in ("l", "s"):
        artifact = parquet(artifacts, nested.select(name, "outputs"))
        remarks = export(exports, artifact, f"{name}.jsonl", unpack_json=False).remarks
        assert "NaN and infinity" in remarks[0]
    finite = nested.select(pl.col("l").list.head(1), "outputs")
    assert export(exports, parquet(artifacts, finite), "finite.jsonl", unpack_json=False).remarks == []
    alone = outputs(artifacts, "a", None)
    assert "blank lines" in export(exports, alone, "alone.csv", unpack_json=False).remarks[0]
    assert pl.read_csv(exports / "alone.csv")["inference_result"].to_list() == ["a", None]


KEPT = '"inference_result" keeps {} text and is null in the others.'
NOT_UNPACKED = (
    'Not unpacked: "inference_result" holds the outputs as text; no row holds a JSON object with fields.'
)


@pytest.mark.parametrize(
    ("values", "rows", "remark"),
    [
        (
            ['{"a": 1}', "plain", None, "[1]"],
            [(1, None), (None, "plain"), (None, None), (None, "[1]")],
            f"2 rows hold no JSON object: {KEPT.format('their')}",
        ),
        (
            ["{}", '{"a": "x"}', " null"],
            [(None, None), ("x", None), (None, " null")],
            f"1 row holds no JSON object: {KEPT.format('its')}",
        ),
        (['{"a": 1}', '{"a": {"b": 2}}'], [("1",), ('{"b":2}',)], None),
        (['{"v": "\\ud83d"}', '{"v": "\\udc00x"}'], [("\ufffd",), ("\ufffdx",)], None),
        (['{"a": 1, "a": 2}', '{"a": 5}'], [(2,), (5,)], None),
        (['{"a": 1}', '{"a": 1, "b": {"c": 1, "c": 2}}'], [(1, None), (1, {"c": 2})], None),
        (['```json\n{"a": 1}\n```', '<think>Well</think>{"a": 1.5}'], [(1.0,), (1.5,)], None),
        (['{"o": {"x": 1}}', '{"o": {"y": "z"}}'], [({"x": 1, "y": None},), ({"x": None, "y": "z"},)], None),
        (["plain", None], [("plain",), (None,)], NOT_UNPACKED),
        ([None, None], [(None,), (None,)], NOT_UNPACKED),
        ([], [], NOT_UNPACKED),
        (["{}", "null"], [("{}",), ("null",)], NOT_UNPACKED),
    ],
)
def test_rows_are_unpacked_as_pages_are_and_the_others_keep_their_text(
    exports: Path, artifacts: Path, values: list[str | None], rows: list[Any], remark: str | None
) -> None:
    """And how many do is said."""
    artifact = outputs(artifacts, *values)
    report = export(exports, artifact, unpack_json=True)
    assert pl.read_parquet(exports / "a.parquet").rows() == rows
    assert report.remarks == ([remark] if remark else [])
    assert export(exports, artifact, unpack_json=False, overwrite=True).remarks == []
    assert pl.read_parquet(exports / "a.parquet")["inference_result"].to_list() == values


def test_numbers_and_maps_that_polars_has_no_json_for_are_json(exports: Path, artifacts: Path) -> None:
    """Decimals are numbers, also in lists, and keys that are no text become text, as JSON wants it."""
    table = pl.DataFrame(
        {
            "price": [decimal.Decimal("12.50"), None],
            "parts": [[decimal.Decimal("0.25"), decimal.Decimal(3)], None],
            "m": [{1: "x"}, None],
            "outputs": [f'{{"n": {2**64 + 1}, "l": [{2**64 + 1}]}}', f'{{"n": {2**127 - 1}, "l": [1]}}'],
        },
        schema={
            "price": pl.Decimal(10, 2),
            "parts": pl.List(pl.Decimal(10, 2)),
            "m": pl.Map(pl.Int32, pl.String),
            "outputs": pl.String,
        },
    )
    export(exports, parquet(artifacts, table), "a.jsonl")
    assert (exports / "a.jsonl").read_text().splitlines() == [
        f'{{"price":12.50,"parts":[0.25,3],"m":{{"1":"x"}},"n":{2**64 + 1},"l":[{2**64 + 1}]}}',
        f'{{"price":null,"parts":null,"m":null,"n":{2**127 - 1},"l":[1]}}',
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_times_are_written_as_pages_show_them(exports: Path, artifacts: Path, form: ExportFormat) -> None:
    """Alone and in lists, with all their digits."""
    noon = pl.Series(["2026-01-02T12:00:00.000000001"]).str.to_datetime(time_unit="ns")
    columns = {"at": noon.dt.replace_time_zone("UTC"), "all": noon.reshape((1, 1)).arr.to_list()}
    export(exports, parquet(artifacts, {**columns, "outputs": ["a"]}), form=form)
    text = (exports / f"a.{form}").read_text()
    assert "2026-01-02T12:00:00.000000001+00:00" in text
    assert text.count("2026-01-02T12:00:00.000000001") == 2


def test_an_answer_about_very_many_columns_stays_short(exports: Path, artifacts: Path) -> None:
    """And shows no invisible character, while the file has the names as they are."""
    fields = {f"\u202e{'x' * 300}{number}": 1 for number in range(2_000)}
    report = export(exports, objects(artifacts, fields))
    assert (report.column_count, len(report.columns)) == (201, 50)
    assert report.remarks[0].startswith('200 fields are columns; "inference_result" keeps every output whole')
    assert len(report.model_dump_json()) < 9_000
    assert "\u202e" not in report.model_dump_json()
    assert set(pl.read_parquet(exports / "a.parquet").columns) == {*list(fields)[:200], "inference_result"}
    nested = {f"\u202e{'x' * 300}{number}": [1] for number in range(2_000)}
    report = export(exports, objects(artifacts, nested), "a.csv")
    assert " and 195 more." in report.remarks[1]
    assert len(report.model_dump_json()) < 9_000


JOINED = {"id": [1, 2, 3], "label": ["x", "", None], "zip": ["007", "010", "1"]}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("form", FORMATS)
def test_results_are_added_to_a_file_as_the_sdk_does(
    exports: Path, artifacts: Path, kind: str, form: ExportFormat
) -> None:
    """Its columns first and unchanged; a carried id that is the same stands once."""
    original = pl.DataFrame(JOINED)
    if kind == "csv":
        original.write_csv(exports / "mine.csv")
    else:
        original.write_parquet(exports / "mine.parquet")
    artifact = parquet(artifacts, {"id": [1, 2, 3], "outputs": ['{"a": 1}', '{"a": 2}', None]})
    report = export(exports, artifact, form=form, join_with=f"mine.{kind}", step=2)
    expected = frame_of(artifact, with_original_df=original)
    assert expected.columns == report.columns == ["id", "label", "zip", "a"]
    assert_frame_equal(read(exports / f"a.{form}", expected.schema), expected)


def test_a_csv_file_comes_back_cell_for_cell(exports: Path, artifacts: Path) -> None:
    """Numbers are numbers only where their text says nothing more."""
    text = '"a, b",n,code,price,when,"",share\r\n"x\r\ny",1,007,1.50,2026-01-02,,0.25\r\n'
    text += '"""q""",-2,1e3,2,,"",3.0\r\n'
    (exports / "mine.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    export(exports, outputs(artifacts, "o", "p"), "a.csv", join_with="mine.csv", output_column="out")

    def cells(path: Path) -> list[list[str]]:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return list(csv.reader(lines))

    joined = cells(exports / "a.csv")
    assert [row[:-1] for row in joined] == cells(exports / "mine.csv")
    assert [row[-1] for row in joined] == ["out", "o", "p"]
    export(exports, outputs(artifacts, "o", "p"), "a.parquet", join_with="mine.csv")
    kinds = pl.read_parquet(exports / "a.parquet").schema
    assert [kinds["n"], kinds["share"], kinds["code"], kinds["price"]] == [
        pl.Int64,
        pl.Float64,
        pl.String,
        pl.String,
    ]


@settings(
    max_examples=some_of(60, least=15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(st.tuples(TEXTS, st.one_of(TEXTS, st.from_regex(r"-?\d*\.?\d*e?\d*", fullmatch=True)))))
def test_any_exported_csv_can_be_joined_with_again(
    folder: Path, rows: list[tuple[str | None, str | None]]
) -> None:
    """Cell for cell, null and empty text included."""
    expected = pl.DataFrame(rows, schema={"p": pl.String, "outputs": pl.String}, orient="row")
    export(
        folder, parquet(folder, expected), "mine.csv", overwrite=True, unpack_json=False, output_column="q"
    )
    artifact = parquet(folder, {"outputs": ["o"] * len(rows)})
    export(folder, artifact, "a.csv", join_with="mine.csv", overwrite=True, unpack_json=False)
    back = pl.read_csv(folder / "a.csv", infer_schema=False)
    assert back["p"].to_list() == expected["p"].to_list()
    assert back["q"].to_list() == expected["outputs"].to_list()


@pytest.mark.parametrize(
    ("original", "words"),
    [
        (
            {"id": [1, 2]},
            ['"mine.parquet"', "2 rows and the results have 3", "one row for each row of the job"],
        ),
        ({"id": [1, 2, 4]}, ["both have columns named id", "output_column"]),
        ({"inference_result": [1, 2, 3]}, ["both have columns named inference_result"]),
        ({"confidence_score": [1.0, 1.0, 1.0]}, ["both have columns named confidence_score"]),
        ({"\u202eid": ["a", "b", "c"]}, ["\\u{202E}id"]),
    ],
    ids=["rows", "other ids", "output", "diagnostics", "invisible"],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_is_written(
    exports: Path, artifacts: Path, original: dict[str, Any], words: list[str]
) -> None:
    """With what to change."""
    pl.DataFrame(original).write_parquet(exports / "mine.parquet")
    columns = {"id": [1, 2, 3], "\u202eid": [1, 2, 3], "outputs": ["a"] * 3, "confidence_score": [1.0] * 3}
    with pytest.raises(InvalidArgumentError) as refused:
        export(exports, parquet(artifacts, columns), join_with="mine.parquet", step=2)
    assert [word for word in words if word not in str(refused.value)] == []
    assert "\u202e" not in str(refused.value)
    assert names(exports) == {"mine.parquet"}


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("mine.csv", b""),
        ("mine.csv", b"a,a\n1,2\n"),
        ("mine.csv", b"a,b\n1,2,3\n"),
        ("mine.csv", b"a,b\n1,\xff\n"),
        ("mine.csv", b'a,b\n1,"2\n'),
        ("mine.parquet", b"PAR1 no PAR1"),
        ("mine.parquet", b""),
        ("mine.parquet", panicking()),
    ],
    ids=["empty", "twin names", "ragged", "latin", "open quote", "no parquet", "nothing", "panic"],
)
def test_a_file_that_cannot_be_read_is_refused(exports: Path, artifacts: Path, name: str, raw: bytes) -> None:
    """With what it should be."""
    (exports / name).write_bytes(raw)
    with pytest.raises(InvalidArgumentError, match=r"UTF-8 text with a header|sound Parquet"):
        export(exports, outputs(artifacts, "a"), join_with=name)
    assert names(exports) == {name}


def test_a_field_that_is_called_like_another_column_says_where_it_is_from(
    exports: Path, artifacts: Path
) -> None:
    """As in pages; so does one that the file to join with has."""
    pl.DataFrame({"mine": ["x"]}).write_parquet(exports / "mine.parquet")
    artifact = parquet(artifacts, {"id": [1], "outputs": ['{"id": 2, "Mine": 3, "row": 4}']})
    report = export(exports, artifact, join_with="mine.parquet")
    assert report.columns == [
        "mine",
        "id",
        "inference_result.id",
        "inference_result.Mine",
        "inference_result.row",
    ]
    assert pl.read_parquet(exports / "a.parquet").rows() == [("x", 1, 2, 3, 4)]


def test_columns_of_a_joined_file_keep_their_names(exports: Path, artifacts: Path) -> None:
    """Those that the job carried are the same columns; only others give way."""
    pl.DataFrame({"row": ["r"], "ID": ["x"]}).write_parquet(exports / "mine.parquet")
    artifact = parquet(artifacts, {"row": ["r"], "id": ["i"], "Row": ["R"], "outputs": ["o"]})
    export(exports, artifact, join_with="mine.parquet")
    assert pl.read_parquet(exports / "a.parquet").to_dicts() == [
        {"row": "r", "ID": "x", "carried.id": "i", "carried.Row": "R", "inference_result": "o"}
    ]


def test_the_name_is_looked_at_before_the_work(exports: Path, artifacts: Path) -> None:
    """A damaged artifact is not even opened, and leaves nothing when it is."""
    (exports / "a.csv").touch()
    with pytest.raises(InvalidArgumentError, match="exists"):
        export(exports, file(artifacts, b"damaged"), "a.csv")
    with pytest.raises(UnexpectedReplyError, match="damaged"):
        export(exports, file(artifacts, b"damaged"), "b.csv")
    assert names(exports) == {"a.csv"}


def test_a_file_is_found_however_its_accents_are_composed(exports: Path, artifacts: Path) -> None:
    """To be joined with, to be replaced, and not to stand twice under names that look the same."""
    there = exports / "a\u0308.csv"
    there.write_text("id\n1\n")
    artifact = outputs(artifacts, "x")
    with pytest.raises(InvalidArgumentError, match="exists"):
        export(exports, artifact, "\u00e4.csv")
    report = export(exports, artifact, "\u00e4.csv", join_with="\u00e4.csv", overwrite=True)
    assert report.file_name == there.name
    assert there.read_text() == '"id","inference_result"\n1,"x"\n'
    assert len(names(exports)) == 1


def test_a_file_can_be_replaced_by_itself_with_results(exports: Path, artifacts: Path) -> None:
    """It is read before it is replaced."""
    pl.DataFrame({"id": [1]}).write_parquet(exports / "a.parquet")
    report = export(exports, outputs(artifacts, "x"), join_with="a.parquet", overwrite=True)
    assert report.columns == ["id", "inference_result"]
    assert pl.read_parquet(exports / "a.parquet").rows() == [(1, "x")]


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
@pytest.mark.parametrize("form", FORMATS)
def test_a_disk_that_fills_up_is_a_clear_error_and_leaves_nothing(
    exports: Path, artifacts: Path, form: ExportFormat
) -> None:
    """Whatever polars makes of it; what was there is untouched."""
    (exports / f"a.{form}").write_text("old")
    texts = (f"{zlib.crc32(b'%d' % number):x}" * 8 for number in range(20_000))
    artifact = outputs(artifacts, *texts)
    with files_of_at_most(8192), pytest.raises(SettingsError, match="no room left; no file was written"):
        export(exports, artifact, form=form, unpack_json=False, overwrite=True)
    assert names(exports) == {f"a.{form}"}
    assert (exports / f"a.{form}").read_text() == "old"
