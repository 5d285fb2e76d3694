"""The fields of JSON outputs as columns, a part of the rows at a time. Runs in the worker.

They are those of the view that SQL sees, in the types that it has, but for the fields inside objects, which
are one column with them.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import cast

import duckdb
import polars as pl

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import LocalArtifact

from .held_files import address
from .json_field_types import JsonProfile
from .profile_file import LONG_OBJECTS_MIB, connect, open_views, prepare
from .results_view import unpacked_rows

_TABLE = "results"
# So that rows are in the order of the file.
_ONE_THREAD = {"threads": "1", "async_threads": "0"}
# At once, wherever row groups end.
_ROWS = 16_384


class OutputFields:
    """Open it with `open_fields`. `names` are the keys at the top, `dtypes` their types in that order.

    `json_places`: the places of fields whose text is JSON. `texts`: rows that hold text and no object.
    `is_complete`: every field of an object is among them.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, profile: JsonProfile, sql: str) -> None:
        self._connection = connection
        fields = [field for field in profile.fields if len(field.path) == 1]
        self.names = [field.path[0] for field in fields]
        self.is_complete = not profile.more_fields
        self.texts = 0
        self.dtypes: list[pl.DataType] = []
        columns = ", ".join(f'"{name}"' for name in ("row", "is_text", *range(len(fields))))
        self._sql = f"SELECT * FROM ({sql}) fields({columns})"
        if fields:
            if not profile.all_objects:
                count = f"SELECT count(*) FILTER (is_text) FROM ({self._sql})"
                ((self.texts,),) = cast("list[tuple[int]]", connection.execute(count).fetchall())
            self.dtypes = list(self._scan().collect_schema().values())[2:]
        self.json_places = [
            place
            for place, (field, dtype) in enumerate(zip(fields, self.dtypes, strict=True))
            if field.needs_json and dtype == pl.String
        ]

    def batches(self) -> Iterator[tuple[pl.Series, list[pl.Series]]]:
        """All rows in order: whether each holds text and no object, and its fields."""
        done = 0
        for part in self._scan().collect_batches(chunk_size=_ROWS, maintain_order=True):
            row, is_text, *fields = part.get_columns()
            if not (row == pl.int_range(done, done + len(row), eager=True)).all():
                raise RuntimeError("rows came out of order")
            done += len(row)
            yield is_text, fields

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_arrow_c_stream(self._connection.cursor().sql(self._sql))


@contextmanager
def open_fields(ref: LocalArtifact, *, keep_json: bool) -> Generator[OutputFields]:
    """The fields of the outputs. With `keep_json` objects of uneven keys are JSON, else structs or text.

    Raises UnexpectedReplyError when the artifact cannot be read, InvalidArgumentError when memory is short.
    """
    table = prepare(ref)
    with ExitStack() as files, closing(connect(most_mib=LONG_OBJECTS_MIB, **_ONE_THREAD)) as connection:
        try:
            about = open_views(connection, {_TABLE: table}, files)[_TABLE].about
            sql = unpacked_rows(
                about.columns,
                ref,
                about.profile,
                address(_TABLE),
                f"{_TABLE}_side.fixed",
                keep_json=keep_json,
            )
            yield OutputFields(connection, about.profile, sql)
        except duckdb.OutOfMemoryException as error:
            raise InvalidArgumentError(
                "unpack the JSON outputs into columns",
                "that needs more memory than it may have",
                "Pass unpack_json=false to keep the outputs as text",
            ) from error
