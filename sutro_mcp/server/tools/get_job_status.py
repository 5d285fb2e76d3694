"""Say where one job stands."""

import re
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.api import JobStatus, Status
from sutro_mcp.server.answers import FailureInfo, ToolAnswer, UntrustedText, brief, failure_facts
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.text_format import facts, fenced
from sutro_mcp.server.uris import uri_to_follow

from .params import JobId
from .tool import reply, tool

# What deployments say of every job: it tells a reader nothing.
_BOILERPLATE = re.compile(r"Job status with job_id \S+ retrieved\.?$")
NEXT = {
    Status.QUEUED: "Call wait_for_job; the job has not started.",
    Status.STARTING: "Call wait_for_job; the job is starting.",
    Status.RUNNING: "Call wait_for_job; results exist only after SUCCEEDED.",
    Status.CANCELLING: "Call wait_for_job; cancellation was asked for but is not done.",
    Status.UNKNOWN: "Call wait_for_job; the deployment cannot tell at present.",
    Status.SUCCEEDED: "Call get_job_results.",
    Status.FAILED: "Call get_job for the settings it ran with; a failed job has no results.",
    Status.CANCELLED: "Nothing to do; a cancelled job has no results.",
}


class StatusAnswer(ToolAnswer):
    """Where a job stands."""

    job_id: str
    status: str
    is_terminal: Annotated[bool, Field(description="Whether the job can no longer change")]
    message: UntrustedText | None = None
    failure: FailureInfo | None = None
    next: Annotated[str, Field(description="What to call next")]
    uri: Annotated[str, Field(description="The resource to read or watch next")]

    @classmethod
    def of(cls, status: JobStatus) -> "StatusAnswer":
        return cls(
            job_id=status.job_id,
            status=status.status.value,
            is_terminal=status.status.is_terminal,
            message=None if _BOILERPLATE.match(status.message or "") else brief(status.message, 300),
            failure=FailureInfo.of(status.failure),
            next=NEXT[status.status],
            uri=uri_to_follow(status.job_id, status.status),
        )


@tool("Get a job's status")
async def get_job_status(ctx: Ctx, job_id: JobId) -> Annotated[CallToolResult, StatusAnswer]:
    """Say where one job stands, whether that is final, why it failed, and what to call next.

    The cheapest way to check on a job; do not call it in a tight loop.
    """
    answer = StatusAnswer.of(await app_of(ctx).client.get_job_status(job_id))
    return reply(answer, _text(answer))


def _text(answer: StatusAnswer) -> str:
    head = f"{answer.job_id} is {answer.status}{' (final)' if answer.is_terminal else ''}. {answer.next}"
    head += f"\n{facts([('uri', answer.uri)])}"
    quoted = facts([("message", answer.message), *failure_facts(answer.failure)])
    return f"{head}\n{fenced(quoted)}" if quoted else head
