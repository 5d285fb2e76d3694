"""Write what came out of a job to a file on this computer."""

from typing import Annotated, cast

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.errors import InvalidArgumentError, counted
from sutro_mcp.results import ExportFormat, ExportRequest
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.server.answers import ToolAnswer, UntrustedText
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.results_progress import with_progress
from sutro_mcp.server.text_answers import facts, fenced, table

from .offered_tool import reply, tool
from .params import JobId, OffByDefault, OutputColumn, UnpackJson

# Not a value to pass: a schema that listed it, or null, is refused by some hosts.
_BY_ENDING = cast("ExportFormat", "")
_OUTPUT = "inference_result"


class ExportAnswer(ToolAnswer):
    """The file that was written."""

    file_name: Annotated[UntrustedText, Field(description="In the folder")]
    folder: UntrustedText
    format: ExportFormat
    rows: int
    bytes: int
    column_count: int
    columns: Annotated[list[UntrustedText], Field(description="The first names, long ones cut")]
    remarks: Annotated[list[UntrustedText], Field(description="What was not unpacked or had to change")]


@tool("Export a job's results", writes_files=True)
async def export_job_results(
    ctx: Ctx,
    job_id: JobId,
    file_name: Annotated[str, Field(description="Without path", max_length=1000)],
    format: Annotated[  # noqa: A002 - the name of the contract
        ExportFormat, Field(description="Default: file_name's ending, else parquet")
    ] = _BY_ENDING,
    include_inputs: OffByDefault = False,
    include_cumulative_logprobs: OffByDefault = False,
    unpack_json: UnpackJson = True,
    output_column: OutputColumn = _OUTPUT,
    join_with: Annotated[
        str, Field(description="CSV or Parquet file in the folder to add the results to", max_length=1000)
    ] = "",
    sql: Annotated[str, Field(description="As in query_job_results", max_length=10_000)] = "",
    overwrite: Annotated[bool, Field(description="Replace a file (default false)")] = False,
) -> Annotated[CallToolResult, ExportAnswer]:
    """Write all results of a SUCCEEDED job, or what sql yields, to a file in the user's export folder.

    To keep or analyse elsewhere; to answer questions use get_job_results. Cells are unchanged; JSON becomes
    columns only if every row is an object. join_with needs the job's rows in their order.
    """
    beside = [
        ("join_with", join_with),
        ("unpack_json", not unpack_json),
        ("output_column", output_column != _OUTPUT),
    ]
    if sql and (unfit := [name for name, is_given in beside if is_given]):
        raise InvalidArgumentError(
            "export what the SQL yields",
            f"{' and '.join(unfit)} cannot be combined with sql, which names its own columns",
            f"Leave out {' and '.join(unfit)}, or sql",
        )
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
        sql=sql,
    )
    written = await with_progress(
        ctx, lambda notify: app.results.export(app.client, spec, request, on_progress=notify)
    )
    answer = ExportAnswer(**dict(written))
    return reply(answer, _text(job_id, answer))


def _text(job_id: str, answer: ExportAnswer) -> str:
    written = f"{counted(answer.rows, 'row')}, {counted(answer.bytes, 'byte')} of {answer.format}"
    head = f"{job_id}: wrote {written}."
    where = facts([("file_name", answer.file_name), ("folder", answer.folder)])
    rest = answer.column_count - len(answer.columns)
    names = f"{counted(answer.column_count, 'column')}: {table(answer.columns, [])}"
    names += f" and {rest:,} more" if rest else ""
    return f"{head}\n{where}\n{fenced(chr(10).join([names, *answer.remarks]))}"
