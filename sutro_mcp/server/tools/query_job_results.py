"""Answer a question about results with SQL."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import BeforeValidator, Field

from sutro_mcp.errors import counted
from sutro_mcp.results import Cell, QueryRequest
from sutro_mcp.results.sql.lazy_engine import DIALECT
from sutro_mcp.results.table_names import written_tables
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server.answers import ToolAnswer
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.results_progress import with_progress
from sutro_mcp.server.text_answers import fenced, table
from sutro_mcp.settings import Settings

from .offered_tool import always, reply, tool
from .params import DEFAULT_CHARS, MOST_CHARS, JobId, OffByDefault, as_list

_DEFAULT_LIMIT = 50
_UNLIKE = (
    "The tables differ in their rows. Row numbers match only where jobs ran over the same input: "
    "else join on a column that both carry, or on inputs (include_inputs=true)."
)


class QueryAnswer(ToolAnswer):
    """The first rows that a query yields."""

    row_count: Annotated[int, Field(description="Rows that the SQL yields in all")]
    shortened: str | None = None
    tables: Annotated[list[list[str | int]] | None, Field(description="Name, job_id, rows of each")] = None
    hint: str | None = None
    columns: list[str]
    rows: list[list[Cell]]


def _with_dialect(_settings: Settings, docstring: str) -> str:
    return docstring.format(dialect=DIALECT)


@tool("Query a job's results with SQL", describe=_with_dialect, is_heavy=always)
async def query_job_results(
    ctx: Ctx,
    job_id: JobId,
    sql: Annotated[str, Field(description="SELECT … FROM results", max_length=10_000)],
    with_jobs: Annotated[
        list[Annotated[str, Field(max_length=250)]],
        BeforeValidator(as_list),
        Field(description="More tables, as alias=job_id", max_length=3),
    ] = [],  # noqa: B006 - never mutated; a tuple would change the published schema
    include_inputs: Annotated[bool, Field(description="Default false")] = False,
    include_cumulative_logprobs: OffByDefault = False,
    limit: Annotated[int, Field(description="Rows shown (default 50)", ge=1, le=1000)] = _DEFAULT_LIMIT,
) -> Annotated[CallToolResult, QueryAnswer]:
    """Run one SELECT ({dialect}, WITH allowed) over a SUCCEEDED job's results, table "results".

    For groups and filters that get_job_results lacks. Columns: row (from 0), one per JSON field
    (nested: "vendor.name", quoted), inference_result (raw); DESCRIBE results lists them. with_jobs joins
    other jobs by row if they had the same input (POSITIONAL JOIN where large), else on a carried column or
    inputs.
    """
    app = app_of(ctx)
    specs = {
        name: ResultsSpec(job, include_inputs, include_cumulative_logprobs)
        for name, job in {"results": job_id, **written_tables(with_jobs)}.items()
    }
    max_chars = MOST_CHARS if limit > _DEFAULT_LIMIT else DEFAULT_CHARS
    request = QueryRequest(sql=sql, limit=limit, max_chars=max_chars)
    found = await with_progress(
        ctx, lambda notify: app.results.query(app.client, specs, request, on_progress=notify)
    )
    rows = found.table_rows or {}
    answer = QueryAnswer(
        tables=[[name, specs[name].job_id, count] for name, count in rows.items()] or None,
        hint=_UNLIKE if len(set(rows.values())) > 1 else None,
        **dict(found),
    )
    return reply(answer, _text(job_id, answer))


def _text(job_id: str, answer: QueryAnswer) -> str:
    head = f"{job_id}: the SQL yields {counted(answer.row_count, 'row')}."
    if answer.shortened:
        head += f" Shortened: {answer.shortened}."
    if answer.tables:
        of = (f"{name} {counted(int(count), 'row')} ({job})" for name, job, count in answer.tables)
        head += f" Tables: {', '.join(of)}."
    if answer.hint:
        head += f" {answer.hint}"
    return f"{head}\n{fenced(table(answer.columns, answer.rows))}"
