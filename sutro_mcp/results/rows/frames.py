"""Results as a frame for library callers, by the rules of the official SDK (0.1.67, `get_job_results`).

Unlike a page, a frame unpacks JSON only if every row that is not null holds an object, and refuses name
conflicts instead of renaming. pandas is used only where the caller brought a pandas frame.
"""

import sys
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import LocalArtifact

from .artifact_frame import read_artifact

if TYPE_CHECKING:
    import pandas as pd


class DifferentHeightError(InvalidArgumentError):
    """What the results are to be added to has another number of rows."""


def build_frame(
    ref: LocalArtifact,
    *,
    with_original_df: "pl.DataFrame | pd.DataFrame | None",
    output_column: str,
    unpack_json: bool,
) -> "pl.DataFrame | pd.DataFrame":
    """The artifact as a frame: joined to `with_original_df` by position, in that frame's own kind.

    Raises InvalidArgumentError on name conflicts or unequal row counts, and UnexpectedReplyError when the
    artifact cannot be read.
    """
    # Of the types that a JSON reply would give, so that all routes to the results agree.
    results = _frame(map(as_json_type, read_artifact(ref, output_column).iter_columns()))
    carried = carried_names(results.columns, ref, output_column)
    original = None if with_original_df is None else _original(with_original_df)
    if unpack_json:
        results = _unpack(results, output_column, [] if original is None else original.columns)
    if original is None or with_original_df is None:
        return results
    fields = _new_columns(results, original, carried)
    if isinstance(with_original_df, pl.DataFrame):
        return original.hstack(fields)
    combined = with_original_df.copy()
    for name, values in _frame(fields).to_pandas().items():
        combined[name] = values.array
    return combined


def _frame(columns: Iterable[pl.Series]) -> pl.DataFrame:
    """By name and not as a list, in which polars would give a name to a column that has the empty one."""
    return pl.DataFrame({column.name: column for column in columns})


def carried_names(names: Iterable[str], ref: LocalArtifact, output_column: str) -> list[str]:
    """The columns of an artifact that came from the input: no outputs, no diagnostics that were asked for."""
    asked = (name for name, included in ref.spec.optional_columns.items() if included)
    own = {output_column, "confidence_score", *asked}
    return [name for name in names if name not in own]


def as_json_type(column: pl.Series) -> pl.Series:
    """A whole column as a JSON reply would type it: without a value Null, else of `json_dtype` if all fit."""
    if column.null_count() == len(column):
        return column.cast(pl.Null)
    try:
        return column.cast(json_dtype(column.dtype))
    except pl.exceptions.InvalidOperationError:
        return column  # integers beyond 64 bit


def json_dtype(dtype: pl.DataType) -> pl.DataType:
    """The type that a JSON reply has for `dtype`."""
    if dtype.is_integer():
        return pl.Int64()
    if dtype == pl.Float32:
        return pl.Float64()
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(json_dtype(cast("pl.DataType", dtype.inner)))
    return pl.String() if isinstance(dtype, pl.Categorical | pl.Enum) else dtype


def _unpack(results: pl.DataFrame, output_column: str, taken: list[str]) -> pl.DataFrame:
    outputs = results.get_column(output_column)
    if outputs.dtype != pl.String:
        return results
    try:
        decoded = outputs.str.json_decode(infer_schema_length=None)
    except pl.exceptions.PolarsError:
        return results
    if not isinstance(decoded.dtype, pl.Struct):
        return results
    fields = list(decoded.struct.unnest().iter_columns())
    check_fields((field.name for field in fields), [*results.columns, *taken])
    if not fields:
        return results
    others = (column for column in results.iter_columns() if column.name != output_column)
    return _frame([*others, *fields])


def check_fields(fields: Iterable[str], taken: Iterable[str]) -> None:
    """Raises InvalidArgumentError when a field of the outputs has the name of another column."""
    conflicts = set(fields) & set(taken)
    if conflicts:
        raise InvalidArgumentError(
            "unpack the JSON outputs into columns",
            f"these names are taken by other columns: {', '.join(sorted(conflicts))}",
            "Pass unpack_json=False to keep the outputs as text",
        )


def _original(frame: "pl.DataFrame | pd.DataFrame") -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    # Whoever holds a pandas frame has imported pandas; nobody else needs it.
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or not isinstance(frame, pandas.DataFrame):
        raise InvalidArgumentError(
            "add the results to with_original_df",
            f"it is a {type(frame).__name__}, not a polars or pandas DataFrame",
            "Pass a DataFrame",
        )
    try:
        return cast("pl.DataFrame", cast("Any", pl.from_pandas)(frame))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InvalidArgumentError(
            "add the results to with_original_df",
            "polars cannot hold it: a column has values of several types, or two columns have one name",
            "Give each column one type and a name of its own, or add the results yourself",
        ) from error


def _new_columns(results: pl.DataFrame, original: pl.DataFrame, carried: list[str]) -> list[pl.Series]:
    def is_same(name: str) -> bool:
        return original.get_column(name).equals(results.get_column(name), check_dtypes=True)

    check_join(original, results.columns, results.height, carried, is_same)
    return [column for column in results.iter_columns() if column.name not in original.columns]


def check_join(
    original: pl.DataFrame,
    names: Iterable[str],
    height: int,
    carried: Container[str],
    is_same: Callable[[str], bool],
) -> None:
    """Whether columns of these names and this height can be added to `original`.

    Raises InvalidArgumentError. Of a name that both have, `is_same` tells whether the columns are equal.
    """
    if original.height != height:
        raise DifferentHeightError(
            "add the results to with_original_df",
            f"it has {original.height:,} rows and the results have {height:,}",
            "Pass the frame that the job was submitted with",
        )
    shared = set(original.columns) & set(names)
    # A carried id may stand in both, if it is the same; an output or diagnostic never may.
    conflicts = [name for name in shared if name not in carried or not is_same(name)]
    if conflicts:
        raise InvalidArgumentError(
            "add the results to with_original_df",
            f"both have columns named {', '.join(sorted(conflicts))}",
            "Rename them in the frame, or choose another output_column",
        )
