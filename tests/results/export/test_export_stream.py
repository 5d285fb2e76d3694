"""Exports are read in parts: the file is the one that reading the whole would give, however they are cut."""

import datetime
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from polars.testing import assert_frame_equal

from sutro_mcp.errors import UnexpectedReplyError
from sutro_mcp.results import ExportFormat, LocalArtifact
from sutro_mcp.results.export.export_rows import open_frame
from sutro_mcp.results.export.formats import Written
from sutro_mcp.results.request_models import ExportRequest
from sutro_mcp.results.worker.protocol import NullChannel, StoppedError
from tests.results.export.support import FORMATS, export, frame_of, stored
from tests.results.parquet.synthetic import File, data_page
from tests.results.support import file, objects, outputs, parquet
from tests.tries import some_of

pq: Any = importlib.import_module("pyarrow.parquet")

# Each of these kinds together has one common type. polars draws lots between two of them for booleans,
# integers and fractions, as it does for the order of fields in nested objects: here that is always the same.
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FRACTIONS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=5)
KINDS: list[st.SearchStrategy[Any]] = [
    st.one_of(st.none(), INTEGERS, FRACTIONS),
    st.one_of(st.none(), INTEGERS, TEXTS, FRACTIONS),
    st.one_of(st.none(), st.booleans(), INTEGERS),
    st.one_of(st.none(), st.booleans(), FRACTIONS, TEXTS),
    st.one_of(INTEGERS, st.integers(2**63, 2**64 - 1)),
    st.one_of(st.none(), st.integers(2**63, 2**64 - 1)),
    st.none(),
]


@st.composite
def json_texts(draw: st.DrawFn) -> list[str | None]:
    """Outputs: mostly objects, some of which lack fields; with luck something else among them."""
    kind = draw(st.sampled_from(KINDS))
    nested = st.fixed_dictionaries({"x": kind, "y": st.lists(kind, max_size=2)})
    value = st.one_of(kind, st.none(), st.lists(kind, max_size=2))
    fields = {
        "a": value,
        "b": st.one_of(st.none(), nested),
        "c": st.lists(nested, max_size=2),
        "d": draw(st.sampled_from([value, st.one_of(value, nested)])),
        '"^é$': kind,
    }
    rows = st.one_of(st.fixed_dictionaries({}, optional=fields), st.fixed_dictionaries(fields)).map(
        lambda value: json.dumps(value, sort_keys=True)
    )
    others = draw(
        st.sampled_from([st.nothing(), st.sampled_from(["plain", "", "1", "[1]", " {", '{"a": 1} x'])])
    )
    return draw(st.lists(st.one_of(rows, rows, rows, st.sampled_from([None, "null", " null "]), others)))


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    """An artifact's columns, of types that JSON has and that it has not."""
    texts = draw(json_texts())

    def column(values: st.SearchStrategy[Any], dtype: Any) -> pl.Series:
        size = len(texts)
        return pl.Series(draw(st.lists(st.none() | values, min_size=size, max_size=size)), dtype=dtype)

    columns = {
        "*": lambda: column(st.integers(2**63 - 2, 2**63 + 1), pl.UInt64),
        "small": lambda: column(st.integers(0, 9), pl.Int8),
        "": lambda: column(st.nothing(), pl.String),
        "category": lambda: column(st.sampled_from(["p", "q"]), pl.Categorical),
        "vector": lambda: column(st.lists(st.floats(width=32), max_size=2), pl.List(pl.Float32)),
        "large": lambda: column(st.lists(st.integers(2**63 - 1, 2**63), max_size=2), pl.List(pl.UInt64)),
        "bytes": lambda: column(st.binary(max_size=3), pl.Binary),
        "confidence_score": lambda: column(st.floats(width=32), pl.Float32),
    }
    chosen = draw(st.lists(st.sampled_from(list(columns)), unique=True))
    return pl.DataFrame({"outputs": pl.Series(texts, dtype=pl.String), **{n: columns[n]() for n in chosen}})


@settings(
    max_examples=some_of(60, least=15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(table=tables(), step=st.integers(1, 8))
@example(table=pl.DataFrame({"outputs": ['{"a": 1}', '{"a": 1.5, "b": {"x": [true]}}', "null"]}), step=1)
def test_every_file_is_the_same_byte_for_byte_however_it_is_cut(
    tmp_path: Path, table: pl.DataFrame, step: int
) -> None:
    """The size of the parts is nobody's business."""
    # A file of that name holds the fields of an earlier one.
    for path in tmp_path.glob("artifact.*"):
        path.unlink()
    artifact = stored(tmp_path, table, 4)
    for form in FORMATS:
        report = export(tmp_path, artifact, form=form, overwrite=True)
        raw = (tmp_path / f"a.{form}").read_bytes()
        assert export(tmp_path, artifact, form=form, step=step, overwrite=True) == report
        assert (tmp_path / f"a.{form}").read_bytes() == raw
        assert report.rows == table.height


@pytest.mark.parametrize(("head", "tail"), [('{"a":', "}"), ('{"a":[', "]}")], ids=["objects", "lists"])
def test_outputs_that_nest_deeply_are_unpacked_as_far_as_pages_read_them(
    tmp_path: Path, head: str, tail: str
) -> None:
    """Nothing of them is lost."""
    levels = 120 // len(tail)
    texts = [head * levels + "1" + tail * levels, head * 2 * levels + "1" + tail * 2 * levels]
    export(tmp_path, outputs(tmp_path, *texts), form="jsonl", step=1)
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["a"] == json.loads(texts[0])["a"]
    assert json.loads(lines[1])["inference_result"] == texts[1]


@pytest.mark.parametrize("rows_in_group", [2, 100])
def test_rows_that_duckdb_misreads_stay_in_their_place(tmp_path: Path, rows_in_group: int) -> None:
    """They come from a table beside the results, which is as long as these."""
    texts = [f'{{"a": {row}, "a": {row + 1}}}' if row % 3 else "text" for row in range(60)]
    export(tmp_path, stored(tmp_path, pl.DataFrame({"outputs": texts}), rows_in_group))
    expected = [row + 1 if row % 3 else None for row in range(60)]
    assert pl.read_parquet(tmp_path / "a.parquet")["a"].to_list() == expected


@pytest.mark.parametrize("form", FORMATS)
def test_a_name_like_a_pattern_is_a_name(tmp_path: Path, form: ExportFormat) -> None:
    """In polars `^…$` stands for all names that match, and none does here; `*` stands for every name."""
    rows = ['{"^c+$": {"*": 1, "^d+$": 0.5}, "^e+$": {"x": 1}, "^f+$": 0.5}', '{"^e+$": {"y": 1}}']
    export(tmp_path, parquet(tmp_path, {"^b+$": rows}), step=1, form=form)
    if form == "parquet":
        assert pl.read_parquet(tmp_path / "a.parquet")["^c+$"].to_list() == [{"*": 1, "^d+$": 0.5}, None]
    if form == "jsonl":
        assert (tmp_path / "a.jsonl").read_text("utf-8").split("\n")[0] == rows[0].replace(" ", "")


def test_rows_that_cannot_be_had_in_parts_any_more_come_from_the_whole(tmp_path: Path) -> None:
    """Half way through a column there is a page that only a full reader reads; no row is lost or doubled."""
    smallest = {5: (12, b"\x18" + b"\x80\x80\x80\x01" + bytes(2 << 20) + b"\x00")}
    pages = [data_page(262_144), data_page(10), data_page(10, inner=smallest)]
    artifact = file(tmp_path, File(rows=262_164, pages=pages).data())
    export(tmp_path, artifact, step=100_000)
    assert_frame_equal(pl.read_parquet(tmp_path / "a.parquet"), frame_of(artifact))


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_has_the_types_that_polars_was_told(tmp_path: Path, form: ExportFormat) -> None:
    """It believes them."""
    table = pl.DataFrame(
        {
            "outputs": ['{"a": [1], "e": {}}', '{"a": null, "e": null}', None],
            "blobs": [[b"x"], [None], None],
            "record": [{"b": b"x", "l": [b"y"]}, None, {"b": None, "l": None}],
            "taken": [datetime.timedelta(seconds=90), None, None],
        }
    )
    artifact = parquet(tmp_path, table)
    request = ExportRequest(folder=tmp_path, file_name="a")
    with open_frame(artifact, request, None, NullChannel(), keep_json=form != "parquet", step=1) as frame:
        written = Written(frame, form)
        assert {part.schema == pl.Schema(written.schema) for part in written.frames()} == {True}


class Listening:
    """The channel of a task; what is told is kept, and may cause something."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.told: list[list[int]] = []
        self._then = then

    def ask(self, message: dict[str, Any]) -> None:
        raise AssertionError(message)

    def tell(self, message: dict[str, Any]) -> None:
        self.told.append(message["rows"])
        self._then()


def test_the_rows_that_are_written_are_told(tmp_path: Path) -> None:
    """From the first row to the last, never back."""
    channel = Listening()
    export(tmp_path, objects(tmp_path, *({"a": 1} for _ in range(8))), form="csv", channel=channel, step=2)
    assert channel.told == snapshot([[8, 8]])
    channel = Listening()
    export(tmp_path, outputs(tmp_path, *range(4)), "b.csv", channel=channel, step=1)
    assert channel.told == snapshot([[1, 4], [2, 4], [3, 4], [4, 4]])


def large(folder: Path, size: int) -> LocalArtifact:
    """Two row groups that do not shrink, with values of `size` random bytes."""
    values = [os.urandom(size).hex() for _ in range(20)]
    return stored(folder, pl.DataFrame({"outputs": values, "id": range(20)}), 10, "large")


@pytest.mark.parametrize("form", FORMATS)
def test_damage_in_a_late_row_is_said_and_leaves_no_file(tmp_path: Path, form: ExportFormat) -> None:
    """It is met while the file is written; a part of the rows is no export."""
    artifact = large(tmp_path, 50_000)
    raw = bytearray(Path(artifact.path).read_bytes())
    raw[len(raw) * 3 // 4 : len(raw) * 3 // 4 + 100] = bytes(100)
    Path(artifact.path).write_bytes(raw)
    with pytest.raises(UnexpectedReplyError, match="damaged"):
        export(tmp_path, artifact, form=form, unpack_json=False)
    assert [path.name for path in tmp_path.iterdir()] == ["large.parquet"]


@pytest.mark.parametrize("form", FORMATS)
def test_an_artifact_that_is_cut_off_meanwhile_stops_the_export(tmp_path: Path, form: ExportFormat) -> None:
    """The server then tries again with what is there."""
    # Each group is more than is read at once.
    artifact = large(tmp_path, 500_000)
    size = Path(artifact.path).stat().st_size
    channel = Listening(lambda: os.truncate(artifact.path, size // 2))
    with pytest.raises(StoppedError):
        export(tmp_path, artifact, form=form, unpack_json=False, channel=channel, step=1)
    assert [path.name for path in tmp_path.iterdir()] == ["large.parquet"]


def test_row_groups_are_smaller_where_rows_are_larger(tmp_path: Path) -> None:
    """One is in memory until it is complete."""
    artifact = parquet(tmp_path, {"outputs": [f"{row}" * (3 << 20) for row in range(10)]})
    export(tmp_path, artifact, form="parquet", unpack_json=False)
    assert row_groups(tmp_path / "a.parquet") == [5, 5]


def row_groups(path: Path) -> list[int]:
    """How many rows each has."""
    found = pq.ParquetFile(path).metadata
    return [found.row_group(at).num_rows for at in range(found.num_row_groups)]
