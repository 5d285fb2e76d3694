"""Say where one job stands."""

import re
from contextlib import suppress
from typing import Annotated

from mcp.types import CallToolResult

from sutro_mcp.api import Job, JobStatus, Status
from sutro_mcp.errors import SutroError
from sutro_mcp.server.answers import (
    FailureInfo,
    ProgressAnswer,
    RowsDone,
    UntrustedText,
    brief,
    failure_facts,
    figures_of,
    notice_for,
)
from sutro_mcp.server.context import AppContext, Ctx, app_of
from sutro_mcp.server.live.running_jobs import MOVING
from sutro_mcp.server.text_answers import facts, fenced
from sutro_mcp.server.uris import uri_to_follow

from .offered_tool import reply, tool
from .params import JobId

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


class StatusAnswer(ProgressAnswer):
    """Where a job stands."""

    status: str
    is_terminal: bool
    message: UntrustedText | None = None
    failure: FailureInfo | None = None
    next: str
    uri: str

    @classmethod
    def of(
        cls, status: JobStatus, job: Job | None = None, progress: RowsDone | None = None
    ) -> "StatusAnswer":
        """`job` and `progress` are known of a running job."""
        message = None if _BOILERPLATE.match(status.message or "") else brief(status.message, 300)
        failure = FailureInfo.of(status.failure, status.status)
        return cls(
            notice=notice_for(message, failure),
            status=status.status.value,
            is_terminal=status.status.is_terminal,
            message=message,
            failure=failure,
            next=NEXT[status.status],
            uri=uri_to_follow(status.job_id, status.status),
            **figures_of(job, progress),
        )


@tool("Get a job's status")
async def get_job_status(ctx: Ctx, job_id: JobId) -> Annotated[CallToolResult, StatusAnswer]:
    """Say where one job stands: its state, whether that is final, how far it is, why it failed.

    For settings and cost use get_job; to follow a job wait_for_job, not this in a loop.
    """
    answer = await status_of(app_of(ctx), job_id)
    return reply(answer, _text(job_id, answer))


async def status_of(app: AppContext, job_id: str) -> StatusAnswer:
    """Where a job stands, and how far it is if it runs: then in three requests."""
    status = await app.client.get_job_status(job_id)
    job = progress = None
    if status.status in MOVING:
        with suppress(SutroError):
            job = await app.client.get_job(job_id)
            progress = await app.running.of(job)
    return StatusAnswer.of(status, job, progress)


def _text(job_id: str, answer: StatusAnswer) -> str:
    head = f"{job_id} is {answer.status}{' (final)' if answer.is_terminal else ''}. {answer.next}"
    if about := answer.progress():
        head += f"\n{about}"
    head += f"\n{facts([('read or watch', answer.uri)])}"
    quoted = facts([("message", answer.message), *failure_facts(answer.failure)])
    return f"{head}\n{fenced(quoted)}" if quoted else head
