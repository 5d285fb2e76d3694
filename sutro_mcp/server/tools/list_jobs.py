"""Find jobs."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.api import Job
from sutro_mcp.errors import counted
from sutro_mcp.server.answers import (
    FAILURE_CHARS,
    MODEL_CHARS,
    NAME_CHARS,
    Answer,
    ToolAnswer,
    UntrustedText,
    brief,
    iso,
    seconds,
)
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.text_format import fenced, records

from .job_search import Found, find_jobs, job_filter, undated_jobs
from .params import After, Before, Model, Search, Statuses
from .tool import reply, tool


class JobRow(Answer):
    """A job in a list."""

    job_id: UntrustedText
    name: UntrustedText | None = None
    status: str
    model: UntrustedText | None = None
    created: str | None = None
    runtime_seconds: int | None = None
    num_rows: int | None = None
    cost_usd: float | None = None
    failure: UntrustedText | None = None

    @classmethod
    def of(cls, job: Job) -> "JobRow":
        return cls(
            job_id=brief(job.job_id, 128),
            name=brief(job.name, NAME_CHARS),
            status=job.status.value,
            model=brief(job.model, MODEL_CHARS),
            created=iso(job.datetime_created),
            runtime_seconds=seconds(job.datetime_started, job.datetime_completed),
            num_rows=job.num_rows,
            cost_usd=job.job_cost,
            failure=brief(job.failure_reason.message, FAILURE_CHARS) if job.failure_reason else None,
        )


class JobList(ToolAnswer):
    """A page of jobs, newest first."""

    looked_at: Annotated[int, Field(description="Jobs examined to find these")]
    next_cursor: Annotated[str | None, Field(description="Pass as cursor for older jobs")] = None
    undated: Annotated[int | None, Field(description="Left out: no creation time to filter by")] = None
    jobs: list[JobRow]

    @classmethod
    def of(cls, found: Found) -> "JobList":
        rows = [JobRow.of(job) for job in found.jobs]
        return cls(
            looked_at=found.looked_at, next_cursor=found.next_cursor, undated=found.undated or None, jobs=rows
        )


@tool("List jobs")
async def list_jobs(
    ctx: Ctx,
    status: Statuses = [],  # noqa: B006 - never mutated; a tuple would change the published schema
    model: Model = "",
    search: Search = "",
    created_after: After = "",
    created_before: Before = "",
    limit: Annotated[int, Field(description="Jobs to return (default 20)", ge=1, le=100)] = 20,
    cursor: Annotated[str, Field(description="next_cursor of the previous answer", max_length=4000)] = "",
) -> Annotated[CallToolResult, JobList]:
    """Find Sutro batch-inference jobs, newest first, with status, size, run time and cost.

    Use it to get job ids. For counts and spend over many jobs use summarize_jobs.
    Filters combine; next_cursor continues with the same filters.
    """
    wanted, binding = job_filter(status, model, search, created_after, created_before)
    answer = JobList.of(await find_jobs(app_of(ctx).client, wanted, limit, cursor, binding))
    return reply(answer, _text(answer))


def _text(answer: JobList) -> str:
    head = f"{counted(len(answer.jobs), 'job')}, newest first; {answer.looked_at:,} looked at."
    head += undated_jobs(answer.undated)
    if answer.next_cursor:
        head += f' Older ones: repeat the call with cursor="{answer.next_cursor}".'
    elif not answer.jobs:
        head += " None matches."
    return f"{head}\n{fenced(records(answer.jobs))}" if answer.jobs else head
