"""Performs calls with the official SDK and says what came of them.

Run by the interpreter of the SDK's own environment. Each line of standard input is one call as JSON, and
each line of standard output its answer, so that the SDK is imported once for many calls. Frames go to files.

The tests import this module for `build_frame` and `describe_pandas` only: both sides must make the same
frames and describe them alike. It must therefore import neither the SDK nor the frame libraries at its top.
"""

import contextlib
import importlib
import io
import json
import math
import os
import sys
from pathlib import Path
from typing import Any, cast

# Our type checker runs without the SDK, and the SDK's pandas is not ours: what belongs to them is `Any` here.


def build_frame(recipe: dict[str, Any]) -> Any:
    """The frame of `{"library", "columns": {name: [dtype, values]}, "index"}`; the index is pandas' alone."""
    columns: dict[str, list[Any]] = recipe["columns"]
    if recipe["library"] == "polars":
        polars: Any = importlib.import_module("polars")
        series = [
            polars.Series(name, values, getattr(polars, dtype)) for name, (dtype, values) in columns.items()
        ]
        return polars.DataFrame(series)
    pandas: Any = importlib.import_module("pandas")
    data = {
        name: pandas.Series(values, dtype="object").astype(dtype) for name, (dtype, values) in columns.items()
    }
    frame = pandas.DataFrame(data)
    if recipe.get("index") is not None:
        frame.index = pandas.Index(recipe["index"], name=recipe.get("index_name"))
    return frame


def describe_pandas(frame: Any) -> dict[str, Any]:
    """All that a caller can see of a pandas frame, as JSON: names, dtypes, cells with their types, index."""
    return {
        "columns": [
            {
                "name": str(name),
                "dtype": str(values.dtype),
                "cells": [_describe_cell(cell) for cell in values],
            }
            for name, values in frame.items()
        ],
        "index": [_describe_cell(label) for label in frame.index],
        "index_name": frame.index.name,
    }


def _describe_cell(cell: Any) -> Any:
    if cell is None or isinstance(cell, str | bool):
        return cell
    if isinstance(cell, dict):
        fields = cast("dict[str, Any]", cell)
        return {"object": {name: _describe_cell(value) for name, value in fields.items()}}
    kind = type(cell).__name__
    if hasattr(cell, "tolist"):
        # A numpy scalar or an array; what is in it tells more than which of the two it is.
        cell = cell.tolist()
    if isinstance(cell, list):
        return {kind: [_describe_cell(value) for value in cast("list[Any]", cell)]}
    if isinstance(cell, float) and math.isnan(cell):
        return {"float": "nan"}
    if isinstance(cell, int | float | str | bool):
        return cell
    return {kind: str(cell)}


def main() -> None:
    # Whatever the SDK or a library of its prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Imported now, so that no call pays for it.
    for name in ("sutro", "sutro.cli"):
        importlib.import_module(name)
    for line in sys.stdin:
        call: dict[str, Any] = json.loads(line)
        answers.write(json.dumps(_perform(call)) + "\n")
        answers.flush()


def _perform(call: dict[str, Any]) -> dict[str, Any]:
    os.environ.update(call["environment"])
    os.chdir(call["directory"])
    printed, bar = io.StringIO(), io.StringIO()
    answer: dict[str, Any] = {}
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(bar):
        try:
            if "command" in call:
                answer["exit_code"] = _run_command(call["command"])
            else:
                answer.update(_call_method(call))
        except Exception as error:  # whatever the SDK raises is the answer
            answer["raised"] = [type(error).__name__, str(error)]
    answer["printed"] = printed.getvalue()
    answer["progress"] = bar.getvalue()
    return answer


def _run_command(arguments: list[str]) -> int:
    cli: Any = importlib.import_module("sutro.cli").cli
    try:
        cli.main(arguments, prog_name="sutro")
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def _call_method(call: dict[str, Any]) -> dict[str, Any]:
    client: Any = importlib.import_module("sutro").Sutro()
    arguments: dict[str, Any] = call["arguments"]
    for name, recipe in call["frames"].items():
        arguments[name] = build_frame(recipe)
    pandas: Any = importlib.import_module("pandas")
    # pandas 3 keeps text in a dtype of its own, which the SDK's pandas 2 can do when told to.
    with pandas.option_context("future.infer_string", call["infer_string"]):
        value = getattr(client, call["method"])(**arguments)
        if isinstance(value, pandas.DataFrame):
            return {"pandas": describe_pandas(value)}
    polars: Any = importlib.import_module("polars")
    if isinstance(value, polars.DataFrame):
        path = Path(call["output"])
        value.write_ipc(path)
        return {"polars": str(path)}
    return {"value": value}


if __name__ == "__main__":
    main()
