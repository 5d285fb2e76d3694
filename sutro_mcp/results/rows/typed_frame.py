"""The frame that `frames.build_frame` gives, a few thousand rows at a time and however many there are.

What a column becomes rests on all its values. So rows are read twice: first as many as it takes to tell the
types, then all.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import polars as pl

from sutro_mcp.errors import counted
from sutro_mcp.results.parquet import UnsupportedError
from sutro_mcp.results.request_models import LocalArtifact
from sutro_mcp.results.worker.protocol import Channel
from sutro_mcp.untrusted import quote

from .frames import as_json_type, carried_names, check_fields, check_join, json_dtype
from .json_values import parse_object
from .reader import Rows

STEP = 16_384
_STEP_BYTES = 8 * 1024 * 1024
# Levels of objects and lists. The time that polars takes grows with their cube, and is spent on every part.
_MAX_DEPTH = 100
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


class StreamedFrame:
    """A frame of known types, whose rows are read as they are asked for."""

    def __init__(
        self,
        table: Rows,
        ref: LocalArtifact,
        channel: Channel,
        *,
        original: pl.DataFrame | None = None,
        output_column: str = "inference_result",
        unpack_json: bool = True,
        step: int = STEP,
    ) -> None:
        """Read what tells the types; `step` is how many rows are looked at together, at most.

        Raises InvalidArgumentError as `build_frame` does, and UnexpectedReplyError for a damaged artifact.
        """
        self._table = table
        self._channel = channel
        self._original = pl.DataFrame() if original is None else original
        self._step = max(min(step, int(_STEP_BYTES * table.height / max(table.size(table.names), 1))), 1)
        self._told = 0
        self._output_column = output_column
        self._fields: pl.Struct | None = None
        self.height = table.height
        self.not_unpacked: str | None = None

        names = list(table.names)
        types = {name: self._settled(name) for name in names}
        if unpack_json and isinstance(types[output_column], pl.String | pl.Null):
            self._unpack(types)
        fields = {} if self._fields is None else _types(self._fields)
        kept = [name for name in names if name != output_column or not fields]
        if original is not None:
            carried = carried_names(names, ref, output_column)
            check_join(
                original,
                [*kept, *fields],
                self.height,
                carried,
                lambda name: self._is_same(name, types[name]),
            )
        self._kept = {name: types[name] for name in kept if name not in self._original.columns}
        self.schema: dict[str, pl.DataType] = {**self._original.schema, **self._kept, **fields}

    @property
    def row_size(self) -> float:
        """About how many bytes a row takes in memory."""
        size = self._original.estimated_size() + self._table.size(self._read_names())
        return size / max(self.height, 1)

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows in order, in frames of `schema`."""
        base, done = self._told, 0
        for part in self._aligned(self._read_names()):
            count = len(part[0])
            columns = {column.name: column for column in self._original.slice(done, count).iter_columns()}
            for (name, dtype), column in zip(self._kept.items(), part, strict=False):
                columns[name] = column.cast(dtype).alias(name)
            if self._fields is not None:
                decoded = _texts(part[-1]).str.json_decode(self._fields)
                columns |= {field.name: field for field in decoded.struct.unnest().iter_columns()}
            yield pl.DataFrame(columns)
            done += count
            self._tell(base + done * (self.height - base) // self.height)

    def _read_names(self) -> list[str]:
        """The columns of the artifact that hold what the frame does; outputs with fields are the last."""
        return [*self._kept, *([] if self._fields is None else [self._output_column])]

    def _settled(self, name: str) -> pl.DataType:
        """The type of `frames.as_json_type` for a whole column, from as few of its values as tell it."""
        wanted: pl.DataType = pl.Null()
        for _, values in self._read(name):
            found = as_json_type(values).dtype
            if found == pl.Null:
                continue
            if found != json_dtype(values.dtype):
                return values.dtype
            wanted = found
            if not _may_not_fit(values.dtype):
                break
        return wanted

    def _unpack(self, types: dict[str, pl.DataType]) -> None:
        """Find the fields of the outputs, or say why they have none."""
        objects = JsonTypes()
        if types[self._output_column] != pl.Null:
            for first_row, values in self._read(self._output_column):
                objects.add(first_row, _texts(values))
        if objects.fields is not None:
            check_fields(_types(objects.fields), [*types, *self._original.columns])
            if objects.fields.fields:
                self._fields = objects.fields
                return
        name = quote(self._output_column, 60)
        self.not_unpacked = f"Not unpacked: {name} holds the outputs as text, because {objects.problem}."

    def _is_same(self, name: str, dtype: pl.DataType) -> bool:
        column = self._original.get_column(name)
        return column.dtype == dtype and all(
            column.slice(first_row, len(values)).equals(values.cast(dtype))
            for first_row, values in self._read(name)
        )

    def _read(self, name: str) -> Iterator[tuple[int, pl.Series]]:
        """The first reading: number of the first row and values, at most `step` of them."""
        done = 0
        for column in self._batches(name):
            for start in range(0, len(column), self._step):
                values = column.slice(start, self._step)
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
        self._holds_objects = False
        self._others = 0
        self._first_other = sys.maxsize

    @property
    def fields(self) -> pl.Struct | None:
        """The type of the objects, if every text that is not null holds one and their types agree."""
        return self._fields if self._is_sound else None

    @property
    def problem(self) -> str:
        """Why there are no fields."""
        if not self._holds_objects:
            return "no row holds a JSON object"
        if self._others:
            first = f"the first of them row {self._first_other:,} (counted from 0)"
            hold = f"{counted(self._others, 'row')} {'holds' if self._others == 1 else 'hold'}"
            return f"{hold} no JSON object, {first}"
        mixed = "one field holds objects in some rows and other values elsewhere"
        return f"the objects have no fields, or they nest too deeply, or {mixed}"

    def add(self, first_row: int, texts: pl.Series) -> None:
        """The next texts. Once they cannot be unpacked, objects are only told from other texts."""
        self._is_sound = self._is_sound and self._merge(texts)
        if not self._is_sound:
            for row, text in enumerate(cast("Iterable[str | None]", texts), first_row):
                if parse_object(text) is not None:
                    self._holds_objects = True
                elif text is not None and text.strip() != "null":
                    self._others += 1
                    self._first_other = min(row, self._first_other)

    def _merge(self, texts: pl.Series) -> bool:
        try:
            before = [] if self._fields is None else [json.dumps(_example(self._fields))]
            found = pl.concat([pl.Series(before, dtype=pl.String), texts]).str.json_decode(
                infer_schema_length=None
            )
        except pl.exceptions.PolarsError:
            return False
        if _is_deeper(found.dtype, _MAX_DEPTH):
            return False
        if isinstance(found.dtype, pl.Struct):
            self._fields = found.dtype
            self._holds_objects = True
        return isinstance(found.dtype, pl.Struct | pl.Null)


def _texts(column: pl.Series) -> pl.Series:
    """As String, under a name that polars does not read as a pattern."""
    return column.cast(pl.String).alias("outputs")


def _types(fields: pl.Struct) -> dict[str, pl.DataType]:
    return {field.name: cast("pl.DataType", field.dtype) for field in fields.fields}


def _may_not_fit(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _may_not_fit(cast("pl.DataType", dtype.inner))
    return isinstance(dtype, _LARGE)


def _is_deeper(dtype: pl.DataType, levels: int) -> bool:
    if isinstance(dtype, pl.Struct):
        return not levels or any(_is_deeper(inner, levels - 1) for inner in _types(dtype).values())
    if isinstance(dtype, pl.List):
        return not levels or _is_deeper(cast("pl.DataType", dtype.inner), levels - 1)
    return False


def _example(dtype: pl.DataType) -> Any:
    """A value as which JSON of this inferred type can be written."""
    if isinstance(dtype, pl.Struct):
        return {name: _example(inner) for name, inner in _types(dtype).items()}
    if isinstance(dtype, pl.List):
        return [_example(cast("pl.DataType", dtype.inner))]
    return _EXAMPLES[dtype]
