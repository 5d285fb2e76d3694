"""Wait for a job instead of asking again and again."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.server import text_format as text
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.live.job_wait import WaitAnswer, wait
from sutro_mcp.server.protocol.scrubbing import notifier
from sutro_mcp.server.tools.params import JobId
from sutro_mcp.server.tools.tool import read_tool, reply


@read_tool("Wait for a job")
async def wait_for_job(
    ctx: Ctx,
    job_id: JobId,
    timeout_seconds: Annotated[
        int, Field(description="Longest wait (default 45; many hosts give up at 60)", ge=1, le=300)
    ] = 45,
) -> Annotated[CallToolResult, WaitAnswer]:
    """Wait until a job has ended, with progress meanwhile; then say how it ended and what to call next.

    Use it instead of calling get_job_status again and again. done false: the time is up and the job goes on;
    call again, do not resubmit. seconds_left is an estimate. Stopping the wait does not cancel the job.
    """
    answer = await wait(app_of(ctx).client, job_id, timeout_seconds, notifier(ctx))
    return reply(answer, text.wait(answer), [answer.uri])
