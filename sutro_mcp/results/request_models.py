"""Requests about a result artifact, and their typed answers.

These models cross two boundaries, the worker's pipe and the MCP reply, so they hold plain JSON values only.
Text in them has passed `untrusted_text.visible`. Importing this module must not import polars.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results_spec import ResultsSpec

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Group

Cell = str | int | float | bool | None
ExportFormat = Literal["parquet", "csv", "jsonl"]


# What stands around the JSON object of an output: a Markdown fence, a `<think>` block before it, a byte order
# mark, any other text.
Wrapping = Literal["fence", "think", "bom", "text"]
# What a tool puts around a summary (notice, id, URI) is a few hundred more, and the answer stays under 6,000.
SUMMARY_CHARS = 5_500


class _Model(BaseModel):
    # Each process uses a few of them, and making one takes a millisecond.
    model_config = ConfigDict(frozen=True, defer_build=True)


class LocalArtifact(_Model):
    """A result artifact as it lies on disk: whole, or with the bytes that have come so far."""

    path: str
    format: Literal["parquet", "json", "csv"]
    spec: ResultsSpec
    inode: int | None = None
    is_whole: bool = True


class Request(_Model):
    """A task for a child process, about one artifact or several. `cpu_limit`: in seconds."""

    aim: ClassVar[str] = "read the results of"
    cpu_limit: ClassVar[int] = 60
    advice: ClassVar[str] = (
        "Nothing was lost: try a smaller page or fewer columns; if it stays, the results may be damaged"
    )

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """A request of a caller's arguments. Raises InvalidArgumentError where one does not fit."""
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(map(str, first["loc"]))
            raise InvalidArgumentError(
                f"{cls.aim} a job", f"{name}: {first['msg'].lower()}", f"Pass another {name}"
            ) from None

    @classmethod
    def doing(cls, *specs: ResultsSpec) -> str:
        """The task in words, as errors begin."""
        return f"{cls.aim} {' and '.join(dict.fromkeys(spec.job_id for spec in specs))}"


class PageRequest(Request):
    """Rows from `offset` on: as many of `limit` as fit into `max_chars` characters of JSON text."""

    aim = "read rows of"
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1)] = 20
    columns: tuple[str, ...] = ()
    unpack_json: bool = True
    output_column: str = "inference_result"
    max_cell_chars: int = 500
    max_chars: int = 9_000


class _Table(_Model):
    """Rows of cells in the order of `columns`."""

    columns: list[str]
    rows: list[list[Cell]]

    def frame(self) -> "pl.DataFrame":
        """The same as a polars frame. A column with cells of several types becomes text."""
        import polars as pl

        return pl.DataFrame(
            self.rows, schema=self.columns, orient="row", strict=False, infer_schema_length=None
        )


class Page(_Table):
    """Rows `offset` to `offset + len(rows) - 1` of `row_count`, in input order."""

    row_count: int
    offset: int
    next_offset: int | None = None
    shortened: str | None = None


class ExpectedResults(_Model):
    """The results as the job describes them."""

    num_rows: int | None = None
    json_schema: dict[str, Any] | None = None


class SummaryRequest(Request):
    """How to read the outputs. The engine adds what the job says of its results."""

    aim = "summarise the results of"
    unpack_json: bool = True
    output_column: str = "inference_result"
    max_chars: int = SUMMARY_CHARS
    expected: ExpectedResults = ExpectedResults()


class ExportRequest(Request):
    """A file to write, and its place. Without a `format`, the ending of `file_name` tells it.

    The engine hands on a folder whose path has no links, names that were checked, the format, a `temporary`
    name for the file while it grows and, for `sql`, what that yields.
    """

    aim = "export the results of"
    advice = "No file was written: try Parquet, or without inputs and join_with"
    folder: Path
    file_name: str
    format: ExportFormat | None = None
    unpack_json: bool = True
    output_column: str = "inference_result"
    join_with: str = ""
    overwrite: bool = False
    sql: str = ""
    temporary: str = ""
    yielded: "YieldedRows | None" = None


class ExportReport(_Model):
    """The file that was written. `columns` holds the first names, shortened, of `column_count`."""

    file_name: str
    folder: str
    format: ExportFormat
    rows: int
    bytes: int
    column_count: int
    columns: list[str]
    remarks: list[str] = []


class SqlTable(_Model):
    """An artifact that SQL can read: as a Parquet file, with what is known of its columns beside it.

    `narrow_file` has the short columns alone, if that was made.
    """

    artifact: LocalArtifact
    parquet: str
    profile_file: str
    narrow_file: str | None = None


class PrepareRequest(Request):
    """Make a `SqlTable` of the artifact, unless it is there."""

    aim = "query the results of"
    advice = "Use get_job_results: the results may be damaged"


class NarrowRequest(PrepareRequest):
    """Make the `narrow_file` as well."""


class YieldedRows(_Model):
    """The rows that a SELECT yields, in a Parquet file; text in `json_columns` is JSON."""

    path: str
    json_columns: tuple[str, ...] = ()


class WriteRequest(Request):
    """A SELECT over the table `results`, all of whose rows go into the file that is open for them.

    That is Parquet, from which a file in `format` will be made.
    """

    aim = "export the results of"
    advice = "No file was written: filter or aggregate, or select fewer columns"
    cpu_limit = 180
    sql: str
    path: str
    format: ExportFormat


class LoadRequest(Request):
    """Get ready for a query: tables by their names, and every right given up.

    `cpu_seconds`: the processor time after which the process ends, whatever it does then. `output`: a new
    file that it may write into. `lock_alone`: no right is given up, and DuckDB's own lock is all that holds.
    """

    aim = "query the results of"
    advice = "Use get_job_results: the results may be damaged"
    tables: dict[str, SqlTable]
    cpu_seconds: int
    output: str | None = None
    lock_alone: bool = False


class Loaded(_Model):
    """Ready."""


class QueryRequest(Request):
    """A SELECT over the table `results`, and how much of what it yields to show."""

    aim = "query the results of"
    advice = "It may need too much memory or time: filter or aggregate, and join only ON equal columns"
    sql: str
    limit: Annotated[int, Field(ge=1)] = 50
    max_chars: int = 9_000


class QueryRows(Page):
    """The yield of a SELECT. `table_rows`: how many rows each table has, where there are several."""

    table_rows: dict[str, int] | None = None


class CompareRequest(Request):
    """Changes from the table `before` to the table `after`.

    `by` says which rows belong together: "row" those with the same number, else those with the same value in
    this column.
    """

    aim = "compare the results of"
    advice = "Compare the columns that matter with query_job_results and with_jobs"
    # Its SQL is ours, and ten million rows by a key are read many times.
    cpu_limit = 600
    by: str = "row"


class ComparisonTable(_Table):
    """A part of a comparison."""


class Comparison(_Model):
    """Changes between two runs. Every number is exact.

    `runs` counts the rows of each: all, those that the other has not, and those left out as their key is null
    or occurs more than once in either. `same_inputs` and `different_inputs` count pairs of rows whose inputs
    are known. `fields` has those that changed: `rows` with a value in either run, `lost` with one only
    before, `gained` with one only after, differences after minus before. `moves` are the changes made most
    often, `samples` the first rows that changed, `without_values` fields that are null in all rows.
    """

    runs: ComparisonTable
    compared_rows: int
    changed_rows: int
    same_inputs: int | None = None
    different_inputs: int | None = None
    fields: ComparisonTable | None = None
    moves: ComparisonTable | None = None
    samples: ComparisonTable | None = None
    unchanged: list[str] | None = None
    without_values: list[str] | None = None
    only_before: list[str] | None = None
    only_after: list[str] | None = None
    shortened: str | None = None


class TopValue(_Model):
    """A value with the number and share of the column's `values` that hold it."""

    value: Cell
    count: int
    share: float


class Distribution(_Model):
    """Of numbers, of text lengths in characters, or of the number of items in lists."""

    min: int | float
    q25: int | float
    median: int | float
    q75: int | float
    max: int | float
    mean: int | float


class TextNumbers(_Model):
    """Numbers that are held as text, in `count` of a column's values; `sql` gives them as DOUBLE."""

    count: int
    unit: str | None = None
    numbers: Distribution
    sql: str | None = None


class ColumnSummary(_Model):
    """One column, or one field of JSON outputs by its path (`vendor.name`).

    `present` counts the rows that have the field at all (null or not), `nulls` those where it is null, and
    `values` the others, of which shares are. `numbers` leaves out the `not_finite`: NaN, and what is beyond
    a 64-bit float. `more` distinct values are not in `top`.
    `lengths` (of texts, in characters) is left out where the values are few and `top` shows them.
    All is exact but what `estimates` names, as it may where there are more than 16,384 distinct values:
    `distinct` (within 2.5 %), the quartiles of numbers, the counts in `top` (then at least so high).
    """

    name: str
    type: str
    sql_type: str | None = None
    present: int
    nulls: int
    values: int
    distinct: int
    numbers: Distribution | None = None
    not_finite: int | None = None
    lengths: Distribution | None = None
    items: Distribution | None = None
    text_numbers: TextNumbers | None = None
    top: list[TopValue] = []
    more: int | None = None
    estimates: list[Literal["distinct", "quartiles", "top"]] | None = None


class Overlap(_Model):
    """Rows that are of another kind too."""

    kind: str
    count: int


class QualityFlag(_Model):
    """Rows that deserve a look: how many (about, if `estimate`), why, and the numbers of the first few.

    Of repeated outputs `beyond_first` leaves out the first row of each. `also` says how many of the rows are
    of a kind that stands before.
    """

    kind: str
    count: int
    rows: list[int]
    beyond_first: int | None = None
    also: list[Overlap] | None = None
    estimate: bool | None = None


class Sample(_Model):
    """One row, shortened, and why it was chosen."""

    row: int
    why: str
    output: str | None = None
    input: str | None = None


class Summary(_Model):
    """What came out of a job, in a few hundred tokens whatever its size.

    `wrapped` counts the rows whose JSON object was read out of a text, by what stands around it.
    `every_value_sql` counts all values of a column that has more of them than are shown.
    """

    row_count: int
    expected_rows: int | None = None
    outputs: str
    wrapped: dict[Wrapping, int] | None = None
    columns: list[ColumnSummary]
    every_value_sql: str | None = None
    suspicious_rows: int = 0
    suspicious: list[QualityFlag]
    samples: list[Sample]
    shortened: str | None = None

    def _repr_html_(self) -> str:
        """The summary in a notebook."""
        from .summary_rendering import summary_html

        return summary_html(self)

    def __rich__(self) -> "Group":
        """The summary as `rich.print` shows it: distributions as bars."""
        from .distribution_bars import summary_bars

        return summary_bars(self)
