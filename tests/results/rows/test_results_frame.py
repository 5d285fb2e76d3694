"""Frames for library callers, where `tests/judge/test_same_frames.py` cannot ask the official SDK."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results import LocalArtifact
from sutro_mcp.results.rows.results_frame import build_frame
from tests.results.support import file, outputs, parquet


def frame(artifact: LocalArtifact, original: Any = None, **options: Any) -> Any:
    """The frame with the defaults of the library."""
    defaults: dict[str, Any] = {"output_column": "inference_result", "unpack_json": True}
    return build_frame(artifact, with_original_df=original, **(defaults | options))


def json_file(folder: Path, columns: dict[str, list[Any]]) -> LocalArtifact:
    """The same columns as the third route would give them."""
    return file(folder, json.dumps({"results": columns}), "json")


COLUMNS: dict[str, tuple[list[Any], pl.DataType | type[pl.DataType]]] = {
    "objects": ([{"q": "1"}, {"q": "2"}], pl.Struct({"q": pl.String})),
    "beyond 64 bit": ([2**70, 1], pl.Int128),
}


@pytest.mark.parametrize(("values", "dtype"), COLUMNS.values(), ids=COLUMNS)
def test_types_are_those_of_json_whatever_the_route(tmp_path: Path, values: list[Any], dtype: Any) -> None:
    """§1.1: as output and as carried column."""
    expected = pl.DataFrame(
        {"id": pl.Series(values, dtype=dtype), "inference_result": pl.Series(values, dtype=dtype)}
    )
    for artifact in (
        parquet(tmp_path, {"outputs": values, "id": values}),
        json_file(tmp_path, {"outputs": values, "id": values}),
    ):
        found = frame(artifact)
        assert found.schema == expected.schema
        assert found.equals(expected)


NARROW: dict[str, tuple[pl.Series, Any]] = {
    "small integers": (pl.Series([1], dtype=pl.Int8), pl.Int64),
    "unsigned integers": (pl.Series([1], dtype=pl.UInt64), pl.Int64),
    "large unsigned integers": (pl.Series([2**64 - 1], dtype=pl.UInt64), pl.UInt64),
    "single precision": (pl.Series([0.5], dtype=pl.Float32), pl.Float64),
    "embeddings": (pl.Series([[0.5]], dtype=pl.List(pl.Float32)), pl.List(pl.Float64)),
    "fixed-size embeddings": (pl.Series([[0.5]], dtype=pl.Array(pl.Float32, 1)), pl.List(pl.Float64)),
    "categories": (pl.Series(["x"], dtype=pl.Categorical), pl.String),
    "enums": (pl.Series(["x"], dtype=pl.Enum(["x"])), pl.String),
    "typed nulls": (pl.Series([None], dtype=pl.List(pl.Int8)), pl.Null),
}


@pytest.mark.parametrize(("values", "dtype"), NARROW.values(), ids=NARROW)
def test_types_that_json_lacks_become_those_it_has(tmp_path: Path, values: pl.Series, dtype: Any) -> None:
    """§1.3: the columns of an artifact are typed more finely."""
    found = frame(parquet(tmp_path, pl.DataFrame({"outputs": ["a"], "id": values})))
    assert found.schema["id"] == dtype
    assert found["id"].to_list() == values.to_list()


DEEP = '{"a":' * 150 + "1" + "}" * 150


@pytest.mark.parametrize(
    ("texts", "fields"),
    [
        (['{"a": 1}', f'{{"a": {2**64}}}'], {"a": ["1", str(2**64)]}),
        ([DEEP], {"a": [json.loads(DEEP)["a"]]}),
        (["{'a': 1}"], {"inference_result": ["{'a': 1}"]}),
        (['{"a":' * 100_000], {"inference_result": ['{"a":' * 100_000]}),
    ],
    ids=["beyond 64 bit", "150 levels", "single quotes", "100,000 levels, cut off"],
)
def test_outputs_are_unpacked_if_polars_reads_all_of_them_as_objects(
    tmp_path: Path, texts: list[str], fields: dict[str, list[Any]]
) -> None:
    """§3.2 to 3.5: into a column for each top-level field."""
    assert frame(outputs(tmp_path, *texts)).to_dict(as_series=False) == fields


@pytest.mark.parametrize("original", [None, pl.DataFrame({"q": [1]}), pd.DataFrame({"q": [1]})], ids=type)
def test_fields_whose_names_are_taken_are_refused(tmp_path: Path, original: Any) -> None:
    """§3.7: before anything else is checked; the text can be had instead."""
    names = "id, inference_result" if original is None else "id, inference_result, q"
    artifact = parquet(tmp_path, {"outputs": ['{"q": 1, "inference_result": 1, "id": 1}'], "id": [1]})
    with pytest.raises(InvalidArgumentError) as refused:
        frame(artifact, original)
    assert str(refused.value) == (
        f"Cannot unpack the JSON outputs into columns: these names are taken by other columns: {names}. "
        "Pass unpack_json=False to keep the outputs as text."
    )
    assert len(frame(artifact, original, unpack_json=False, output_column="text")) == 1


@pytest.mark.parametrize(
    "original",
    [pl.LazyFrame({"q": [1]}), pl.Series([1]), pd.Series([1]), {"q": [1]}, [1]],
    ids=["lazy frame", "polars series", "pandas series", "dict", "list"],
)
def test_what_is_no_frame_is_refused(tmp_path: Path, original: Any) -> None:
    """§4: the SDK ignores some and trips over others."""
    with pytest.raises(
        InvalidArgumentError, match=f"it is a {type(original).__name__}, not a polars or pandas"
    ):
        frame(outputs(tmp_path, "x"), original)


@pytest.mark.parametrize(
    "original",
    [pd.DataFrame([[1, 2]], columns=["q", "q"]), pd.DataFrame({"q": [1, "x"]}), pd.DataFrame({"q": [1j]})],
    ids=["equal names", "mixed types", "complex numbers"],
)
def test_a_pandas_frame_that_polars_cannot_hold_is_refused(tmp_path: Path, original: Any) -> None:
    """§4.2: it could not be checked for conflicts."""
    with pytest.raises(InvalidArgumentError, match="polars cannot hold it"):
        frame(outputs(tmp_path, *"xy"[: len(original)]), original)


def test_pandas_is_not_needed_without_a_pandas_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no dependency of ours."""
    monkeypatch.delitem(sys.modules, "pandas")
    assert frame(outputs(tmp_path, "x"), pl.DataFrame({"q": [1]})).columns == ["q", "inference_result"]
    with pytest.raises(InvalidArgumentError):
        frame(outputs(tmp_path, "x"), ["q"])
    assert "pandas" not in sys.modules
