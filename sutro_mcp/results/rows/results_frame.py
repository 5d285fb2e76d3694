"""Results as a typed frame, by the rules of the official SDK (0.1.67, `get_job_results`).

Library callers get it whole, exports their carried columns a few thousand rows at a time. What a column
becomes rests on all its values, so rows are read twice: first as many as tell the types, then all.
Unlike a page, a frame unpacks JSON only if every row that is not null holds an object, and refuses name
conflicts.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.parquet import UnsupportedError
from sutro_mcp.results.request_models import LocalArtifact
from sutro_mcp.results.worker.protocol import Channel, NullChannel

from .artifact_frame import read_artifact
from .column_roles import diagnostics
from .reader import FrameRows, Rows

if TYPE_CHECKING:
    import pandas as pd

_STEP = 16_384
_STEP_BYTES = 8 * 1024 * 1024
# The only ones with values beyond those of Int64, which is what a JSON reply has.
_LARGE = (pl.UInt64, pl.Int128, pl.UInt128)
# JSON of which polars infers the type.
_EXAMPLES: dict[Any, Any] = {
    pl.Null: None,
    pl.Boolean: True,
    pl.Int64: 0,
    pl.Int128: 2**64,
    pl.Float64: 0.5,
    pl.String: "",
}


class DifferentHeightError(InvalidArgumentError):
    """The frame to which the results are to be added has another number of rows."""


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
    rows = FrameRows(read_artifact(ref, output_column))
    original = None if with_original_df is None else _as_polars(with_original_df)
    frame = TypedFrame(
        rows,
        ref,
        NullChannel(),
        original,
        output_column=output_column,
        unpack_json=unpack_json,
        step=rows.height,
    )
    results = next(frame.results(), pl.DataFrame(schema=frame.added))
    if original is None or with_original_df is None:
        return results
    if isinstance(with_original_df, pl.DataFrame):
        return original.hstack(results)
    combined = with_original_df.copy()
    for name, values in results.to_pandas().items():
        combined[name] = values.array
    return combined


def _as_polars(frame: "pl.DataFrame | pd.DataFrame") -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    doing = "add the results to with_original_df"
    # A caller with a pandas frame has imported pandas; without one it is not needed.
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or not isinstance(frame, pandas.DataFrame):
        happened = f"it is a {type(frame).__name__}, not a polars or pandas DataFrame"
        raise InvalidArgumentError(doing, happened, "Pass a DataFrame")
    try:
        return cast("pl.DataFrame", cast("Any", pl.from_pandas)(frame))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InvalidArgumentError(
            doing,
            "polars cannot hold it: a column has values of several types, or two columns have one name",
            "Give each column one type and a name of its own, or add the results yourself",
        ) from error


class TypedFrame:
    """A frame of known types, whose rows are read as they are asked for."""

    def __init__(
        self,
        table: Rows,
        ref: LocalArtifact,
        channel: Channel,
        original: pl.DataFrame | None,
        *,
        output_column: str,
        unpack_json: bool,
        step: int | None = None,
    ) -> None:
        """Read what tells the types, `step` rows at a time.

        Raises InvalidArgumentError as `build_frame` does, and UnexpectedReplyError for a damaged artifact.
        """
        self._table = table
        self._channel = channel
        self._original = pl.DataFrame() if original is None else original
        self._output_column = output_column
        self._step = step or max(
            min(_STEP, int(_STEP_BYTES * table.height / max(table.size(table.names), 1))), 1
        )
        self._told = 0
        self._fields: dict[str, pl.DataType] = {}
        self.height = table.height

        kept = {name: self._json_type(name) for name in table.names}
        if unpack_json and isinstance(kept[output_column], pl.String | pl.Null):
            self._unpack(kept)
        if self._fields:
            del kept[output_column]
        if original is not None:
            self._check_join(kept, {output_column, *diagnostics(ref)})
        self._kept = {name: dtype for name, dtype in kept.items() if name not in self._original.columns}
        # The columns of the artifact that are read again; outputs with fields are the last.
        self._names = [*self._kept, *([output_column] if self._fields else [])]
        self.added = {**self._kept, **self._fields}
        self.schema: dict[str, pl.DataType] = {**self._original.schema, **self.added}

    @property
    def row_size(self) -> float:
        """About how many bytes a row takes in memory."""
        size = self._original.estimated_size() + self._table.size(self._names)
        return size / max(self.height, 1)

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows in order, in frames of `schema`."""
        done = 0
        for results in self.results():
            original = self._original.slice(done, results.height)
            yield original.hstack(results) if original.width else results
            done += results.height

    def results(self) -> Iterator[pl.DataFrame]:
        """The columns that are `added` to the original, of all rows in order."""
        base, done = self._told, 0
        for part in self._aligned(self._names):
            typed = zip(self._kept.items(), part, strict=False)
            columns = {name: column.cast(dtype).alias(name) for (name, dtype), column in typed}
            if self._fields:
                decoded = _texts(part[-1]).str.json_decode(pl.Struct(self._fields))
                columns |= {field.name: field for field in decoded.struct.unnest().iter_columns()}
            yield pl.DataFrame(columns)
            done += len(part[0])
            self._tell(base + done * (self.height - base) // self.height)

    def _json_type(self, name: str) -> pl.DataType:
        """The type that a JSON reply has for a whole column, from as few of its values as tell it.

        Without a value it is Null. Integers that do not fit into 64 bits keep their type.
        """
        first = self._table.part([name], 0, 1).get_column(name)
        if first.count() and not _may_not_fit(first.dtype):
            return _json_dtype(first.dtype)
        dtype: pl.DataType = pl.Null()
        for _, values in self._read(name):
            if values.null_count() < len(values):
                dtype = _json_dtype(values.dtype)
                try:
                    values.cast(dtype)
                except pl.exceptions.InvalidOperationError:
                    return values.dtype
                if not _may_not_fit(values.dtype):
                    break
        return dtype

    def _unpack(self, types: dict[str, pl.DataType]) -> None:
        """Find the fields of the outputs."""
        objects = JsonTypes()
        if types[self._output_column] != pl.Null:
            for _, values in self._read(self._output_column):
                objects.add(_texts(values))
        self._fields = objects.fields
        conflicts = self._fields.keys() & {*types, *self._original.columns}
        if conflicts:
            raise InvalidArgumentError(
                "unpack the JSON outputs into columns",
                f"these names are taken by other columns: {', '.join(sorted(conflicts))}",
                "Pass unpack_json=False to keep the outputs as text",
            )

    def _check_join(self, types: dict[str, pl.DataType], own: set[str]) -> None:
        """Whether the results can be added: a column that both have is not the job's `own`, and the same."""
        doing = "add the results to with_original_df"
        if self._original.height != self.height:
            raise DifferentHeightError(
                doing,
                f"it has {self._original.height:,} rows and the results have {self.height:,}",
                "Pass the frame that the job was submitted with",
            )
        shared = types.keys() & set(self._original.columns)
        conflicts = [name for name in shared if name in own or not self._is_same(name, types[name])]
        if conflicts:
            raise InvalidArgumentError(
                doing,
                f"both have columns named {', '.join(sorted(conflicts))}",
                "Rename them in the frame, or choose another output_column",
            )

    def _is_same(self, name: str, dtype: pl.DataType) -> bool:
        column = self._original.get_column(name)
        return column.dtype == dtype and all(
            column.slice(first_row, len(values)).equals(values.cast(dtype))
            for first_row, values in self._read(name)
        )

    def _read(self, name: str) -> Iterator[tuple[int, pl.Series]]:
        """The first reading: number of the first row and values, at most `step` of them."""
        done = 0
        for (values,) in self._aligned([name]):
            yield done, values
            done += len(values)
            # The second reading is the other half of the work.
            self._tell(done // 2)

    def _aligned(self, names: Sequence[str]) -> Iterator[list[pl.Series]]:
        """The same rows of all these columns, each of which comes in batches of its own length."""
        sources = [self._batches(name) for name in names]
        rests: list[pl.Series] = [pl.Series([]) for _ in names]
        done = 0
        while done < self.height:
            for place, source in enumerate(sources):
                while rests[place].is_empty():
                    rests[place] = next(source)
            count = min(self._step, *map(len, rests))
            yield [rest.head(count) for rest in rests]
            rests = [rest.slice(count) for rest in rests]
            done += count

    def _batches(self, name: str) -> Iterator[pl.Series]:
        """All of a column; from where it can no longer be had in parts on, the rest of it at once."""
        done = 0
        batches = self._table.batches([name])
        while done < self.height:
            try:
                _, _, values = next(batches)
            except UnsupportedError:
                self._table = self._table.whole()
                values = self._table.part([name], done, self.height - done).get_column(name)
            yield values
            done += len(values)

    def _tell(self, done: int) -> None:
        self._told = max(self._told, done)
        self._channel.tell({"rows": [self._told, self.height]})


class JsonTypes:
    """The type that polars infers of JSON texts together, found batch by batch.

    It merges the types of all texts one after the other, so an object of the type that was found so far
    speaks for the batches that are gone. Where polars gives one of several types by chance (to booleans,
    integers and fractions in one field, and to the order of fields in nested objects), so does this.
    """

    def __init__(self) -> None:
        self._fields: pl.Struct | None = None
        self._is_sound = True

    @property
    def fields(self) -> dict[str, pl.DataType]:
        """The fields of the objects, if every text that is not null holds one and their types agree."""
        return {} if self._fields is None or not self._is_sound else _types(self._fields)

    def add(self, texts: pl.Series) -> None:
        """The next texts."""
        self._is_sound = self._is_sound and self._merge(texts)

    def _merge(self, texts: pl.Series) -> bool:
        try:
            before = [] if self._fields is None else [json.dumps(_example(self._fields))]
            found = pl.concat([pl.Series(before, dtype=pl.String), texts]).str.json_decode(
                infer_schema_length=None
            )
        except pl.exceptions.PolarsError:
            return False
        if isinstance(found.dtype, pl.Struct):
            self._fields = found.dtype
        return isinstance(found.dtype, pl.Struct | pl.Null)


def _texts(column: pl.Series) -> pl.Series:
    """As String, under a name that polars does not read as a pattern."""
    return column.cast(pl.String).alias("outputs")


def _types(fields: pl.Struct) -> dict[str, pl.DataType]:
    return {field.name: cast("pl.DataType", field.dtype) for field in fields.fields}


def _json_dtype(dtype: pl.DataType) -> pl.DataType:
    """The type that a JSON reply has for `dtype`."""
    if dtype.is_integer():
        return pl.Int64()
    if dtype == pl.Float32:
        return pl.Float64()
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_json_dtype(cast("pl.DataType", dtype.inner)))
    return pl.String() if isinstance(dtype, pl.Categorical | pl.Enum) else dtype


def _may_not_fit(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _may_not_fit(cast("pl.DataType", dtype.inner))
    return isinstance(dtype, _LARGE)


def _example(dtype: pl.DataType) -> Any:
    """A value as which JSON of this inferred type can be written."""
    if isinstance(dtype, pl.Struct):
        return {name: _example(inner) for name, inner in _types(dtype).items()}
    if isinstance(dtype, pl.List):
        return [_example(cast("pl.DataType", dtype.inner))]
    return _EXAMPLES[dtype]
