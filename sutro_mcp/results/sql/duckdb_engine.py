"""DuckDB over the views of result artifacts: one SELECT, made into a page.

Runs in a process of its own, which has no rights by the time that it hears SQL (`sandbox`): it holds the
files that it reads (`held_files`), and DuckDB's own lock is a second wall. One thread, so that the same SQL
gives the same answer, to the last digit and in the same order.
"""

import re
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import duckdb

from sutro_mcp.errors import InvalidArgumentError, QueryMemoryError, counted
from sutro_mcp.results.name_matching import composed
from sutro_mcp.results.request_models import Cell, QueryRequest, QueryRows, SqlTable

# The same budgets as those of a page, kept by the same means.
from sutro_mcp.results.rows.char_budget import fit
from sutro_mcp.results.rows.json_shape import literal, quoted
from sutro_mcp.results.worker.sandbox import duckdb_memory
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.untrusted_text import shorten, visible

from .held_files import OUTPUT_FILE, Output, address
from .narrow_table import Column, may_use_narrow, narrow_view, needs_artifact
from .profile_file import IN_ORDER, OpenTable, open_views
from .results_view import OUTPUT
from .sql_cells import sql_cells
from .sql_errors import lacks_memory, said

T = TypeVar("T")

MAX_SQL = 10_000
_MAX_CELL = 500
# A few rows may have longer cells: this many characters are shared among them.
_CELLS = 8_000
_MORE_FIELDS = f"some JSON fields are no columns (they are in {OUTPUT})"
_LISTED = 60
_MAX_NAME = 80
_MAX_LISTING = 3_000

_MOST_MIB = 256
_SETTINGS: dict[str, Any] = {
    "threads": "1",
    # Eight of them read ahead by default, and a UNION is in the order in which they are done.
    "async_threads": "0",
    **IN_ORDER,
    "temp_directory": "",
    "max_temp_directory_size": "0KB",
    "max_expression_depth": "250",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
}
_LOCK = (
    "SET error_on_division_by_zero = false",
    "SET TimeZone = 'UTC'",
    "SET enable_external_file_cache = false",
    "SET secret_directory = '/nowhere'",
    "SET allow_extension_repositories = 'forbidden'",
    "SET enable_external_access = false",
    "SET disabled_filesystems = 'LocalFileSystem'",
    # Last: nothing can be set any more.
    "SET lock_configuration = true",
)
# What assistants write and DuckDB lacks, or reads otherwise than the standard does.
_MACROS = (
    "CREATE MACRO regexp_like(s, p) AS regexp_matches(s, p)",
    "CREATE MACRO nvl(a, b) AS coalesce(a, b)",
    "CREATE MACRO json_value(text, path) AS json_extract_string(text, path)",
    """CREATE MACRO width_bucket(x, a, b, n) AS
        greatest(0, least(n + 1, 1 + floor((x - a) * n / (b - a))))::INTEGER""",
)
# Every kind of value once, so that what fetching needs is imported.
_WARM_UP = """SELECT [1], {'a': 1}, DATE '2026-01-01', TIMESTAMPTZ '2026-01-01', 1.5::DECIMAL(9, 2), uuid(),
    INTERVAL 1 DAY, 'x'::BLOB, MAP {'a': 1}, 1::HUGEINT, TIME '10:00', '{"a": 1}'::JSON, NULL, 'a' LIKE 'b'"""
_STATEMENTS = {duckdb.StatementType.SELECT, duckdb.StatementType.MULTI}
_ARITHMETIC = {b"*", b"+", b"-"}


@dataclass(frozen=True)
class LoadedTables:
    """A connection that sees the tables as views and nothing else, and what is said about them."""

    connection: duckdb.DuckDBPyConnection
    clock: "_Clock"
    opened: dict[str, OpenTable]
    specs: tuple[ResultsSpec, ...]
    listing: str
    columns: tuple[str, ...]
    rows: dict[str, int]
    more_fields: bool
    # Tables whose views are over the short columns at first.
    narrow: frozenset[str]
    output: Output | None
    files: ExitStack
    # How long rows that are not shown may take to count.
    count_seconds: float = 4.0

    def use_artifacts(self, sql: str, tables: Iterable[str] | None = None) -> None:
        """Let the views of these tables, or of all, be over the artifacts, and the fastest for `sql`."""
        for name in self.opened if tables is None else tables:
            self.connection.execute(self.opened[name].view(sql))

    def close(self) -> None:
        """Give memory and files back."""
        self.clock.stop()
        self.connection.close()
        self.files.close()


def load(tables: Mapping[str, SqlTable], output: Output | None = None) -> LoadedTables:
    """See `lazy_engine.load`. Only with an `output` can `write_parquet` be called."""
    connection = duckdb.connect(config=_SETTINGS | {"memory_limit": duckdb_memory(_MOST_MIB)})
    specs = tuple(table.artifact.spec for table in tables.values())
    _check_names(connection, QueryRequest.doing(*specs), tables)
    files = ExitStack()
    opened = open_views(connection, tables, files, output)
    narrow = frozenset(name for name, table in tables.items() if table.narrow_file is not None)
    for name in narrow:
        connection.execute(narrow_view(connection, name, opened[name].columns))
    for statement in (*_MACROS, _WARM_UP, *_LOCK):
        connection.execute(statement).fetchall()
    loaded = LoadedTables(
        connection=connection,
        clock=_Clock(connection.interrupt),
        opened=opened,
        specs=specs,
        listing=". ".join(_listing(name, table.columns) for name, table in opened.items()),
        columns=tuple(column for table in opened.values() for column, _ in table.columns),
        rows={name: _row_count(connection, name) for name in tables},
        more_fields=any(table.about.profile.more_fields for table in opened.values()),
        narrow=narrow,
        output=output,
        files=files,
    )
    for sql in ("SELECT 1 AS a, DATE '2026-01-01' AS d, [1] AS l FROM range(9)", "SELECT nothing"):
        with suppress(InvalidArgumentError):
            run(loaded, QueryRequest(sql=sql, limit=1)).model_dump_json()
    return loaded


def _check_names(connection: duckdb.DuckDBPyConnection, doing: str, tables: Iterable[str]) -> None:
    """Raises InvalidArgumentError for a name that would have to be quoted, or that one of our files has."""
    quoted_only = "keyword_category IN ('reserved', 'type_function')"
    found = connection.execute(f"SELECT keyword_name FROM duckdb_keywords() WHERE {quoted_only}").fetchall()
    words = {word for (word,) in found}
    for name in tables:
        if name.lower() in words or name == OUTPUT_FILE or name.endswith(("_side", "_narrow")):
            raise InvalidArgumentError(doing, f"{name} cannot be the alias of a table", "Choose another one")


def _row_count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    found = f"SELECT num_rows FROM parquet_file_metadata({literal(address(table))})"
    ((count,),) = cast("list[tuple[int]]", connection.execute(found).fetchall())
    return count


def run(loaded: LoadedTables, request: QueryRequest) -> QueryRows:
    """See `lazy_engine.run`."""
    return answered(loaded, request.sql, lambda found: _answer(loaded, found, request))


def answered(loaded: LoadedTables, sql: str, answer: Callable[[duckdb.DuckDBPyRelation], T]) -> T:
    """The result of `answer` for the rows that one SELECT yields; it may be called several times.

    Raises InvalidArgumentError for SQL that cannot be run, QueryMemoryError where memory is short.
    """
    if len(sql) > MAX_SQL:
        raise _refused(loaded, f"the SQL has more than {MAX_SQL:,} characters")
    sql = _as_columns_are_written(sql, loaded.columns)
    try:
        statements = loaded.connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type not in _STATEMENTS:
            raise _refused(loaded, _not_one_select(statements))
        return _widely(loaded, _without_end(sql), answer)
    except (duckdb.Error, RuntimeError, ValueError, MemoryError) as error:
        kind = QueryMemoryError if lacks_memory(error) else InvalidArgumentError
        raise _refused(loaded, said(error, sql, loaded.columns), kind) from None


def _as_columns_are_written(sql: str, columns: Sequence[str]) -> str:
    """`sql` with names of columns as the results write them: the same accents can be composed in two ways.

    Texts and comments stay as they are.
    """
    if sql.isascii():
        return sql
    raw, end = sql.encode(), len(sql.encode())
    # From the last to the first, so that what is replaced moves nothing that is still to come.
    for start, kind in reversed(duckdb.tokenize(sql)):
        written = raw[start:end].decode().rstrip()
        name = written[1:-1].replace('""', '"') if written[0] == '"' else written
        # DuckDB finds names in any case.
        alike = [column for column in columns if composed(column.lower()) == composed(name.lower())]
        if kind == duckdb.token_type.identifier and alike and name.lower() not in map(str.lower, alike):
            raw = raw[:start] + quoted(alike[0]).encode() + raw[start + len(written.encode()) :]
        end = start
    return raw.decode()


def _without_end(sql: str) -> str:
    """`sql` without a semicolon that only comments follow: DuckDB takes one at the very end alone."""
    raw = sql.encode()
    starts = [start for start, kind in duckdb.tokenize(sql) if kind != duckdb.token_type.comment]
    return raw[: starts[-1]].decode() if raw[starts[-1] : starts[-1] + 1] == b";" else sql


def _widely(loaded: LoadedTables, sql: str, answer: Callable[[duckdb.DuckDBPyRelation], T]) -> T:
    """The answer from the short columns or, where these are not enough, from all."""
    loaded.use_artifacts(sql, loaded.opened.keys() - loaded.narrow)
    if loaded.narrow:
        if may_use_narrow(sql):
            try:
                return _exactly(loaded, sql, answer)
            except duckdb.InvalidInputException as error:
                if not needs_artifact(error):
                    raise
        loaded.use_artifacts(sql, loaded.narrow)
    return _exactly(loaded, sql, answer)


def _exactly(loaded: LoadedTables, sql: str, answer: Callable[[duckdb.DuckDBPyRelation], T]) -> T:
    """The answer, with wider integers if written ones overflow."""
    try:
        return answer(loaded.connection.sql(sql))
    except duckdb.OutOfRangeException as error:
        if (wider := _widened(sql)) == sql:
            raise
        try:
            return answer(loaded.connection.sql(wider))
        except duckdb.Error:
            raise error from None


def _answer(loaded: LoadedTables, found: duckdb.DuckDBPyRelation, request: QueryRequest) -> QueryRows:
    shown, convert = sql_cells(found)
    rows = [
        [change(value) for change, value in zip(convert, values, strict=True)]
        for values in found.limit(request.limit + 1).project(shown).fetchall()
    ]
    row_count, is_counted = _count(loaded, found, rows, request)
    return _page(loaded, found.columns, rows, row_count, is_counted, request)


def _widened(sql: str) -> str:
    """`sql` with integers in arithmetic as 64 bits: DuckDB reads them as 32 until one does not fit."""
    raw = sql.encode()
    starts = [start for start, _ in duckdb.tokenize(sql)]
    tokens = [raw[start:end] for start, end in zip(starts, [*starts[1:], len(raw)], strict=True)]
    around = zip([b"", *tokens], tokens, [*tokens[1:], b""], strict=False)
    wider = [
        token.rstrip() + b"::BIGINT " if _is_operand(before, token, after) else token
        for before, token, after in around
    ]
    return b"".join([raw[: starts[0]], *wider]).decode()


def _is_operand(before: bytes, token: bytes, after: bytes) -> bool:
    return token.strip().isdigit() and not _ARITHMETIC.isdisjoint((before.strip(), after.strip()))


def _not_one_select(statements: Sequence[duckdb.Statement]) -> str:
    if len(statements) > 1:
        return "it holds more than one statement"
    if not statements:
        return "it has to be one SELECT"
    sql, kind = statements[0].query, statements[0].type.name
    starts = (start for start, token in duckdb.tokenize(sql) if token == duckdb.token_type.keyword)
    # As it is written: INSTALL is a LOAD to DuckDB, and USE a SET.
    word = re.sub(r"\W.*", "", sql.encode()[next(starts, 0) :].decode(), flags=re.DOTALL).upper()
    name = kind if word == "WITH" else word
    return f"{name} is not allowed: it has to be one SELECT (DESCRIBE, SUMMARIZE and PIVOT are, too)"


def _count(
    loaded: LoadedTables, found: duckdb.DuckDBPyRelation, rows: list[list[Cell]], request: QueryRequest
) -> tuple[int, bool]:
    """How many rows there are, and whether that is certain: counting may take longer than the first rows."""
    if len(rows) <= request.limit:
        return len(rows), True
    rows.pop()
    try:
        with loaded.clock.limit(loaded.count_seconds):
            ((count,),) = cast("list[tuple[int]]", found.aggregate("count(*)").fetchall())
    except (duckdb.Error, RuntimeError) as error:
        if needs_artifact(error):
            raise
        return len(rows) + 1, False
    return count, True


def _page(
    loaded: LoadedTables,
    names: list[str],
    rows: list[list[Cell]],
    row_count: int,
    is_counted: bool,
    request: QueryRequest,
) -> QueryRows:
    """As much of the rows as fits, and what does not."""
    fitted = fit(names, rows, request.max_chars, max(_MAX_CELL, _CELLS // max(len(rows), 1)))
    notes: list[str] = []
    if fitted.cuts:
        cut = f"{counted(fitted.cuts, 'cell')} cut to {fitted.cell_chars} characters"
        notes.append(f"{cut} (select fewer rows or columns)")
    if not is_counted:
        notes.append(
            "row_count is a lower bound, there are too many to count "
            "(limit goes up to 1,000; OFFSET skips rows)"
        )
    elif row_count > len(fitted.rows):
        left = row_count - len(fitted.rows)
        notes.append(f"{counted(left, 'row')} not shown (limit goes up to 1,000; OFFSET skips rows)")
    if unshown := len(names) - len(fitted.columns):
        notes.append(f"{counted(unshown, 'column')} not shown (select those you need)")
    if loaded.more_fields:
        notes.append(_MORE_FIELDS)
    return QueryRows(
        columns=fitted.columns,
        rows=fitted.rows,
        row_count=row_count,
        offset=0,
        shortened="; ".join(notes) or None,
        table_rows=loaded.rows if len(loaded.rows) > 1 else None,
    )


def _listing(table: str, described: Sequence[Column]) -> str:
    """The columns of a table with their types, as SQL names them."""
    columns = [
        f"{quoted(shorten(' '.join(name.split()), _MAX_NAME)[0])} {shorten(visible(kind), _MAX_NAME)[0]}"
        for name, kind in described
    ]
    more = f", and {len(columns) - _LISTED} more" if len(columns) > _LISTED else ""
    return f"The columns of {table} are {shorten(', '.join(columns[:_LISTED]), _MAX_LISTING)[0]}{more}"


def _refused(
    loaded: LoadedTables, happened: str, kind: type[InvalidArgumentError] = InvalidArgumentError
) -> InvalidArgumentError:
    if loaded.more_fields:
        happened += f"; {_MORE_FIELDS}"
    return kind(QueryRequest.doing(*loaded.specs), happened, loaded.listing)


class _Clock:
    """Interrupts what takes too long: a thread of its own, as none can be started when it is needed."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._seconds: SimpleQueue[float | None] = SimpleQueue()
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    @contextmanager
    def limit(self, seconds: float) -> Generator[None]:
        """The block is interrupted after so many seconds."""
        self._done.clear()
        self._seconds.put(seconds)
        try:
            yield
        finally:
            self._done.set()

    def stop(self) -> None:
        """End the thread."""
        self._seconds.put(None)

    def _run(self) -> None:
        while (seconds := self._seconds.get()) is not None:
            if not self._done.wait(seconds):
                self._interrupt()
