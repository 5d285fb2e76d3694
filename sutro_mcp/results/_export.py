"""Write the results of a job into a file of the export folder. Runs in the worker process.

The file holds the frame that `SutroClient.get_job_results` would give, by the rules of the official SDK.
Cells are written as they are: nothing is escaped, marked or shortened in them. Parquet keeps the types. CSV
follows RFC 4180: text is always quoted, so that null (an empty field) and empty text (`""`) differ. JSON
Lines has one object per row. What a format has no place for becomes text, and a remark says so.

The frame is read whole and written as a stream.
"""

import datetime
import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.untrusted import quote, shorten, visible

from ._cells import compact, parse_object
from ._file_names import joinable_name
from ._folder import Folder, open_folder
from ._models import ExportFormat, ExportReport, ExportRequest
from .frames import build_frame

_MAX_COLUMNS = 50
_MAX_NAME = 100
_MAX_NAMES = 5


def make_export(request: ExportRequest) -> ExportReport:
    """Write the file. Raises InvalidArgumentError, UnexpectedReplyError (the artifact) or SettingsError."""
    with open_folder(Path(request.folder)) as folder:
        # Said before the work is done; whether it holds is decided when the file gets its name.
        folder.check_free(request.file_name, overwrite=request.overwrite)
        original = _original(folder, request.join_with) if request.join_with else None
        frame = _build(request, original)
        remarks = list(_not_unpacked(request, frame, original))
        frame, texts = _as_text(frame, request.format)
        remarks.extend(_losses(frame, texts, request.format))
        with folder.new_file(request.file_name, request.temporary, overwrite=request.overwrite) as file:
            _write(frame, request.format, file)
            size = os.fstat(file.fileno()).st_size
    return ExportReport(
        file_name=request.file_name,
        folder=visible(request.folder),
        format=request.format,
        rows=frame.height,
        bytes=size,
        column_count=frame.width,
        columns=[shorten(visible(name), _MAX_NAME)[0] for name in frame.columns[:_MAX_COLUMNS]],
        remarks=remarks,
    )


def _build(request: ExportRequest, original: pl.DataFrame | None) -> pl.DataFrame:
    try:
        return cast(
            "pl.DataFrame",
            build_frame(
                request.artifact,
                with_original_df=original,
                output_column=request.output_column,
                unpack_json=request.unpack_json,
            ),
        )
    except InvalidArgumentError as error:
        # Said for callers in Python, with names as they are; here it is said for an assistant.
        advice = "Choose another output_column, or pass unpack_json=false to keep the outputs as text"
        doing = error.doing
        if original is not None:
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


def _not_unpacked(
    request: ExportRequest, frame: pl.DataFrame, original: pl.DataFrame | None
) -> Iterator[str]:
    """Why the output column is still there, if it was to be unpacked and holds text."""
    name = request.output_column
    if not request.unpack_json or name not in frame.columns:
        return
    # A column of that name in the file can only be there if the outputs' own has made room.
    if original is not None and name in original.columns:
        return
    outputs = frame.get_column(name)
    if not isinstance(outputs.dtype, pl.String | pl.Null):
        return
    filled, others = 0, list[int]()
    for row, text in enumerate(cast("Iterable[str | None]", outputs)):
        if text is not None and text.strip() != "null":
            filled += 1
            if parse_object(text) is None:
                others.append(row)
    if len(others) == filled:
        why = "no row holds a JSON object"
    elif others:
        why = (
            f"{len(others):,} rows hold no JSON object, the first of them row {others[0]:,} (counted from 0)"
        )
    else:
        why = "the objects have no fields, or one field holds objects in some rows and other values elsewhere"
    yield f"Not unpacked: {quote(name, 60)} holds the outputs as text, because {why}."


def _as_text(frame: pl.DataFrame, form: ExportFormat) -> tuple[pl.DataFrame, list[str]]:
    """The frame with text in place of what the format cannot hold, and the names of those columns."""
    needs_text = _UNFIT[form]
    names = [column.name for column in frame.iter_columns() if needs_text(column.dtype)]
    # By name and not as a list, in which polars would give a name to a column that has the empty one.
    columns = {c.name: _texts(c) if c.name in names else c for c in frame.iter_columns()}
    return pl.DataFrame(columns), names


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


def _losses(frame: pl.DataFrame, texts: list[str], form: ExportFormat) -> Iterator[str]:
    """What reads back differently from this format."""
    if texts:
        names = ", ".join(quote(name, 60) for name in texts[:_MAX_NAMES])
        more = f" and {len(texts) - _MAX_NAMES:,} more" if len(texts) > _MAX_NAMES else ""
        yield f"Lists, objects and bytes are written as text (JSON, base64) in {names}{more}."
    if form == "csv" and frame.width == 1 and frame.to_series().null_count():
        yield "Null rows are blank lines, which some readers of CSV skip; Parquet and JSON Lines keep them."
    if form == "jsonl" and any(_has_no_json(column) for column in frame.iter_columns()):
        yield "NaN and infinity are written as null, as JSON has no words for them."


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


def _write(frame: pl.DataFrame, form: ExportFormat, file: BinaryIO) -> None:
    """Raises OSError when the system fails, also where polars makes an error of its own of it."""
    try:
        _WRITERS[form](frame, file)
    except pl.exceptions.ComputeError as error:
        raise OSError(str(error)) from error


def _write_parquet(frame: pl.DataFrame, file: BinaryIO) -> None:
    frame.lazy().sink_parquet(file, compression="zstd")


def _write_csv(frame: pl.DataFrame, file: BinaryIO) -> None:
    frame.lazy().sink_csv(file, line_terminator="\r\n", quote_style="non_numeric")


def _write_jsonl(frame: pl.DataFrame, file: BinaryIO) -> None:
    frame.lazy().sink_ndjson(file)


_WRITERS: dict[ExportFormat, Callable[[pl.DataFrame, BinaryIO], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}
