"""The facts that SQL needs of an artifact, kept in a DuckDB file beside it: gone with the artifact.

Runs in the worker, which may open files and hears no SQL from outside.
"""

import os
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import duckdb
from pydantic import BaseModel, ConfigDict

from sutro_mcp.errors import ConfigurationError, QueryMemoryError
from sutro_mcp.results.request_models import LocalArtifact, SqlTable
from sutro_mcp.results.rows.column_roles import unreadable
from sutro_mcp.results.rows.json_fields import Path as FieldPath
from sutro_mcp.results.rows.json_shape import literal
from sutro_mcp.results.worker.protocol import StoppedError
from sutro_mcp.results.worker.sandbox import duckdb_memory

from .held_files import OUTPUT_FILE, Output, address, hold
from .json_field_types import Field, JsonProfile, make_profile
from .results_view import FileColumn, as_text, numbered, outputs_of, results_view, view_columns

_FILE = "results"
# DuckDB reads objects by two thousand, which takes four times their length.
LONG_OBJECTS_MIB = 1000
# DuckDB 2.0.1 keeps the few rows that a filter or join leaves until they are many, and lets others pass them.
IN_ORDER = {"enable_caching_operators": "false"}
# Headers of a file that are damaged: DuckDB hands the exceptions of its Thrift library on as they are.
_OF_THRIFT = re.compile(r"T\w+Exception")


def connect(path: Path | str = ":memory:", most_mib: int = 256, **more: str) -> duckdb.DuckDBPyConnection:
    """DuckDB for work of ours, in a part of this process's memory."""
    memory = duckdb_memory(most_mib)
    # Each thread needs memory that the limit does not count.
    threads = "2" if memory == f"{most_mib}MB" else "1"
    settings: dict[str, Any] = {"threads": threads, "temp_directory": "", **IN_ORDER, **more}
    return duckdb.connect(path, config=settings | {"memory_limit": memory})


class AboutResults(BaseModel):
    """The columns of the Parquet file, and the fields in its outputs."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[FileColumn, ...]
    profile: JsonProfile


def prepare(ref: LocalArtifact) -> SqlTable:
    """The artifact as a Parquet file, and the profile file, which is made unless it is there.

    Raises UnexpectedReplyError when the artifact cannot be read, QueryMemoryError when its outputs are too
    long, StoppedError when it is there no longer.
    """
    path = Path(ref.path)
    # What one version of DuckDB writes another one may not read.
    side = path.with_name(f"{path.name}.{duckdb.__version__}.sql")
    parquet = path if ref.format == "parquet" else path.with_name(f"{path.name}.parquet")
    if not parquet.exists():
        _write(ref, parquet)
    if not side.exists():
        with published(side) as part:
            with_more_memory(partial(_make, ref, parquet), part, 256, ref)
    narrow = narrow_file(side)
    return SqlTable(
        artifact=ref,
        parquet=str(parquet),
        profile_file=str(side),
        narrow_file=str(narrow) if narrow.exists() else None,
    )


def narrow_file(side: Path) -> Path:
    """Where the short columns lie."""
    return side.with_name(f"{side.name}.narrow")


@contextmanager
def published(path: Path) -> Generator[Path]:
    """A name to write under, which becomes `path` when the block ends well and is gone otherwise.

    Raises ConfigurationError where the disk takes no more.
    """
    part = path.with_name(f"{path.name}.{token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    except (OSError, duckdb.IOException, duckdb.FatalException) as error:
        raise ConfigurationError(
            "answer SQL over the results",
            "what that needs beside them could not be kept on disk",
            "Make room, or set SUTRO_MCP_CACHE_DIR to a folder on a disk that has some",
        ) from error
    finally:
        part.unlink(missing_ok=True)
        part.with_name(f"{part.name}.wal").unlink(missing_ok=True)


def with_more_memory(
    make: Callable[[Path, int], None], path: Path, most_mib: int, ref: LocalArtifact
) -> None:
    """Call `make`, which writes the file in so many MiB, and again with LONG_OBJECTS_MIB if they are few.

    Raises QueryMemoryError if these are few as well.
    """
    for mib in (most_mib, LONG_OBJECTS_MIB):
        try:
            return make(path, mib)
        except (duckdb.OutOfMemoryException, MemoryError):
            path.unlink(missing_ok=True)
    raise QueryMemoryError(
        ref.spec.doing,
        "their outputs are too long for the memory that finding their JSON fields may use",
        "get_job_results reads them; export_job_results with unpack_json=false keeps them as text",
    )


@dataclass(frozen=True)
class OpenTable:
    """The profile of a table, and its columns with their types.

    `view` makes the SQL of its view that is fastest for some SQL: see `results_view`. `sources`: for each
    column but `row` the path of its field, or its name in the file.
    """

    about: AboutResults
    columns: list[tuple[str, str]]
    view: Callable[[str], str]
    sources: dict[str, FieldPath | str]


def open_views(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, SqlTable],
    opened_files: ExitStack,
    output: Output | None = None,
) -> dict[str, OpenTable]:
    """Make the view of each table. Its files are closed with `opened_files`, to be done after `connection`.

    With an `output` there is one more file, OUTPUT_FILE, to write into.

    Raises UnexpectedReplyError for files that cannot be read, StoppedError for files that have gone.
    """
    files: dict[str, int] = {}
    for name, table in tables.items():
        paths = {name: table.parquet, f"{name}_side": table.profile_file, f"{name}_narrow": table.narrow_file}
        for file, path in paths.items():
            if path is not None:
                files[file] = held(table.artifact, path)
                opened_files.callback(os.close, files[file])
    hold(connection, files, output)
    allowed = [literal(address(name)) for name in (*files, *([OUTPUT_FILE] if output else []))]
    connection.execute(f"SET allowed_paths = [{', '.join(allowed)}]")
    opened: dict[str, OpenTable] = {}
    for name, table in tables.items():
        try:
            for attached in files.keys() & {f"{name}_side", f"{name}_narrow"}:
                connection.execute(f"ATTACH {literal(address(attached))} AS {attached} (READ_ONLY)")
            (text,) = cast("tuple[str]", connection.execute(f"SELECT json FROM {name}_side.about").fetchone())
            about = AboutResults.model_validate_json(text)
            fixed = f"{name}_side.fixed"
            facts = (about.columns, table.artifact, about.profile, address(name), fixed)
            view = partial(results_view, name, *facts)
            connection.execute(view(""))
            connection.execute(f"FROM read_parquet({literal(address(name))}) LIMIT 1").fetchall()
            described = connection.execute(f"DESCRIBE FROM {name}").fetchall()
            sources = {
                column: source.path if isinstance(source, Field) else source.stored
                for column, source in view_columns(about.columns, table.artifact, about.profile)
            }
            opened[name] = OpenTable(about, [(column, kind) for column, kind, *_ in described], view, sources)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise unreadable(table.artifact, "the file is damaged or not Parquet") from error
    return opened


def held(ref: LocalArtifact, path: str) -> int:
    """A descriptor of the file. Raises StoppedError when it is gone or is another one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        if ref.inode is None and path == ref.path:
            raise unreadable(ref, "the file is not there") from error
        raise StoppedError from error
    if path == ref.path and ref.inode not in (None, os.fstat(descriptor).st_ino):
        os.close(descriptor)
        raise StoppedError
    return descriptor


def _write(ref: LocalArtifact, parquet: Path) -> None:
    """Results that did not come as Parquet, as Parquet."""
    # Only for these: polars is heavier than all else here.
    import polars as pl

    from sutro_mcp.results.rows.artifact_frame import read_artifact, with_plain_integers

    columns = map(with_plain_integers, read_artifact(ref, "outputs"))
    frame = pl.DataFrame({column.name: column for column in columns})
    with published(parquet) as part:
        frame.write_parquet(part)


def _make(ref: LocalArtifact, parquet: Path, side: Path, most_mib: int) -> None:
    descriptor = held(ref, str(parquet))
    try:
        with closing(connect(side, most_mib)) as connection:
            hold(connection, {_FILE: descriptor})
            try:
                columns = _columns(connection)
                text = as_text(outputs_of(columns, ref))
                file = numbered(columns, address(_FILE))
                rows = f"SELECT file_row_number AS row, {text or 'NULL::VARCHAR'} AS outputs FROM ({file})"
                profile = make_profile(connection, rows if text else f"FROM ({rows}) LIMIT 0")
            except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.FatalException):
                raise
            except duckdb.Error as error:
                if type(error) is duckdb.Error and not _OF_THRIFT.match(str(error)):
                    raise  # without memory for an error of a better kind: it says nothing of the file
                raise unreadable(ref, "the file is damaged or not Parquet") from error
            about = AboutResults(columns=columns, profile=profile)
            connection.execute("CREATE TABLE about AS SELECT ? AS json", [about.model_dump_json()])
            connection.execute("CHECKPOINT")
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _columns(connection: duckdb.DuckDBPyConnection) -> tuple[FileColumn, ...]:
    """The columns by their own names, which need not be those of DuckDB: it does without case."""
    file = literal(address(_FILE))
    described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({file})").fetchall()
    schema = f"SELECT name, coalesce(num_children, 0) FROM parquet_schema({file})"
    _, *elements = connection.execute(schema).fetchall()
    stored: list[str] = []
    below = 0
    for name, children in elements:
        if below:
            below -= 1
        else:
            stored.append(name)
        below += children
    return tuple(
        FileColumn(stored=own, name=name, type=kind)
        for own, (name, kind, *_) in zip(stored, described, strict=True)
    )
