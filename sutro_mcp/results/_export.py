"""Write the results of a job into a file of the export folder. Runs in the worker process.

The file holds the frame that `SutroClient.get_job_results` would give, by the rules of the official SDK.
Cells are written as they are: nothing is escaped, marked or shortened in them. Parquet keeps the types. CSV
follows RFC 4180: text is always quoted, so that null (an empty field) and empty text (`""`) differ. JSON
Lines has one object per row. What a format has no place for becomes text, and a remark says so.

The frame is read and written a part at a time.
"""

import datetime
import os
from base64 import b64encode
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl
from polars.io.plugins import register_io_source

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.untrusted import quote, shorten, visible

from ._cells import compact
from ._channel import Channel, Deaf
from ._file_names import joinable_name
from ._folder import Folder, open_folder
from ._models import ExportFormat, ExportReport, ExportRequest
from ._rows import open_rows
from ._streamed import STEP, StreamedFrame

_MAX_COLUMNS = 50
_MAX_NAME = 100
_MAX_NAMES = 5
_MAX_GROUP_ROWS = 122_880  # what polars chooses
_GROUP_BYTES = 16 * 1024 * 1024


def make_export(request: ExportRequest, channel: Channel | None = None, *, step: int = STEP) -> ExportReport:
    """Write the file, at most `step` rows at a time.

    Raises InvalidArgumentError, UnexpectedReplyError (the artifact) or SettingsError.
    """
    channel = channel or Deaf()
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder(Path(request.folder)))
        # Said before the work is done; whether it holds is decided when the file gets its name.
        folder.check_free(request.file_name, overwrite=request.overwrite)
        original = _original(folder, request.join_with) if request.join_with else None
        with _in_words_of_the_tool(request):
            table = stack.enter_context(open_rows(request.artifact, request.output_column, channel))
            frame = StreamedFrame(
                table,
                request.artifact,
                channel,
                original=original,
                output_column=request.output_column,
                unpack_json=request.unpack_json,
                step=step,
            )
        written = _Written(frame, request.format)
        with folder.new_file(request.file_name, request.temporary, overwrite=request.overwrite) as file:
            written.write(file)
            size = os.fstat(file.fileno()).st_size
    return ExportReport(
        file_name=request.file_name,
        folder=visible(request.folder),
        format=request.format,
        rows=frame.height,
        bytes=size,
        column_count=len(frame.schema),
        columns=[shorten(visible(name), _MAX_NAME)[0] for name in list(frame.schema)[:_MAX_COLUMNS]],
        remarks=[*([frame.not_unpacked] if frame.not_unpacked else []), *written.losses()],
    )


@contextmanager
def _in_words_of_the_tool(request: ExportRequest) -> Generator[None]:
    """What is refused is said for callers in Python, with names as they are; here it is for an assistant."""
    try:
        yield
    except InvalidArgumentError as error:
        advice = "Choose another output_column, or pass unpack_json=false to keep the outputs as text"
        doing = error.doing
        if request.join_with:
            doing = f"join the results with {quote(request.join_with, 60)}"
            advice += (
                "; a file to join with has one row for each row of the job, and no column of the same name"
            )
        raise InvalidArgumentError(visible(doing), shorten(visible(error.happened), 400)[0], advice) from None


def _original(folder: Folder, name: str) -> pl.DataFrame:
    """The file to join with."""
    name, kind = joinable_name(name)
    with folder.read(name) as file:
        try:
            return _read_csv(file) if kind == "csv" else pl.read_parquet(file)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
            what = (
                "UTF-8 text with a header line, commas and unique names" if kind == "csv" else "sound Parquet"
            )
            raise InvalidArgumentError(
                f"join with {quote(name, 60)}", f"it is not {what}", "Mend the file, or name another"
            ) from error


def _read_csv(file: BinaryIO) -> pl.DataFrame:
    """Every cell as it stands: a column holds numbers only if each comes back as it was written."""
    # Without a header, because polars would rename a second column of the same name.
    raw = pl.read_csv(file, has_header=False, infer_schema=False)
    names = [name or "" for name in cast("tuple[str | None, ...]", raw.row(0))]
    if len(set(names)) < len(names):
        raise ValueError("two columns have one name")
    columns = [_number(column) for column in raw.slice(1).iter_columns()]
    return pl.DataFrame(dict(zip(names, columns, strict=True)))


def _number(column: pl.Series) -> pl.Series:
    if column.null_count() < len(column):
        for dtype in (pl.Int64, pl.Float64):
            numbers = column.cast(dtype, strict=False)
            if numbers.cast(pl.String).equals(column):
                return numbers
    return column


class _Written:
    """A frame as one format holds it, and what was seen while it was written."""

    def __init__(self, frame: StreamedFrame, form: ExportFormat) -> None:
        self._frame = frame
        self._form: ExportFormat = form
        needs_text = _UNFIT[form]
        self._texts = [name for name, dtype in frame.schema.items() if needs_text(dtype)]
        self._has_nulls = False
        self._has_no_json = False

    def write(self, file: BinaryIO) -> None:
        """Raises OSError when the system fails, also where polars makes an error of its own of it."""
        schema = {**self._frame.schema, **dict.fromkeys(self._texts, pl.String())}

        def source(*_: object) -> Iterator[pl.DataFrame]:
            return self._frames()

        # An error in the source leaves the sink as the object it is.
        rows = register_io_source(source, schema=schema, validate_schema=True, is_pure=True)
        try:
            _WRITERS[self._form](rows, file, self._frame.row_size)
        except pl.exceptions.ComputeError as error:
            raise OSError(str(error)) from error

    def losses(self) -> Iterator[str]:
        """What reads back differently from this format."""
        if self._texts:
            names = ", ".join(quote(name, 60) for name in self._texts[:_MAX_NAMES])
            more = f" and {len(self._texts) - _MAX_NAMES:,} more" if len(self._texts) > _MAX_NAMES else ""
            yield f"Lists, objects and bytes are written as text (JSON, base64) in {names}{more}."
        if self._form == "csv" and len(self._frame.schema) == 1 and self._has_nulls:
            what = "Null rows are blank lines, which some readers of CSV skip"
            yield f"{what}; Parquet and JSON Lines keep them."
        if self._form == "jsonl" and self._has_no_json:
            yield "NaN and infinity are written as null, as JSON has no words for them."

    def _frames(self) -> Iterator[pl.DataFrame]:
        for frame in self._frame.frames():
            self._has_nulls = self._has_nulls or any(column.null_count() for column in frame.iter_columns())
            self._has_no_json = self._has_no_json or any(map(_has_no_json, frame.iter_columns()))
            # By name and not as a list, in which polars would give a name to a column that has the empty one.
            columns = {c.name: _texts(c) if c.name in self._texts else c for c in frame.iter_columns()}
            yield pl.DataFrame(columns)


def _texts(column: pl.Series) -> pl.Series:
    values = (value if value is None else _text(value) for value in cast("Iterable[Any]", column))
    return pl.Series(column.name, values, dtype=pl.String)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, datetime.timedelta):
        return compact([value])[2:-2]
    return compact(_with_bytes_as_text(value.to_list() if isinstance(value, pl.Series) else value))


def _with_bytes_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {name: _with_bytes_as_text(inner) for name, inner in items}
    if isinstance(value, list):
        return [_with_bytes_as_text(inner) for inner in cast("list[Any]", value)]
    return b64encode(value).decode() if isinstance(value, bytes) else value


def _has_no_json(column: pl.Series) -> bool:
    return column.dtype.is_float() and not column.is_finite().all()


def _holds(dtype: pl.DataType, wanted: Callable[[pl.DataType], bool]) -> bool:
    """Whether `dtype` or a type inside it is one of those wanted."""
    if isinstance(dtype, pl.Struct):
        inner = [cast("pl.DataType", field.dtype) for field in dtype.fields]
    else:
        inner = [cast("pl.DataType", dtype.inner)] if isinstance(dtype, pl.List | pl.Array) else []
    return wanted(dtype) or any(_holds(each, wanted) for each in inner)


_UNFIT: dict[ExportFormat, Callable[[pl.DataType], bool]] = {
    "parquet": lambda dtype: _holds(dtype, lambda each: isinstance(each, pl.Struct) and not each.fields),
    "csv": lambda dtype: dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Duration),
    "jsonl": lambda dtype: _holds(dtype, lambda each: isinstance(each, pl.Binary)),
}


def _write_parquet(rows: pl.LazyFrame, file: BinaryIO, row_size: float) -> None:
    # A row group is in memory until it is written, whatever its rows hold.
    size = max(min(_MAX_GROUP_ROWS, int(_GROUP_BYTES / max(row_size, 1))), 1)
    rows.sink_parquet(file, compression="zstd", row_group_size=size)


def _write_csv(rows: pl.LazyFrame, file: BinaryIO, _: float) -> None:
    rows.sink_csv(file, line_terminator="\r\n", quote_style="non_numeric")


def _write_jsonl(rows: pl.LazyFrame, file: BinaryIO, _: float) -> None:
    rows.sink_ndjson(file)


_WRITERS: dict[ExportFormat, Callable[[pl.LazyFrame, BinaryIO, float], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}
