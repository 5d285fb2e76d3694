"""Write what came out of a job to a file on this computer."""

from typing import Annotated, cast

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.results import ExportFormat, ExportRequest
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server import text_format as text
from sutro_mcp.server.answers import ExportAnswer
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.progress import with_progress
from sutro_mcp.server.tools.params import JobId
from sutro_mcp.server.tools.tool import reply, writing_tool

# Not a value to pass: a schema that listed it, or null, is refused by some hosts.
_BY_ENDING = cast("ExportFormat", "")


@writing_tool("Export a job's results")
async def export_job_results(
    ctx: Ctx,
    job_id: JobId,
    file_name: Annotated[str, Field(description="Plain name without path", max_length=1000)],
    format: Annotated[  # noqa: A002 - the name of the contract
        ExportFormat, Field(description="Default: file_name's ending, else parquet")
    ] = _BY_ENDING,
    include_inputs: Annotated[bool, Field(description="Default false")] = False,
    include_cumulative_logprobs: Annotated[bool, Field(description="Default false")] = False,
    unpack_json: Annotated[bool, Field(description="JSON fields as columns (default true)")] = True,
    output_column: Annotated[
        str, Field(description="Default inference_result", max_length=200)
    ] = "inference_result",
    join_with: Annotated[
        str, Field(description="CSV or Parquet file in the folder to add the results to", max_length=1000)
    ] = "",
    overwrite: Annotated[bool, Field(description="Replace a file (default false)")] = False,
) -> Annotated[CallToolResult, ExportAnswer]:
    """Write all results of a SUCCEEDED job to a file in the user's export folder.

    For files to keep or analyse elsewhere; to answer questions use get_job_results. Cells are written
    unchanged. join_with needs the job's rows in their order.
    """
    app = app_of(ctx)
    spec = ResultsSpec(job_id, include_inputs, include_cumulative_logprobs)
    request = ExportRequest(
        folder=app.settings.export_folder,
        file_name=file_name,
        format=format or None,
        unpack_json=unpack_json,
        output_column=output_column,
        join_with=join_with,
        overwrite=overwrite,
    )
    written = await with_progress(
        ctx, lambda notify: app.results.export(app.client, spec, request, on_progress=notify)
    )
    answer = ExportAnswer.of(job_id, written)
    return reply(answer, text.export(answer))
