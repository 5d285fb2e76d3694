"""Answer a question about results with SQL."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.results import QueryRequest
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server import text_format as text
from sutro_mcp.server.answers import QueryAnswer
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.progress import with_progress
from sutro_mcp.server.tools.params import JobId
from sutro_mcp.server.tools.tool import read_tool, reply

# As for a page of rows: what an answer costs by default, and what someone gets who asks for more rows.
_DEFAULT_CHARS = 9_000
_MOST_CHARS = 50_000
_DEFAULT_LIMIT = 50


@read_tool("Query a job's results with SQL")
async def query_job_results(
    ctx: Ctx,
    job_id: JobId,
    sql: Annotated[str, Field(description="SELECT … FROM results", max_length=10_000)],
    include_inputs: Annotated[bool, Field(description="Adds inputs (default false)")] = False,
    include_cumulative_logprobs: Annotated[bool, Field(description="Default false")] = False,
    limit: Annotated[int, Field(description="Rows shown (default 50)", ge=1, le=1000)] = _DEFAULT_LIMIT,
) -> Annotated[CallToolResult, QueryAnswer]:
    """Run one SELECT (polars SQL, WITH allowed) over a SUCCEEDED job's results, table "results".

    For groups and filters that get_job_results lacks. Columns: row (from 0), one per JSON field (nested:
    "vendor.name", quoted), inference_result (raw). A mistake is answered with all columns and types.
    """
    app = app_of(ctx)
    spec = ResultsSpec(job_id, include_inputs, include_cumulative_logprobs)
    max_chars = _MOST_CHARS if limit > _DEFAULT_LIMIT else _DEFAULT_CHARS
    request = QueryRequest(sql=sql, limit=limit, max_chars=max_chars)
    page = await with_progress(
        ctx, lambda notify: app.results.query(app.client, spec, request, on_progress=notify)
    )
    answer = QueryAnswer.of(job_id, page)
    return reply(answer, text.query(answer))
