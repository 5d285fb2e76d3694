"""Artifacts as they come: their two forms, the names of their columns, and everything that can be wrong."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sutro_mcp.errors import InvalidArgumentError, SutroError, UnexpectedReplyError
from sutro_mcp.results import LocalArtifact
from sutro_mcp.results.rows.artifact_frame import read_artifact
from sutro_mcp.results_spec import ResultsSpec
from tests.results.support import JOB_ID, file, panicking, parquet
from tests.tries import some_of

TABLE = {"outputs": ["a", None], "id": [1, 2]}


def read(artifact: LocalArtifact, output_column: str = "inference_result") -> dict[str, list[Any]]:
    """The artifact by column."""
    return read_artifact(artifact, output_column).to_dict(as_series=False)


@pytest.mark.parametrize(
    "body",
    [TABLE, {"results": TABLE}, {"results": TABLE, "outputs_note": "x"}],
    ids=["bare", "under results", "with company"],
)
def test_a_json_table_reads_like_parquet(tmp_path: Path, body: Any) -> None:
    """Bare or under `results`, whatever else stands beside it."""
    from_json = read(file(tmp_path, json.dumps(body), "json"))
    assert from_json == read(parquet(tmp_path, TABLE)) == {"inference_result": ["a", None], "id": [1, 2]}


@pytest.mark.parametrize("body", [["a", "b"], {"results": ["a", "b"]}], ids=["bare", "under results"])
def test_a_plain_list_is_the_outputs(tmp_path: Path, body: Any) -> None:
    """As older deployments answered."""
    assert read(file(tmp_path, json.dumps(body), "json")) == {"inference_result": ["a", "b"]}


def test_a_column_may_be_called_results(tmp_path: Path) -> None:
    """Where there are outputs, `results` is data."""
    body = {"results": ["r"], "outputs": ["o"]}
    assert read(file(tmp_path, json.dumps(body), "json")) == {"results": ["r"], "inference_result": ["o"]}


NOT_TABLES: dict[str, tuple[str | bytes, str]] = {
    "empty": (b"", "not valid JSON"),
    "web page": ("<html><body>Bad gateway</body></html>", "not valid JSON"),
    "cut off": ('{"outputs": ["a", "b', "not valid JSON"),
    "bad utf-8": (b'{"outputs": ["\xff"]}', "not valid JSON"),
    "nan": ('{"outputs": [NaN]}', "not valid JSON"),
    "infinity": ('{"outputs": ["x"], "confidence_score": [-Infinity]}', "not valid JSON"),
    "100,000 deep": ("[" * 100_000 + "]" * 100_000, "not valid JSON"),
    "100,000 deep in a cell": ('{"outputs": [' + '{"a":' * 100_000, "not valid JSON"),
    "integer of 5,000 digits": ('{"outputs": [' + "1" * 5_000 + "]}", "not valid JSON"),
    "scalar": ('"done"', "not a table of columns"),
    "null": ("null", "not a table of columns"),
    "null results": ('{"results": null}', "not a table of columns"),
    "row-wise": ('{"outputs": {"0": "a"}}', "not a table of columns"),
    "unequal lengths": ('{"outputs": ["a"], "id": [1, 2]}', "its columns differ in length"),
    "nothing": ("{}", "none of its columns is known to hold the outputs ()"),
}


@pytest.mark.parametrize(("raw", "reason"), NOT_TABLES.values(), ids=NOT_TABLES)
def test_json_that_is_no_table_is_an_error(tmp_path: Path, raw: str | bytes, reason: str) -> None:
    """One of ours, that says what is wrong."""
    with pytest.raises(UnexpectedReplyError) as refused:
        read(file(tmp_path, raw, "json"))
    assert reason in refused.value.happened
    assert refused.value.doing == f"read the results of {JOB_ID}"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("a\\ud83db", "a\ufffdb"),
        ("\\ude00\\ud83d", "\ufffd\ufffd"),
        ("\\ud83d\\ud83d\\ude00", "\ufffd😀"),
        ("\\ud83d\\\\ud83d", "\ufffd\\ud83d"),
    ],
    ids=["alone", "wrong way round", "before a pair", "before the text of one"],
)
def test_a_lone_surrogate_costs_only_its_character(tmp_path: Path, escaped: str, text: str) -> None:
    """Models produce them and JSON can carry them; every other cell is as it was."""
    raw = f'{{"outputs": ["{escaped}", "é\\n😀", null], "id": [1, 2.5, 9007199254740993]}}'
    assert read(file(tmp_path, raw, "json"))["inference_result"] == [text, "é\n😀", None]


MIXED: dict[str, tuple[list[Any], list[Any]]] = {
    "numbers": ([1, 0.5], [1.0, 0.5]),
    "numbers in lists of objects": ([{"a": [0, 0.5]}, {"a": None}], [{"a": [0.0, 0.5]}, {"a": None}]),
    "text and numbers": (["x", 2], ["x", "2"]),
    "text and objects": (["x", {"a": [1]}], ["x", '{"a":[1]}']),
    "objects and lists": ([{"a": 1}, [2], None], ['{"a":1}', "[2]", None]),
    "integers beyond 128 bit": ([1, 2**200], ["1", str(2**200)]),
    "objects with integers beyond 128 bit": ([{"a": 2**200}], [f'{{"a":{2**200}}}']),
}


@pytest.mark.parametrize(("values", "cells"), MIXED.values(), ids=MIXED)
def test_a_json_column_of_several_types_loses_nothing(
    tmp_path: Path, values: list[Any], cells: list[Any]
) -> None:
    """No documented reply has one; a table cannot hold one as it is."""
    assert read(file(tmp_path, json.dumps({"outputs": values}), "json")) == {"inference_result": cells}


def test_the_last_of_two_equal_names_counts(tmp_path: Path) -> None:
    """As Python's own parser has it."""
    assert read(file(tmp_path, '{"outputs": ["a"], "outputs": ["b"]}', "json")) == {"inference_result": ["b"]}


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=some_of(80, least=20), deadline=None)
@given(st.lists(JSON, max_size=5))
def test_any_json_in_the_cells_is_a_table_or_an_error_of_ours(folder: Path, values: list[Any]) -> None:
    """Never a failure of polars."""
    path = folder / "any.json"
    path.write_text(json.dumps({"outputs": values, "id": values}))
    try:
        rows = read_artifact(
            LocalArtifact(path=str(path), format="json", spec=ResultsSpec("job-x")), "text"
        ).height
    except SutroError:
        rows = len(values)
    assert rows == len(values)


FOUND: dict[str, tuple[list[str], str]] = {
    "outputs": (["outputs", JOB_ID, "inference_result_2"], "outputs"),
    "the job id": (["output", JOB_ID, "x"], JOB_ID),
    "inference_result": (["output", "inference_result", "x"], "inference_result"),
    "output": (["x", "output"], "output"),
    "the only one left": (["inputs", "cumulative_logprobs", "answer", "confidence_score"], "answer"),
    "an empty name": (["inputs", ""], ""),
}


@pytest.mark.parametrize(("names", "holds"), FOUND.values(), ids=FOUND)
def test_the_output_column_is_found_by_its_name(tmp_path: Path, names: list[str], holds: str) -> None:
    """It is not documented; candidates are tried in the order of sutro-api.md §7.4."""
    columns = {name: [f"cell of {name}"] for name in names}
    for artifact in (parquet(tmp_path, columns), file(tmp_path, json.dumps(columns), "json")):
        assert read(artifact, "found")["found"] == [f"cell of {holds}"]
        assert len(read(artifact, "found")) == len(names)


def test_an_artifact_whose_output_column_cannot_be_told_is_an_error(tmp_path: Path) -> None:
    """It names the columns there are, as data."""
    with pytest.raises(UnexpectedReplyError) as refused:
        read(parquet(tmp_path, {"answer": ["a"], "\u202eid\n": [1], "inputs": ["q"]}))
    assert refused.value.happened == (
        'none of its columns is known to hold the outputs ("answer", "\\u{202E}id", "inputs")'
    )


@pytest.mark.parametrize(
    ("flags", "order"),
    [
        ({}, ["inputs", "cumulative_logprobs", "*", "found", "confidence_score"]),
        ({"include_inputs": True}, ["inputs", "cumulative_logprobs", "*", "found", "confidence_score"]),
        (
            {"include_cumulative_logprobs": True},
            ["inputs", "*", "found", "cumulative_logprobs", "confidence_score"],
        ),
    ],
    ids=["not asked for", "inputs", "logprobs"],
)
def test_columns_stand_in_the_documented_order(
    tmp_path: Path, flags: dict[str, bool], order: list[str]
) -> None:
    """A column that was not asked for is kept, as something the customer carried along."""
    names = ["confidence_score", "inputs", "outputs", "cumulative_logprobs", "*"]
    assert list(read(parquet(tmp_path, {name: [1] for name in names}, **flags), "found")) == order


@pytest.mark.parametrize("taken", ["id", "confidence_score", "inputs", "inference_result"])
def test_an_output_column_called_like_another_is_refused(tmp_path: Path, taken: str) -> None:
    """The call has to change, not the deployment."""
    artifact = parquet(tmp_path, {"outputs": ["a"], taken: ["b"]})
    with pytest.raises(InvalidArgumentError, match=f'already carry a column named "{taken}"'):
        read(artifact, taken)


def whole() -> bytes:
    """A sound Parquet file."""
    buffer = io.BytesIO()
    pl.DataFrame({"outputs": ["a" * 50] * 100}).write_parquet(buffer)
    return buffer.getvalue()


def with_footer_length(length: int) -> bytes:
    """A file that says its footer has `length` bytes."""
    return whole()[:-8] + struct.pack("<i", length) + b"PAR1"


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "web page": b"<html><body>Bad gateway</body></html>",
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "JSON": b'{"outputs": ["a"]}',
    "half": whole()[: len(whole()) // 2],
    "no head": b"XXXX" + whole()[4:-4],
    "only the magic": b"PAR1PAR1",
    "footer of 2 GB": with_footer_length(2**31 - 1),
    "footer of nothing": with_footer_length(0),
    "footer of -1 bytes": with_footer_length(-1),
    "footer of noise": whole()[:-40] + b"\xa5" * 32 + whole()[-8:],
    "pages of zeros": b"PAR1" + bytes(len(whole()) - 708) + whole()[-704:],
    "a panic in polars": panicking(),
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_an_error(tmp_path: Path, raw: bytes) -> None:
    """Also where polars panics, which Python sees as something that is no `Exception`."""
    with pytest.raises(UnexpectedReplyError) as refused:
        read(file(tmp_path, raw))
    assert str(refused.value) == (
        f"Cannot read the results of {JOB_ID}: the file is damaged or not Parquet. "
        "Call again with disable_cache; if it stays, report it to Sutro."
    )


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Someone may clean temporary folders."""
    with pytest.raises(UnexpectedReplyError, match="the file is not there"):
        read(LocalArtifact(path=str(tmp_path / "gone"), format="parquet", spec=ResultsSpec(JOB_ID)))


def test_csv_is_refused(tmp_path: Path) -> None:
    """It has no types, and it was not asked for."""
    with pytest.raises(UnexpectedReplyError, match="they came as CSV"):
        read(file(tmp_path, b"outputs\na\n", "csv"))


def test_a_file_name_with_patterns_is_one_file(tmp_path: Path) -> None:
    """polars would expand it."""
    path = tmp_path / "a*[0]?.parquet"
    pl.DataFrame({"outputs": ["x"]}).write_parquet(path)

    artifact = LocalArtifact(path=str(path), format="parquet", spec=ResultsSpec(JOB_ID))
    assert read(artifact) == {"inference_result": ["x"]}
