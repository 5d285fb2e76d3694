"""Write the results of a job into a file of the export folder. Runs in the worker process.

The file holds all results, or what a SELECT over them yields. Cells are written as they are: nothing is
escaped, marked or shortened in them. Rows are read and written a part at a time.
"""

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, cast

import polars as pl

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import ExportReport, ExportRequest, LocalArtifact
from sutro_mcp.results.rows.results_frame import DifferentHeightError
from sutro_mcp.results.worker.protocol import Channel, NullChannel
from sutro_mcp.untrusted_text import quote, shorten, visible

from .export_rows import open_frame
from .file_names import export_name, joinable_name
from .folder_files import Folder, open_folder
from .formats import Written

_MAX_COLUMNS = 50
_MAX_NAME = 100


def make_export(
    artifact: LocalArtifact,
    request: ExportRequest,
    channel: Channel | None = None,
    *,
    step: int | None = None,
) -> ExportReport:
    """Write the file, `step` rows at a time.

    Raises InvalidArgumentError, UnexpectedReplyError (the artifact) or SettingsError.
    """
    channel = channel or NullChannel()
    name, form = export_name(request.file_name, request.format)
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder(request.folder))
        name = folder.entry(name)
        # Said before the work is done; whether it holds is decided when the file gets its name.
        folder.check_free(name, overwrite=request.overwrite)
        original = _original(folder, request.join_with) if request.join_with else None
        with _in_words_of_the_tool(request):
            frame = stack.enter_context(
                open_frame(artifact, request, original, channel, keep_json=form != "parquet", step=step)
            )
        written = Written(frame, form)
        with folder.new_file(name, request.temporary, overwrite=request.overwrite) as file:
            written.write(file)
            size = os.fstat(file.fileno()).st_size
    return ExportReport(
        file_name=name,
        folder=visible(str(request.folder)),
        format=form,
        rows=frame.height,
        bytes=size,
        column_count=len(frame.schema),
        columns=[shorten(visible(name), _MAX_NAME)[0] for name in list(frame.schema)[:_MAX_COLUMNS]],
        remarks=[*frame.remarks, *written.losses()],
    )


@contextmanager
def _in_words_of_the_tool(request: ExportRequest) -> Generator[None]:
    """Word a refusal for an assistant: it is worded for callers in Python, with names as they are."""
    try:
        yield
    except InvalidArgumentError as error:
        advice = "Choose another output_column, or pass unpack_json=false to keep the outputs as text"
        doing = error.doing
        if request.join_with:
            doing = f"join the results with {quote(request.join_with, 60)}"
            advice += ", or rename the column in the file"
        if isinstance(error, DifferentHeightError):
            advice = "Name the file that the job was submitted with: one row for each row of the job"
        raise InvalidArgumentError(visible(doing), shorten(visible(error.happened), 400)[0], advice) from None


def _original(folder: Folder, name: str) -> pl.DataFrame:
    """The file to join with."""
    name, kind = joinable_name(name)
    with folder.read(folder.entry(name)) as file:
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
