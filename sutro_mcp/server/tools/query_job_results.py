"""Answer a question about results with SQL."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.errors import counted
from sutro_mcp.results import Cell, QueryRequest
from sutro_mcp.results.sql.sql_engine import DIALECT
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server.answers import ToolAnswer
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.progress import with_progress
from sutro_mcp.server.text_format import fenced, table
from sutro_mcp.settings import Settings

from .params import DEFAULT_CHARS, MOST_CHARS, JobId, OffByDefault
from .tool import reply, tool

_DEFAULT_LIMIT = 50


class QueryAnswer(ToolAnswer):
    """The first rows that a query yields."""

    job_id: str
    row_count: Annotated[int, Field(description="Rows that the SQL yields in all")]
    shortened: Annotated[str | None, Field(description="What was cut, and how to get it")] = None
    columns: list[str]
    rows: Annotated[list[list[Cell]], Field(description="Cells in the order of columns")]


def _with_dialect(_settings: Settings, docstring: str) -> str:
    return docstring.format(dialect=DIALECT)


@tool("Query a job's results with SQL", describe=_with_dialect)
async def query_job_results(
    ctx: Ctx,
    job_id: JobId,
    sql: Annotated[str, Field(description="SELECT … FROM results", max_length=10_000)],
    include_inputs: Annotated[bool, Field(description="Adds inputs (default false)")] = False,
    include_cumulative_logprobs: OffByDefault = False,
    limit: Annotated[int, Field(description="Rows shown (default 50)", ge=1, le=1000)] = _DEFAULT_LIMIT,
) -> Annotated[CallToolResult, QueryAnswer]:
    """Run one SELECT ({dialect}, WITH allowed) over a SUCCEEDED job's results, table "results".

    For groups and filters that get_job_results lacks. Columns: row (from 0), one per JSON field (nested:
    "vendor.name", quoted), inference_result (raw). DESCRIBE results lists columns and types, and so does the
    answer to a mistake.
    """
    app = app_of(ctx)
    spec = ResultsSpec(job_id, include_inputs, include_cumulative_logprobs)
    max_chars = MOST_CHARS if limit > _DEFAULT_LIMIT else DEFAULT_CHARS
    request = QueryRequest(sql=sql, limit=limit, max_chars=max_chars)
    page = await with_progress(
        ctx, lambda notify: app.results.query(app.client, spec, request, on_progress=notify)
    )
    answer = QueryAnswer(job_id=job_id, **dict(page))
    return reply(answer, _text(answer))


def _text(answer: QueryAnswer) -> str:
    head = f"{answer.job_id}: the SQL yields {counted(answer.row_count, 'row')}."
    if answer.shortened:
        head += f" Shortened: {answer.shortened}."
    return f"{head}\n{fenced(table(answer.columns, answer.rows))}"
