"""The formats of an export: what each can hold, and how it is written while rows are read.

Parquet keeps the types. CSV follows RFC 4180: text is always quoted, so that null (an empty field) and empty
text (`""`) differ; a formula stays as it is. JSON Lines has one object per row. Times are ISO 8601 in
both. What a format has no place for becomes text, and a remark says so.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from secrets import token_hex
from typing import Any, BinaryIO, cast

import polars as pl
from polars.io.plugins import register_io_source

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import ExportFormat
from sutro_mcp.results.rows.artifact_frame import times_as_text
from sutro_mcp.results.rows.cells import compact
from sutro_mcp.untrusted_text import quote, shorten, visible

from .export_rows import Frame

_MAX_NAMES = 5
_MAX_GROUP_ROWS = 122_880  # what polars chooses
_GROUP_BYTES = 16 * 1024 * 1024


class Written:
    """A frame as one format holds it, and what was seen while it was written."""

    def __init__(self, frame: Frame, form: ExportFormat) -> None:
        self._frame = frame
        self._form: ExportFormat = form
        needs_text = _UNFIT[form]
        schema = self._in_words(pl.DataFrame(schema=frame.schema)).schema
        self._texts = [name for name, dtype in schema.items() if needs_text(dtype)]
        # Values that JSON has and polars does not write, or not as such.
        self._raw = {name for name, dtype in schema.items() if _needs_json(dtype)} | frame.json_columns
        self._raw = self._raw - set(self._texts) if form == "jsonl" else set[str]()
        self.schema = {**schema, **dict.fromkeys((*self._texts, *self._raw), pl.String())}
        self._has_nulls = False
        self._has_no_json = False

    def write(self, file: BinaryIO) -> None:
        """Raises OSError when the system fails, also where polars makes an error of its own of it, and
        InvalidArgumentError for a value that the format has no place for.
        """

        def source(*_: object) -> Iterator[pl.DataFrame]:
            return self.frames()

        # polars raises what the source does, the very object.
        rows = register_io_source(source, schema=self.schema, validate_schema=True, is_pure=True)
        try:
            match self._form:
                case "parquet":
                    # A row group is in memory until it is written, whatever its rows hold.
                    size = max(min(_MAX_GROUP_ROWS, int(_GROUP_BYTES / max(self._frame.row_size, 1))), 1)
                    rows.sink_parquet(file, compression="zstd", row_group_size=size)
                case "csv":
                    rows.sink_csv(file, line_terminator="\r\n", quote_style="non_numeric")
                case "jsonl" if self._raw:
                    for frame in self.frames():
                        file.write(_lines(frame, [name for name in frame.columns if name in self._raw]))
                    file.flush()
                case "jsonl":
                    rows.sink_ndjson(file)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            if "os error" in str(error):
                raise OSError(str(error)) from error
            is_panic = isinstance(error, pl.exceptions.PanicException)
            words = "" if is_panic else f" ({shorten(visible(str(error)), 200)[0]})"
            raise InvalidArgumentError(
                f"write the results as {self._form}",
                f"they hold a value that it has no place for{words}",
                "Try another format, or pass unpack_json=false",
            ) from error

    def losses(self) -> Iterator[str]:
        """Values that read back differently from this format."""
        in_json = self._frame.json_columns - self._raw
        if texts := [name for name in self.schema if name in self._texts or name in in_json]:
            names = ", ".join(quote(name, 60) for name in texts[:_MAX_NAMES])
            more = f" and {len(texts) - _MAX_NAMES:,} more" if len(texts) > _MAX_NAMES else ""
            yield f"Lists, objects and bytes are written as text (JSON, base64) in {names}{more}."
        if self._form == "csv" and len(self.schema) == 1 and self._has_nulls:
            what = "Null rows are blank lines, which some readers of CSV skip"
            yield f"{what}; Parquet and JSON Lines keep them."
        if self._form == "jsonl" and self._has_no_json:
            yield "NaN and infinity are written as null, as JSON has no words for them."

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows in frames of `schema`: text in place of what the format cannot hold."""
        for frame in self._frame.frames():
            self._has_nulls = self._has_nulls or any(column.null_count() for column in frame.iter_columns())
            self._has_no_json = self._has_no_json or any(map(_has_no_json, frame.iter_columns()))
            in_words = self._in_words(frame)
            # By name and not as a list, in which polars would give a name to a column that has the empty one.
            yield pl.DataFrame({column.name: self._fitting(column) for column in in_words.iter_columns()})

    def _in_words(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame if self._form == "parquet" else times_as_text(frame)

    def _fitting(self, column: pl.Series) -> pl.Series:
        if column.name in self._texts or (column.name in self._raw and column.dtype != pl.String):
            return _texts(column)
        return column


def _lines(frame: pl.DataFrame, raw: Sequence[str]) -> bytes:
    """`frame` as JSON Lines; text in the columns `raw` is JSON already."""
    mark = token_hex(16)
    texts = [["null" if text is None else text for text in frame.get_column(name)] for name in raw]
    marked = pl.DataFrame(
        {
            c.name: pl.repeat(mark, frame.height, eager=True) if c.name in raw else c
            for c in frame.iter_columns()
        }
    )
    first, *rest = marked.write_ndjson().split(f'"{mark}"')
    in_order = (text for row in zip(*texts, strict=True) for text in row)
    return "".join([first, *chain.from_iterable(zip(in_order, rest, strict=True))]).encode()


def _texts(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Decimal):
        # A Python decimal would be rounded beyond 38 digits, which integers of 128 bits have.
        return column.cast(pl.String)
    values = (value if value is None else _text(value) for value in cast("Iterable[Any]", column))
    return pl.Series(column.name, values, dtype=pl.String)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return compact(_for_json(value.to_list() if isinstance(value, pl.Series) else value))


def _for_json(value: Any) -> Any:
    """Bytes as text, decimals as numbers where these have all their digits."""
    if isinstance(value, dict):
        return {name: _for_json(inner) for name, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_for_json(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, Decimal):
        numbers = (int(value), float(value))
        return next((number for number in numbers if Decimal(str(number)) == value), value)
    return b64encode(value).decode() if isinstance(value, bytes) else value


def _has_no_json(column: pl.Series) -> bool:
    if not _holds(column.dtype, lambda each: each.is_float()):
        return False
    # Polars takes some names for patterns.
    column = column.alias("value")
    if isinstance(column.dtype, pl.Struct):
        return any(map(_has_no_json, column.struct.unnest().iter_columns()))
    if isinstance(column.dtype, pl.List | pl.Array):
        return _has_no_json(column.explode())
    return not column.is_finite().all()


def _holds(dtype: pl.DataType, wanted: Callable[[pl.DataType], bool]) -> bool:
    """Whether `dtype` or a type inside it is one of those wanted."""
    if isinstance(dtype, pl.Struct):
        inner = [cast("pl.DataType", field.dtype) for field in dtype.fields]
    elif isinstance(dtype, pl.Map):
        inner = [cast("pl.DataType", dtype.key), cast("pl.DataType", dtype.value)]
    else:
        inner = [cast("pl.DataType", dtype.inner)] if isinstance(dtype, pl.List | pl.Array) else []
    return wanted(dtype) or any(_holds(each, wanted) for each in inner)


def _needs_json(dtype: pl.DataType) -> bool:
    """Whether values of this type are numbers that polars writes as text, or maps that it does not write."""
    return _holds(
        dtype,
        lambda each: isinstance(each, pl.Decimal) or (isinstance(each, pl.Map) and each.key != pl.String),
    )


_UNFIT: dict[ExportFormat, Callable[[pl.DataType], bool]] = {
    "parquet": lambda dtype: _holds(dtype, lambda each: isinstance(each, pl.Struct) and not each.fields),
    "csv": lambda dtype: dtype.is_nested() or isinstance(dtype, pl.Binary),
    "jsonl": lambda dtype: _holds(dtype, lambda each: isinstance(each, pl.Binary)),
}
