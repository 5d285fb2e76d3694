"""Find jobs and follow them."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.api import Job
from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.server import text_format as text
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.job_outputs import JobDetails, JobGroup, JobList, JobsSummary, StatusAnswer, iso
from sutro_mcp.server.tools.job_search import PAST_RUN, JobFilter, find_jobs
from sutro_mcp.server.tools.params import After, Before, JobId, Model, Search, Statuses, parse_time
from sutro_mcp.server.tools.tool import read_tool, reply

GroupBy = Literal["status", "model", "day", "priority"]

# A hundred requests at most; an account with more jobs is summarised by dates.
_SUMMARY_JOBS = 10_000
_SUMMARY_GROUPS = 40


def job_filter(
    status: Sequence[str],
    model: str = "",
    search: str = "",
    created_after: str = "",
    created_before: str = "",
) -> tuple[JobFilter, str]:
    """The filter, and the same as written, to bind a cursor to."""
    after = parse_time("created_after", created_after)
    before = parse_time("created_before", created_before)
    if after and before and after >= before:
        raise InvalidArgumentError(
            "filter by these times", "created_after is not before created_before", "Swap or widen them"
        )
    wanted = JobFilter(tuple(status), model, search, after, before)
    return wanted, json.dumps([sorted(status), model, search, created_after, created_before])


@read_tool("List jobs")
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
    found = await find_jobs(app_of(ctx).client, wanted, limit, cursor, binding)
    answer = JobList.of(found)
    return reply(answer, text.job_list(answer))


@read_tool("Summarise jobs")
async def summarize_jobs(
    ctx: Ctx,
    group_by: Annotated[GroupBy, Field(description="What to group by (default status)")] = "status",
    status: Statuses = [],  # noqa: B006
    model: Model = "",
    search: Search = "",
    created_after: After = "",
    created_before: Before = "",
) -> Annotated[CallToolResult, JobsSummary]:
    """Count jobs and add up rows, tokens, cost (USD) and failures, per group and in total.

    Use it for questions like "what did we spend this week" or "how many jobs failed". Looks at the newest
    10,000 jobs that the dates allow, and says so when there are more.
    """
    wanted, _ = job_filter(status, model, search, created_after, created_before)
    groups: defaultdict[str, list[Job]] = defaultdict(list)
    looked_at, undated, past, complete = 0, 0, 0, True
    async for job in app_of(ctx).client.iter_jobs():
        past = past + 1 if wanted.is_past(job) else 0
        if past == PAST_RUN:
            break
        if looked_at == _SUMMARY_JOBS:
            complete = False
            break
        looked_at += 1
        undated += wanted.cannot_judge(job)
        if wanted.wants(job):
            groups[_group(job, group_by)].append(job)
    jobs = [job for members in groups.values() for job in members]
    times = sorted(job.datetime_created for job in jobs if job.datetime_created)
    ranked = sorted(
        groups.items(), key=lambda group: (group[0],) if group_by == "day" else (-len(group[1]), group[0])
    )
    if group_by == "day":
        ranked.reverse()
    answer = JobsSummary(
        group_by=group_by,
        complete=complete,
        looked_at=looked_at,
        undated=undated or None,
        oldest=iso(times[0]) if times else None,
        newest=iso(times[-1]) if times else None,
        total=JobGroup.of("total", jobs),
        groups=[JobGroup.of(name, members) for name, members in ranked[:_SUMMARY_GROUPS]],
        groups_left_out=max(len(ranked) - _SUMMARY_GROUPS, 0) or None,
    )
    return reply(answer, text.jobs_summary(answer))


def _group(job: Job, group_by: GroupBy) -> str:
    group = {
        "status": job.status.value,
        "model": job.model,
        "day": job.datetime_created and job.datetime_created.date().isoformat(),
        "priority": None if job.job_priority is None else str(job.job_priority),
    }[group_by]
    return group or "unknown"


@read_tool("Get a job")
async def get_job(
    ctx: Ctx,
    job_id: JobId,
    full: Annotated[bool, Field(description="Long prompt and schema uncut (default false)")] = False,
) -> Annotated[CallToolResult, JobDetails]:
    """Show everything known of one job: settings, times, rows, tokens, cost, failure, resource URIs.

    For the state alone use get_job_status. For what the model answered use get_job_results.
    """
    job = await app_of(ctx).client.get_job(job_id)
    answer = JobDetails.of(job, full=full)
    useful = ["job", *([] if job.status.is_terminal else ["status"])]
    useful += ["summary", "results"] if answer.results_available else []
    uris = [uri for name, uri in answer.uris.model_dump().items() if name in useful]
    return reply(answer, text.job_details(answer), uris)


@read_tool("Get a job's status")
async def get_job_status(ctx: Ctx, job_id: JobId) -> Annotated[CallToolResult, StatusAnswer]:
    """Say where one job stands, whether that is final, why it failed, and what to call next.

    The cheapest way to check on a job; do not call it in a tight loop.
    """
    answer = StatusAnswer.of(await app_of(ctx).client.get_job_status(job_id))
    return reply(answer, text.status(answer), [answer.uri])
