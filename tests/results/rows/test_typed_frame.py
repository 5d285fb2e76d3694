"""Frames for library callers, by the rules of the official SDK 0.1.67, as they were measured."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results import LocalArtifact
from sutro_mcp.results.rows.typed_frame import build_frame
from tests.results.support import file, outputs, parquet


def frame(artifact: LocalArtifact, original: Any = None, **options: Any) -> Any:
    """The frame with the defaults of the library."""
    defaults: dict[str, Any] = {"output_column": "inference_result", "unpack_json": True}
    return build_frame(artifact, with_original_df=original, **(defaults | options))


def json_file(folder: Path, columns: dict[str, list[Any]]) -> LocalArtifact:
    """The same columns as the third route would give them."""
    return file(folder, json.dumps({"results": columns}), "json")


COLUMNS: dict[str, tuple[list[Any], pl.DataType | type[pl.DataType]]] = {
    "text": (["a", None], pl.String),
    "integers": ([1, 2], pl.Int64),
    "floats": ([0.5, None], pl.Float64),
    "truth": ([True, None], pl.Boolean),
    "lists": ([[0.5], [1.0, 2.0]], pl.List(pl.Float64)),
    "objects": ([{"q": "1"}, {"q": "2"}], pl.Struct({"q": pl.String})),
    "all null": ([None, None], pl.Null),
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


def test_no_rows_have_no_type(tmp_path: Path) -> None:
    """§1.1: nothing is known of them."""
    assert frame(json_file(tmp_path, {"outputs": [], "id": []})).schema == {
        "id": pl.Null,
        "inference_result": pl.Null,
    }
    assert frame(parquet(tmp_path, pl.DataFrame({"outputs": []}, schema={"outputs": pl.String}))).schema == {
        "inference_result": pl.Null
    }


def test_columns_stand_in_the_order_of_the_sdk(tmp_path: Path) -> None:
    """§2.5 and §3.6: fields of unpacked outputs come last, behind the diagnostics."""
    columns = {
        "confidence_score": [1.0],
        "outputs": ['{"a": 1, "b": 2}'],
        "id": [7],
        "cumulative_logprobs": [-1.0],
    }
    artifact = parquet(
        tmp_path, {**columns, "inputs": ["q"]}, include_inputs=True, include_cumulative_logprobs=True
    )
    assert frame(artifact).columns == ["inputs", "id", "cumulative_logprobs", "confidence_score", "a", "b"]
    assert frame(artifact, unpack_json=False, output_column="*").columns == [
        "inputs",
        "id",
        "*",
        "cumulative_logprobs",
        "confidence_score",
    ]


UNPACKED: dict[str, tuple[Sequence[str | None], dict[str, list[Any]]]] = {
    "nulls": (['{"a": 1}', None, "null"], {"a": [1, None, None]}),
    "an empty object": (["{}", '{"a": 1}'], {"a": [None, 1]}),
    "padded": ([' \n{"a": 1}\n'], {"a": [1]}),
    "first appearance": (['{"b": 1}', '{"a": 2, "b": 3}'], {"b": [1, 3], "a": [None, 2]}),
    "numbers": (['{"a": 1}', '{"a": 2.5}'], {"a": [1.0, 2.5]}),
    "number and text": (['{"a": 1.50}', '{"a": "x"}'], {"a": ["1.5", "x"]}),
    "beyond 64 bit": (['{"a": 1}', f'{{"a": {2**64}}}'], {"a": ["1", str(2**64)]}),
    "nested": (['{"a": {"x": 1}, "l": [1]}'], {"a": [{"x": 1}], "l": [[1]]}),
    "literal names": (
        ['{"*": 1, "^x$": 2, "": 3, "inputs": 4}'],
        {"*": [1], "^x$": [2], "": [3], "inputs": [4]},
    ),
    "a late field": (
        ['{"a": 1}'] * 3000 + ['{"b": 2}'],
        {"a": [1] * 3000 + [None], "b": [None] * 3000 + [2]},
    ),
}


@pytest.mark.parametrize(("texts", "fields"), UNPACKED.values(), ids=UNPACKED)
def test_outputs_that_are_all_objects_are_unpacked(
    tmp_path: Path, texts: Sequence[str | None], fields: dict[str, list[Any]]
) -> None:
    """§3.2 to 3.5: into a column for each top-level field, in order of first appearance."""
    found = frame(outputs(tmp_path, *texts))
    assert found.to_dict(as_series=False) == fields
    assert found.columns == list(fields)


KEPT: dict[str, list[Any]] = {
    "one row is prose": ['{"a": 1}', "Sorry"],
    "one row is empty": ['{"a": 1}', ""],
    "one row is cut off": ['{"a": 1}', '{"a": '],
    "a late row is prose": ['{"a": 1}'] * 3000 + ["Sorry"],
    "trailing words": ['{"a": 1} as asked'],
    "single quotes": ["{'a': 1}"],
    "NaN": ['{"a": NaN}'],
    "a scalar": ['{"a": 1}', "5"],
    "a list": ['{"a": 1}', "[1]"],
    "only lists": ["[1]", "[2]"],
    "only numbers": ["1", "2"],
    "only empty objects": ["{}", "{}"],
    "object and scalar in a field": ['{"a": 1}', '{"a": {"b": 1}}'],
    "a field twice": ['{"a": 1, "a": 2}'],
    "100,000 deep": ['{"a":' * 100_000],
    "not text": [1, 2],
    "all null": [None],
}


@pytest.mark.parametrize("values", KEPT.values(), ids=KEPT)
def test_other_outputs_stay_as_they_are(tmp_path: Path, values: list[Any]) -> None:
    """§3.2: one row that is no object stops everything."""
    assert frame(outputs(tmp_path, *values)).to_dict(as_series=False) == {"inference_result": values}


@pytest.mark.parametrize(
    ("columns", "options", "names"),
    [
        ({"outputs": ['{"inference_result": 1}']}, {}, "inference_result"),
        (
            {"outputs": ['{"b": 1, "id": 1, "confidence_score": 2}'], "id": [1], "confidence_score": [1.0]},
            {},
            "confidence_score, id",
        ),
        ({"outputs": ['{"q": 1}']}, {"original": pl.DataFrame({"q": [1]})}, "q"),
        ({"outputs": ['{"q": 1}']}, {"original": pd.DataFrame({"q": [1]})}, "q"),
    ],
    ids=["the output column", "other columns", "the frame given", "the pandas frame given"],
)
def test_fields_whose_names_are_taken_are_refused(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], names: str
) -> None:
    """§3.7: before anything else is checked; the text can be had instead."""
    artifact = parquet(tmp_path, columns)
    with pytest.raises(InvalidArgumentError) as refused:
        frame(artifact, **options)
    assert str(refused.value) == (
        f"Cannot unpack the JSON outputs into columns: these names are taken by other columns: {names}. "
        "Pass unpack_json=False to keep the outputs as text."
    )
    assert frame(artifact, unpack_json=False, output_column="text").height == 1


def test_results_are_added_to_a_polars_frame_by_position(tmp_path: Path) -> None:
    """§4.4: its columns first."""
    artifact = parquet(tmp_path, {"outputs": ['{"a": 1}', '{"a": 2}'], "id": [7, 8]})
    original = pl.DataFrame({"q": ["x", "y"], "n": pl.Series([1, 2], dtype=pl.Int32)})
    found = frame(artifact, original)
    assert found.to_dict(as_series=False) == {"q": ["x", "y"], "n": [1, 2], "id": [7, 8], "a": [1, 2]}
    assert found.schema["n"] == pl.Int32
    assert original.columns == ["q", "n"]


def test_results_are_added_to_a_pandas_frame_by_position(tmp_path: Path) -> None:
    """§4.5: index and dtypes kept, the argument not changed, new columns as polars converts them."""
    artifact = parquet(tmp_path, {"outputs": ["x", None], "id": [7, None], "confidence_score": [1.0, None]})
    original = pd.DataFrame(
        {"c": pd.Categorical(["p", "q"]), "i": pd.array([1, None], dtype="Int64"), 3: [1, 2]},
        index=pd.Index([10, 10], name="row"),
    )
    before = original.copy(deep=True)
    found = frame(artifact, original)
    assert list(found.columns) == ["c", "i", 3, "id", "inference_result", "confidence_score"]
    assert found.index.equals(original.index)
    assert found.index.name == "row"
    assert [str(dtype) for dtype in found.dtypes[:5]] == ["category", "Int64", "int64", "float64", "str"]
    assert found["inference_result"].tolist()[0] == "x"
    pd.testing.assert_frame_equal(original, before)


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame], ids=["polars", "pandas"])
def test_no_rows_are_added_to_no_rows(tmp_path: Path, make: Any) -> None:
    """§4.1."""
    found = frame(json_file(tmp_path, {"outputs": []}), make({"q": []}))
    assert list(found.columns) == ["q", "inference_result"]
    assert len(found) == 0


def test_a_carried_column_that_both_have_is_kept_once(tmp_path: Path) -> None:
    """§4.3: if name, type and values are the same; nulls are the same as nulls."""
    artifact = parquet(tmp_path, {"outputs": ["x", "y"], "id": [7, None]})
    assert frame(artifact, pl.DataFrame({"id": [7, None]})).columns == ["id", "inference_result"]
    assert list(frame(artifact, pd.DataFrame({"id": pd.array([7, None], dtype="Int64")})).columns) == [
        "id",
        "inference_result",
    ]


@pytest.mark.parametrize(
    ("original", "options", "names"),
    [
        ({"id": [8]}, {}, "id"),
        ({"id": pl.Series([7], dtype=pl.Int32)}, {}, "id"),
        ({"inputs": ["q"], "confidence_score": [1.0]}, {}, "confidence_score, inputs"),
        ({"inference_result": ["x"]}, {}, "inference_result"),
        ({"answer": ["x"]}, {"output_column": "answer"}, "answer"),
    ],
    ids=["other values", "another type", "diagnostics", "the output", "the renamed output"],
)
def test_columns_that_both_have_are_refused(
    tmp_path: Path, original: dict[str, Any], options: dict[str, Any], names: str
) -> None:
    """§4.3: unless they are carried and equal."""
    artifact = parquet(
        tmp_path,
        {"outputs": ["x"], "id": [7], "inputs": ["q"], "confidence_score": [1.0]},
        include_inputs=True,
    )
    with pytest.raises(InvalidArgumentError, match=f"both have columns named {names}"):
        frame(artifact, pl.DataFrame(original), **options)


def test_a_frame_may_have_inputs_that_were_not_asked_for_or_an_output_that_is_gone(tmp_path: Path) -> None:
    """§4.3: neither is among the results."""
    artifact = outputs(tmp_path, '{"a": 1}')
    assert frame(artifact, pl.DataFrame({"inputs": ["q"], "inference_result": ["x"]})).columns == [
        "inputs",
        "inference_result",
        "a",
    ]


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame], ids=["polars", "pandas"])
def test_unequal_row_counts_are_refused(tmp_path: Path, make: Any) -> None:
    """§4.1: position is the only identity there is."""
    with pytest.raises(InvalidArgumentError, match="it has 3 rows and the results have 2"):
        frame(outputs(tmp_path, "x", "y"), make({"inference_result": [1, 2, 3]}))


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
