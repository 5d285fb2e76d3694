"""Files as other writers make them: pages, summary, SQL, exports and the library read the same values."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sutro_mcp.errors import UnexpectedReplyError
from sutro_mcp.results import LocalArtifact
from sutro_mcp.results.parquet import open_parquet
from sutro_mcp.results.parquet import thrift_fields as names
from sutro_mcp.results.parquet.thrift import Kind, array, binary, struct
from tests.results.export.support import export, frame_of
from tests.results.parquet.support import local
from tests.results.parquet.synthetic import File, data_page, element, i32
from tests.results.sql.support import query
from tests.results.support import file, page, summary

# Their types are unknown.
pa: Any = importlib.import_module("pyarrow")
pq: Any = importlib.import_module("pyarrow.parquet")

CATEGORIES = ["spam", "ham", None, "spam"]
NUMBERS = list(range(200_000))
LARGE = [data_page(40_000) for _ in range(5)]
# The second of these pages is somewhere else.
WRONG_INDEX = [
    (4 + number * len(LARGE[0]) + number % 2, len(LARGE[0]), number * 40_000) for number in range(5)
]


def written(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    """A file of pyarrow."""
    path = folder / "written.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def uncounted(folder: Path, **options: Any) -> LocalArtifact:
    """As pyarrow 10 writes pages of the second kind without statistics: all say that they have no nulls."""
    columns = {"id": [1, None, 3, 4], "outputs": ["a", "b", None, "b"]}
    path = written(folder, columns, data_page_version="2.0", write_statistics=False, **options)
    # Four values, one of them null.
    said = b"\x15\x08\x15\x02"
    assert path.read_bytes().count(said) == 2
    return file(folder, path.read_bytes().replace(said, b"\x15\x08\x15\x00"))


def categories(folder: Path) -> LocalArtifact:
    """Outputs as an Arrow dictionary."""
    column = pa.array(CATEGORIES).dictionary_encode()
    return file(folder, written(folder, {"outputs": column}).read_bytes())


def enumeration(folder: Path) -> LocalArtifact:
    """Outputs as an enumeration of polars."""
    path = folder / "written.parquet"
    pl.DataFrame({"outputs": pl.Series(CATEGORIES, dtype=pl.Enum(["ham", "spam"]))}).write_parquet(path)
    return file(folder, path.read_bytes())


def typed_root(folder: Path) -> LocalArtifact:
    """Old writers in Go give a type to the root of the schema, which means nothing."""
    root = struct(
        (names.SchemaElement.TYPE, i32(6)),
        (names.SchemaElement.NAME, binary(b"root")),
        (names.SchemaElement.NUM_CHILDREN, i32(1)),
    )
    schema = array(Kind.STRUCT, [root[1], element(b"a")[1]])
    return file(folder, File(footer={names.FileMetaData.SCHEMA: schema}).data())


def wrong_index(folder: Path) -> LocalArtifact:
    """A page index that leads astray; a full reader does without."""
    return file(folder, File(pages=LARGE, rows=200_000, index=WRONG_INDEX).data())


def long_header(folder: Path) -> LocalArtifact:
    """A smallest and a largest value of 700,000 bytes in the header of a page, as polars 1.34 wrote them."""
    longest = struct((1, binary(bytes(700_000))), (2, binary(bytes(700_000))))
    return file(folder, File(pages=[data_page(10), data_page(10, inner={5: longest})]).data())


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (uncounted, ["a", "b", None, "b"]),
        (categories, CATEGORIES),
        (enumeration, CATEGORIES),
        (typed_root, [*range(10), *range(10)]),
        (long_header, [*range(10), *range(10)]),
        (wrong_index, [row % 40_000 for row in NUMBERS]),
    ],
)
def test_every_way_to_the_values_gives_the_same(
    tmp_path: Path, make: Callable[[Path], LocalArtifact], values: list[Any]
) -> None:
    """Whatever a writer's mistake or custom: never another value, and no file called damaged that is read."""
    artifact = make(tmp_path)
    for offset in (0, len(values) // 2 - 1, len(values) - 2):
        shown = page(artifact, offset=offset, limit=2, columns=("inference_result",))
        assert [cell for (cell,) in shown.rows] == values[offset : offset + 2]
    column = summary(artifact).columns[0]
    present = [value for value in values if value is not None]
    assert (column.nulls, column.distinct) == (len(values) - len(present), len(set(present)))
    sql = "SELECT count(inference_result), count(*), count(DISTINCT inference_result) FROM results"
    assert query(artifact, sql).rows == [[len(present), len(values), len(set(present))]]
    folder = tmp_path / "exports"
    folder.mkdir()
    export(folder, artifact, form="jsonl")
    lines = (folder / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["inference_result"] for line in lines] == values


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"compression": "zstd"}])
def test_values_are_not_shifted_where_nulls_are_not_counted(tmp_path: Path, options: dict[str, Any]) -> None:
    """In any column; whoever reads the whole file with a reader that shifts them is refused."""
    artifact = uncounted(tmp_path, **options)
    assert page(artifact).rows == [[1, "a"], [None, "b"], [3, None], [4, "b"]]
    with pytest.raises(UnexpectedReplyError, match=r"fewer nulls than it has|damaged"):
        frame_of(artifact)


def test_a_thousand_row_groups_are_read_as_a_few(tmp_path: Path) -> None:
    """Each part of a file costs a reader as much as thousands of rows."""
    table = pl.DataFrame(
        {"outputs": [f"r{row}" for row in range(3_000)], "l": [[row] for row in range(3_000)]}
    )
    path = tmp_path / "many.parquet"
    table.write_parquet(path, row_group_size=3)
    slices = list(open_parquet(local(path.read_bytes())).slice_files(["outputs", "l"]))
    assert [(each.name, each.first_row, each.row_count) for each in slices] == [
        ("outputs", 0, 3_000),
        ("l", 0, 3_000),
    ]
    assert page(file(tmp_path, path.read_bytes()), offset=1_998, limit=3).rows == [
        ["[1998]", "r1998"],
        ["[1999]", "r1999"],
        ["[2000]", "r2000"],
    ]


KEPT: dict[str, list[Any]] = {
    "tags": [["a", "b"], [], None],
    "company": [{"name": "x", "ids": [1]}, {"name": None}, None],
    "offers": [[{"price": 1}, {"price": 2.5, "in": True}], None, []],
}
OFFERS = pl.List(pl.Struct({"price": pl.Float64, "in": pl.Boolean}))


def test_lists_and_objects_that_come_as_json_are_kept_as_those_of_parquet_are(tmp_path: Path) -> None:
    """In pages, summary, SQL and exports; where rows differ in type they are text, and nothing is lost."""
    columns = {**KEPT, "outputs": [["x"], ["y", "z"], None]}
    body = {**columns, "mixed": [[1], ["a"], {"b": 2}]}
    (tmp_path / "json").mkdir()
    (tmp_path / "parquet").mkdir()
    offers = pl.Series(KEPT["offers"], dtype=OFFERS, strict=False)
    pl.DataFrame({**columns, "offers": offers}).write_parquet(tmp_path / "written.parquet")
    came = file(tmp_path / "json", json.dumps(body), "json")
    stored = file(tmp_path / "parquet", (tmp_path / "written.parquet").read_bytes())
    names = [*KEPT, "inference_result"]
    assert page(came, columns=names) == page(stored, columns=names)
    assert [each for each in summary(came).columns if each.name in names] == summary(stored).columns
    sql = "SELECT tags[1], company.name, company.ids[1], offers[2].price, inference_result FROM results"
    assert query(came, sql).rows == query(stored, sql).rows
    assert query(came, "SELECT mixed FROM results").rows == [["[1]"], ['["a"]'], ['{"b":2}']]
    for artifact in (came, stored):
        export(tmp_path, artifact, form="parquet", overwrite=True)
        assert pl.read_parquet(tmp_path / "a.parquet").select(names).to_dict(as_series=False) == {
            **{name: pl.read_parquet(tmp_path / "written.parquet")[name].to_list() for name in KEPT},
            "inference_result": columns["outputs"],
        }
