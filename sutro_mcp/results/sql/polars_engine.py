"""Run one SELECT over the table `results` and make a page of what it yields.

Runs in a process of its own, which has no rights by then (`_rights`): polars SQL can read any file and any
address, and has no switch that keeps it from trying. Nothing here may open anything, and what Python would
import or open later has to be touched by `warm_up`.
"""

import re

import polars as pl

from sutro_mcp.errors import InvalidArgumentError, counted
from sutro_mcp.results.request_models import Cell, Page, QueryRequest

# The same budgets as those of a page, kept by the same means.
from sutro_mcp.results.rows.char_budget import fit
from sutro_mcp.results.rows.json_values import cell, times_as_text
from sutro_mcp.untrusted import quote

from .polars_precheck import MAX_SQL, why_not
from .table import OUTPUT, Table

_MAX_CELL = 500
# A few rows may have longer cells: this many characters are shared among them.
_CELLS = 8_000
_ADDED = {"inputs": "include_inputs", "cumulative_logprobs": "include_cumulative_logprobs"}
_PATH = re.compile(r"(?:\b[a-z][\w+.-]*:/|\b[a-z]:\\|(?<![\w.)\]])[/\\])[^\s'\"`,;)]+", re.IGNORECASE)
_FAILURES = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)


def run_query(table: Table, request: QueryRequest) -> Page:
    """The first rows that the SQL yields. Raises InvalidArgumentError for SQL that cannot be run."""
    if len(request.sql) > MAX_SQL:
        raise _refused(table, f"the SQL has more than {MAX_SQL:,} characters")
    if request.checked and (reason := why_not(request.sql)) is not None:
        raise _refused(table, reason)
    try:
        # Eager: counting the rows needs all of them anyway, and the process has a cap on memory and time.
        found = pl.SQLContext(frames={"results": table.frame}).execute(request.sql, eager=True)
        part = times_as_text(found.head(request.limit))
        rows = [[cell(value) for value in values] for values in part.iter_rows()]
    except OSError:
        # One sentence, whatever it was: a difference would tell whether a file exists.
        raise _refused(table, "SQL can read the table results and nothing else") from None
    except _FAILURES as error:
        raise _refused(table, _said(error)) from None
    page, notes = _fit(part.columns, rows, found.height, request)
    if table.more_fields:
        notes.append(f"some JSON fields are no columns (they are in {OUTPUT})")
    return page.model_copy(update={"shortened": "; ".join(notes) or None})


def warm_up() -> None:
    """Start every thread and import every module that a query can need, as long as that is possible.

    A thread cannot start, nor a module be imported, in a process without rights.
    """
    frame = pl.DataFrame({"n": [1, 2, 3], "t": ["a", "b", None], "l": [["a"], [], None]}).with_columns(
        pl.lit(0).cast(pl.Datetime).alias("d"), pl.lit("1.5").cast(pl.Decimal(10, 2)).alias("m")
    )
    table = Table("", frame)
    for sql in (
        "SELECT * FROM results WHERE t LIKE 'a%' ORDER BY n",
        "WITH c AS (SELECT t, count(*) AS c FROM results GROUP BY t) SELECT * FROM results NATURAL JOIN c",
        "SELECT d AT TIME ZONE 'UTC' AS z, rank() OVER (ORDER BY n) AS k FROM results",
        "SELECT n FROM results UNION SELECT n FROM results",
    ):
        run_query(table, QueryRequest(sql=sql)).model_dump_json()
    try:
        run_query(table, QueryRequest(sql="SELECT nothing FROM results"))
    except InvalidArgumentError as error:
        str(error)


def _fit(
    names: list[str], rows: list[list[Cell]], row_count: int, request: QueryRequest
) -> tuple[Page, list[str]]:
    """As much of the rows as fits, and what does not."""
    fitted = fit(names, rows, request.max_chars, max(_MAX_CELL, _CELLS // max(len(rows), 1)))
    notes: list[str] = []
    if fitted.cuts:
        cut = f"{counted(fitted.cuts, 'cell')} cut to {fitted.cell_chars} characters"
        notes.append(f"{cut} (select fewer rows or columns)")
    if row_count > len(fitted.rows):
        left = row_count - len(fitted.rows)
        notes.append(f"{counted(left, 'row')} not shown (limit goes up to 1,000; OFFSET skips rows)")
    if unshown := len(names) - len(fitted.columns):
        notes.append(f"{counted(unshown, 'column')} not shown (select those you need)")
    return Page(columns=fitted.columns, rows=fitted.rows, row_count=row_count, offset=0), notes


def _said(error: BaseException) -> str:
    """What is wrong, in words that help with SQL where those of polars are a bare name or are about Python.

    Its message is the first line; plans, hints and places in the source come after it.
    """
    line = str(error).partition("\n")[0].partition("; valid columns:")[0]
    said = quote(_PATH.sub("(path)", line))
    match error:
        case pl.exceptions.PanicException():
            return "the SQL engine failed on it"
        case pl.exceptions.StructFieldNotFoundError():
            return (
                f"there is no field {said}; a column with a dot in its name goes in double quotes as a whole"
            )
        case pl.exceptions.DuplicateError():
            return "two columns of the answer have one name; rename one with AS"
        case pl.exceptions.ColumnNotFoundError():
            added = [argument for name, argument in _ADDED.items() if line.endswith(f'"{name}"')]
            return f"{said} ({added[0]}=true adds it)" if added else said
        case _:
            return said


def _refused(table: Table, happened: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"query the results of {table.job_id}", happened, f"The columns of results are {table.listing()}"
    )
