"""Open a result artifact: find its columns by role and put them in the documented order.

Runs in the worker process and in the library, never in the server. Column names come from customers, so they
are always taken literally: polars reads `*` and `^…$` as patterns. The name of the output column inside an
artifact is not documented; `sutro-api.md` §7.4 gives the order in which candidates are tried.
"""

import json
import re
from pathlib import Path
from typing import Any, cast

import polars as pl
from pydantic_core import from_json, to_json

from sutro_mcp.errors import InvalidArgumentError, UnexpectedReplyError
from sutro_mcp.untrusted import quote

from ._models import ArtifactRef

_OPTIONAL = ("inputs", "cumulative_logprobs")
_KNOWN = (*_OPTIONAL, "confidence_score")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_artifact(ref: ArtifactRef, output_column: str) -> pl.DataFrame:
    """The artifact as a frame: inputs, carried columns, `output_column`, logprobs, confidence.

    Raises UnexpectedReplyError when the file cannot be read or its output column cannot be told, and
    InvalidArgumentError when `output_column` is the name of another column.
    """
    if ref.format == "csv":
        raise _unreadable(ref, "they came as CSV although Parquet was asked for, and types cannot be told")
    frame = _read_json(ref) if ref.format == "json" else _read_parquet(ref)
    return arrange(frame, ref, output_column)


def arrange(frame: pl.DataFrame, ref: ArtifactRef, output_column: str) -> pl.DataFrame:
    """Rename the output column and order the rest as the official SDK (0.1.67) does."""
    outputs = _find_outputs(frame.columns, ref)
    if output_column != outputs and output_column in frame.columns:
        raise InvalidArgumentError(
            f"read the results of {ref.job_id}",
            f"they already carry a column named {quote(output_column, 60)}",
            "Choose another output_column",
        )
    frame = frame.rename({outputs: output_column}) if outputs != output_column else frame
    wanted = {"inputs": ref.include_inputs, "cumulative_logprobs": ref.include_cumulative_logprobs}
    diagnostics = {"confidence_score", *(name for name, asked in wanted.items() if asked)}
    carried = [c for c in frame.columns if c != output_column and c not in diagnostics]
    order = [
        *(["inputs"] if wanted["inputs"] else []),
        *carried,
        output_column,
        *(["cumulative_logprobs"] if wanted["cumulative_logprobs"] else []),
        "confidence_score",
    ]
    # By name and not as a list, in which polars would give a name to a column that has the empty one.
    return pl.DataFrame({c: frame.get_column(c) for c in order if c in frame.columns})


def _find_outputs(columns: list[str], ref: ArtifactRef) -> str:
    for candidate in ("outputs", ref.job_id, "inference_result", "output"):
        if candidate in columns:
            return candidate
    rest = [c for c in columns if c not in _KNOWN]
    if len(rest) == 1:
        return rest[0]
    names = ", ".join(quote(c, 60) for c in columns[:10])
    raise _unreadable(ref, f"none of its columns is known to hold the outputs ({names})")


def _read_parquet(ref: ArtifactRef) -> pl.DataFrame:
    try:
        return pl.read_parquet(Path(ref.path), glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise _unreadable(ref, "the file is damaged or not Parquet") from error


def _read_json(ref: ArtifactRef) -> pl.DataFrame:
    """Columns of equal length, bare or under `results`; a bare list is the outputs alone (C11, C12)."""
    raw = Path(ref.path).read_bytes()
    try:
        body: Any = parse_json(raw)
    except (ValueError, RecursionError) as error:
        raise _unreadable(ref, "the reply is not valid JSON") from error
    if isinstance(body, dict) and "outputs" not in body and "results" in body:
        body = cast("dict[str, Any]", body)["results"]
    if isinstance(body, list):
        body = {"outputs": cast("list[Any]", body)}
    if not isinstance(body, dict):
        raise _unreadable(ref, "the reply is not a table of columns")
    columns = cast("dict[str, Any]", body)
    if not all(isinstance(values, list) for values in columns.values()):
        raise _unreadable(ref, "the reply is not a table of columns")
    if len({len(values) for values in columns.values()}) > 1:
        raise _unreadable(ref, "its columns differ in length")
    return pl.DataFrame({name: _column(values) for name, values in columns.items()})


def _column(values: list[Any]) -> pl.Series:
    try:
        # polars reads a list among objects as the values of their fields.
        if dict not in {type(value) for value in values} or all(isinstance(v, dict | None) for v in values):
            return pl.Series(values, strict=True)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        pass
    # Mixed types, which no documented reply has. Nothing is lost: what is no scalar becomes JSON text.
    return pl.Series([_scalar(value) for value in values], strict=False)


def _scalar(value: Any) -> Any:
    too_large = isinstance(value, int) and not -(2**127) <= value < 2**127
    return to_json(value).decode() if too_large or isinstance(value, list | dict) else value


def parse_json(raw: bytes | str) -> Any:
    """The JSON value in `raw`; NaN and Infinity are refused. Raises ValueError or RecursionError."""
    try:
        return from_json(raw, allow_inf_nan=False, cache_strings=False)
    except ValueError:
        # The fast parser refuses lone surrogates, which models do produce and JSON can carry: one such cell
        # must not hide the other rows. They become U+FFFD, as a frame can only hold valid text.
        text = json.dumps(json.loads(raw, parse_constant=_refuse_constant), ensure_ascii=False)
        return from_json(_SURROGATE.sub("\ufffd", text), allow_inf_nan=False, cache_strings=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _unreadable(ref: ArtifactRef, happened: str) -> UnexpectedReplyError:
    return UnexpectedReplyError(
        f"read the results of {ref.job_id}",
        happened,
        "Call again with disable_cache; if it stays, report it to Sutro",
    )
