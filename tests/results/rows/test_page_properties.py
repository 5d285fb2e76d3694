"""Properties of every artifact and way of paging it: pages joined are the artifact, within budget."""

import json
from operator import mul
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sutro_mcp.results import Cell, LocalArtifact
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.untrusted_text import visible
from tests.results.support import JOB_ID, every_page, size
from tests.tries import some_of

Values = st.SearchStrategy[Any]

# Quotes and backslashes cost twice in JSON, invisible characters more when they are made visible.
TEXTS: Values = st.text(st.sampled_from('ab é日😀"\\\n\t\u202e\u200b\x00{}[]:,'), max_size=60)
LONG_TEXTS: Values = st.one_of(TEXTS, st.builds(mul, TEXTS, st.integers(1, 60)))
SCALARS: Values = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), LONG_TEXTS)
KEYS = st.sampled_from(["a", "b", "*", "^x$", "id", "inputs", "inference_result", "outputs", ""])
NESTED: Values = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(KEYS, SCALARS, max_size=2))
OBJECTS: Values = st.dictionaries(KEYS, NESTED, min_size=1, max_size=6)
OUTPUTS: Values = st.one_of(
    st.none(), LONG_TEXTS, OBJECTS.map(json.dumps), OBJECTS.map(lambda found: json.dumps(found)[:-1])
)


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    """Outputs, and sometimes the other columns there can be."""
    rows = draw(st.integers(0, 25))

    def values(of: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(of, min_size=rows, max_size=rows))

    columns: dict[str, pl.Series] = {"outputs": pl.Series(values(OUTPUTS), dtype=pl.String)}
    if draw(st.booleans()):
        columns["inputs"] = pl.Series(values(st.none() | LONG_TEXTS), dtype=pl.String)
    if draw(st.booleans()):
        name = draw(st.sampled_from(["id", "*", "^x$"]))
        columns[name] = pl.Series(values(st.none() | st.integers(-5, 5)), dtype=pl.Int64)
    if draw(st.booleans()):
        columns["confidence_score"] = pl.Series(values(st.floats(0, 1)), dtype=pl.Float64)
    return pl.DataFrame(columns)


@st.composite
def artifacts(draw: st.DrawFn) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A table and how it is written."""
    codec = draw(st.sampled_from(["snappy", "zstd", "uncompressed"]))
    return draw(tables()), {"compression": codec, "row_group_size": draw(st.integers(1, 30))}


BUDGETS = st.fixed_dictionaries(
    {"limit": st.integers(1, 8), "max_chars": st.integers(500, 4_000), "max_cell_chars": st.integers(16, 400)}
)


@settings(max_examples=some_of(80, least=20), deadline=None)
@given(artifacts(), BUDGETS, st.booleans())
def test_pages_joined_are_the_artifact_cell_by_cell(
    folder: Path, written: tuple[pl.DataFrame, dict[str, Any]], budget: dict[str, int], with_columns: bool
) -> None:
    """Without unpacking: every cell is the artifact's, or a beginning of it that says how long it is."""
    table, layout = written
    names = [name for name in table.columns if name != "outputs"] if with_columns else []
    options = {**budget, "unpack_json": False, "columns": names, "output_column": "outputs"}
    pages = every_page(write(folder, table, layout), **options)
    rows = [row for each in pages for row in each.rows]
    assert len(rows) == table.height
    assert all(each.row_count == table.height and size(each) <= budget["max_chars"] for each in pages)
    for each in pages:
        assert names[: len(each.columns)] == each.columns or not names
        for at, row in enumerate(each.rows, each.offset):
            for name, shown in zip(each.columns, row, strict=True):
                assert is_shown(table[name][at], shown)


@settings(max_examples=some_of(80, least=20), deadline=None)
@given(artifacts(), BUDGETS)
def test_pages_joined_are_the_artifact_row_by_row(
    folder: Path, written: tuple[pl.DataFrame, dict[str, Any]], budget: dict[str, int]
) -> None:
    """With unpacking, columns differ from page to page; the fields of a row do not."""
    table, layout = written
    pages = every_page(write(folder, table, layout), **budget)
    expected = [naive_row(row, set(table.columns)) for row in table.iter_rows(named=True)]
    assert sum(len(each.rows) for each in pages) == len(expected)
    for each in pages:
        assert size(each) <= budget["max_chars"]
        for values, row in zip(expected[each.offset :], each.rows, strict=False):
            shown = dict(zip(each.columns, row, strict=True))
            for name in shown:
                assert is_shown(values.get(name), shown[name])
            if "columns left out" not in (each.shortened or ""):
                assert set(values) <= set(shown)


HOSTILE = st.text(st.sampled_from('x"\\\n\u202e\U000e0041日'), min_size=1, max_size=200)


HOSTILE_OBJECTS = st.dictionaries(HOSTILE, HOSTILE | st.integers(), max_size=80).map(json.dumps)
ALL_QUOTES = json.dumps({'"' * length: '"' * 9_000 for length in range(200, 280)})
ALL_NUMBERS = json.dumps({f"{number:0200}": 2**63 for number in range(80)})


@settings(max_examples=some_of(60, least=20), deadline=None)
@given(st.lists(HOSTILE_OBJECTS, min_size=1, max_size=3), st.integers(500, 12_000), st.integers(1, 5_000))
@example([ALL_QUOTES, ALL_NUMBERS], 500, 1)
@example([ALL_QUOTES, ALL_NUMBERS], 500, 5_000)
@example([ALL_NUMBERS, ALL_QUOTES], 9_000, 5_000)
def test_no_page_exceeds_its_budget(
    folder: Path, texts: list[str], max_chars: int, max_cell_chars: int
) -> None:
    """Whatever the names are and however many: at least one row of at least one column is there."""
    artifact = write(folder, pl.DataFrame({"outputs": texts}), {})
    pages = every_page(artifact, max_chars=max_chars, max_cell_chars=max_cell_chars)
    for each in pages:
        assert size(each) <= max_chars
        assert each.columns
        assert each.rows
        assert {len(row) for row in each.rows} == {len(each.columns)}


def write(folder: Path, table: pl.DataFrame, layout: dict[str, Any]) -> LocalArtifact:
    """The table as an artifact, inputs included; it takes the place of the one before."""
    path = folder / "property.parquet"
    table.write_parquet(path, **layout)
    return LocalArtifact(path=str(path), format="parquet", spec=ResultsSpec(JOB_ID, include_inputs=True))


def naive_row(row: dict[str, Any], taken: set[str]) -> dict[str, Any]:
    """A row with its output unpacked and without its nulls."""
    text = row.pop("outputs")
    try:
        fields: dict[str, Any] | None = json.loads(text) if text.startswith("{") else None
    except (AttributeError, ValueError):
        fields = None
    if fields is not None:
        clashes = {*taken - {"outputs"}, "inference_result", ""}
        row |= {f"inference_result.{key}" if key in clashes else key: fields[key] for key in fields}
    else:
        row["inference_result"] = text
    return {name: value for name, value in row.items() if value is not None}


def is_shown(value: Any, shown: Cell) -> bool:
    """Whether `shown` is `value`, or a beginning of it with its length."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, str):
        return shown == value and type(shown) is type(value)
    whole, note = visible(value), f"… [{len(visible(value)):,} chars]"
    return isinstance(shown, str) and (
        shown == whole or (shown.endswith(note) and whole.startswith(shown.removesuffix(note)))
    )
