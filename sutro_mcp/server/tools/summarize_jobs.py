"""Count jobs and add up what they cost."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.api import Job, Status
from sutro_mcp.errors import counted
from sutro_mcp.server.answers import MODEL_CHARS, Answer, ToolAnswer, UntrustedText, brief, iso
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.text_format import fenced, records

from .job_search import PAST_RUN, job_filter, undated_jobs
from .params import After, Before, Model, Search, Statuses
from .tool import reply, tool

GroupBy = Literal["status", "model", "day", "priority"]

# A hundred requests at most; an account with more jobs is summarised by dates.
_MOST_JOBS = 10_000
_MOST_GROUPS = 40


class JobGroup(Answer):
    """Sums over the jobs of one group. Tokens and cost cover the jobs that report them."""

    group: UntrustedText
    jobs: int
    rows: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    jobs_with_cost: int
    failed: int

    @classmethod
    def of(cls, group: str, jobs: Iterable[Job]) -> "JobGroup":
        members = list(jobs)
        costs = [job.job_cost for job in members if job.job_cost is not None]
        return cls(
            group=brief(group, MODEL_CHARS),
            jobs=len(members),
            rows=sum(job.num_rows or 0 for job in members),
            input_tokens=sum(job.input_tokens or 0 for job in members),
            output_tokens=sum(job.output_tokens or 0 for job in members),
            cost_usd=round(sum(costs), 6) if costs else None,
            jobs_with_cost=len(costs),
            failed=sum(job.status is Status.FAILED for job in members),
        )


class JobsSummary(ToolAnswer):
    """Jobs counted and summed by group."""

    group_by: str
    complete: Annotated[bool, Field(description="False: there are older jobs that were not looked at")]
    looked_at: int
    undated: Annotated[int | None, Field(description="Left out: no creation time to filter by")] = None
    oldest: str | None = None
    newest: str | None = None
    total: JobGroup
    groups: list[JobGroup]
    groups_left_out: int | None = None


@tool("Summarise jobs")
async def summarize_jobs(
    ctx: Ctx,
    group_by: Annotated[GroupBy, Field(description="What to group by (default status)")] = "status",
    status: Statuses = [],  # noqa: B006 - never mutated; a tuple would change the published schema
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
        if looked_at == _MOST_JOBS:
            complete = False
            break
        looked_at += 1
        undated += wanted.cannot_judge(job)
        if wanted.wants(job):
            groups[_group(job, group_by)].append(job)
    jobs = [job for members in groups.values() for job in members]
    times = sorted(job.datetime_created for job in jobs if job.datetime_created)
    if group_by == "day":
        ranked = sorted(groups.items(), reverse=True)
    else:
        ranked = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    answer = JobsSummary(
        group_by=group_by,
        complete=complete,
        looked_at=looked_at,
        undated=undated or None,
        oldest=iso(times[0]) if times else None,
        newest=iso(times[-1]) if times else None,
        total=JobGroup.of("total", jobs),
        groups=[JobGroup.of(name, members) for name, members in ranked[:_MOST_GROUPS]],
        groups_left_out=max(len(ranked) - _MOST_GROUPS, 0) or None,
    )
    return reply(answer, _text(answer))


def _group(job: Job, group_by: GroupBy) -> str:
    group = {
        "status": job.status.value,
        "model": job.model,
        "day": job.datetime_created and job.datetime_created.date().isoformat(),
        "priority": None if job.job_priority is None else str(job.job_priority),
    }[group_by]
    return group or "unknown"


def _text(answer: JobsSummary) -> str:
    """The groups as a table, with the total in its last line."""
    total = answer.total
    head = f"{counted(total.jobs, 'job')} by {answer.group_by}; {answer.looked_at:,} looked at."
    head += undated_jobs(answer.undated)
    if answer.oldest:
        head += f" From {answer.oldest} to {answer.newest}."
    if not answer.complete:
        head += " Incomplete: older jobs were not looked at; narrow the dates to see them."
    if left_out := answer.groups_left_out:
        head += f" {counted(left_out, 'smaller group')} {'is' if left_out == 1 else 'are'} only in the total."
    if total.jobs_with_cost < total.jobs:
        head += f" Cost is known for {total.jobs_with_cost:,} of the jobs."
    return f"{head}\n{fenced(records([*answer.groups, total]))}"
