"""Count jobs and add up what they cost."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.api import Job, Status
from sutro_mcp.errors import counted
from sutro_mcp.server.answers import (
    MODEL_CHARS,
    Answer,
    Table,
    ToolAnswer,
    UntrustedText,
    brief,
    lacks_cost,
    minute,
    notice_for,
    tokens,
)
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.text_answers import fenced, records

from .job_search import PAST_RUN, job_filter, undated_jobs
from .offered_tool import reply, tool
from .params import After, Before, Model, Search, Statuses

T = TypeVar("T", int, float)
GroupBy = Literal["status", "model", "day", "priority"]

# A hundred requests at most; an account with more jobs is summarised by dates.
MOST_JOBS = 10_000
_MOST_GROUPS = 40
_REASONS: dict[str, str] = {
    "not_ended": "not ended (Sutro tells the cost when a job has ended)",
    "cost_estimate": "cost estimates, which are free",
    "never_ran": "that never ran",
    "not_given": "whose cost Sutro does not give",
    "unreadable": "whose cost cannot be read",
}


class JobGroup(Answer):
    """Sums over the jobs of one group, as far as the jobs report them."""

    group: UntrustedText | None = None
    jobs: int
    failed: int
    rows: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    no_cost: int | None = None

    @classmethod
    def of(cls, group: str | None, jobs: Iterable[Job]) -> "JobGroup":
        members = list(jobs)
        counts = [tokens(job) for job in members]
        cost = _sum(job.job_cost for job in members)
        return cls(
            group=brief(group, MODEL_CHARS),
            jobs=len(members),
            failed=sum(job.status is Status.FAILED for job in members),
            rows=_sum(job.num_rows for job in members),
            input_tokens=_sum(given for given, _ in counts),
            output_tokens=_sum(written for _, written in counts),
            cost_usd=cost if cost is None else round(cost, 6),
            no_cost=sum(lacks_cost(job) is not None for job in members) or None,
        )


class JobsSummary(ToolAnswer):
    """Jobs counted and summed by group."""

    incomplete: Annotated[bool | None, Field(description="There are older jobs that were not looked at")] = (
        None
    )
    looked_at: Annotated[int | None, Field(description="Jobs examined, if not those of total")] = None
    undated: Annotated[int | None, Field(description="Left out: no creation time")] = None
    oldest: str | None = None
    newest: str | None = None
    no_cost: Annotated[dict[str, int] | None, Field(description="Jobs without a cost, by reason")] = None
    total: JobGroup
    groups: Table
    groups_left_out: int | None = None


@tool("Summarise jobs")
async def summarize_jobs(
    ctx: Ctx,
    group_by: Annotated[GroupBy, Field(description="Default status")] = "status",
    status: Statuses = [],  # noqa: B006 - never mutated; a tuple would change the published schema
    model: Model = "",
    search: Search = "",
    created_after: After = "",
    created_before: Before = "",
) -> Annotated[CallToolResult, JobsSummary]:
    """Count jobs and add up rows, tokens, cost (USD) and failures, per group and in total.

    For spend over a time; for single jobs use list_jobs. Says how many jobs have no cost, and
    why. Looks at the newest 10,000 jobs that the dates allow.
    """
    wanted, _ = job_filter(status, model, search, created_after, created_before)
    groups: defaultdict[str, list[Job]] = defaultdict(list)
    looked_at, undated, past, complete = 0, 0, 0, True
    async for job in app_of(ctx).client.iter_jobs():
        past = past + 1 if wanted.is_past(job) else 0
        if past == PAST_RUN:
            break
        if looked_at == MOST_JOBS:
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
        notice=notice_for(jobs or None),
        incomplete=None if complete else True,
        looked_at=None if looked_at == len(jobs) else looked_at,
        undated=undated or None,
        oldest=minute(times[0]) if times else None,
        newest=minute(times[-1]) if times else None,
        no_cost=Counter[str](reason for job in jobs if (reason := lacks_cost(job))) or None,
        # Its jobs without a cost are told by reason.
        total=JobGroup.of(None, jobs).model_copy(update={"no_cost": None}),
        groups=Table.of([JobGroup.of(name, members) for name, members in ranked[:_MOST_GROUPS]]),
        groups_left_out=max(len(ranked) - _MOST_GROUPS, 0) or None,
    )
    return reply(answer, _text(answer, group_by))


def _group(job: Job, group_by: GroupBy) -> str:
    group = {
        "status": job.status.value,
        "model": job.model,
        "day": job.datetime_created and job.datetime_created.date().isoformat(),
        "priority": None if job.job_priority is None else str(job.job_priority),
    }[group_by]
    return group or "unknown"


def _sum(figures: Iterable[T | None]) -> T | None:
    """The sum of those that are known; None if none is."""
    known = [figure for figure in figures if figure is not None]
    return sum(known[1:], known[0]) if known else None


def _text(answer: JobsSummary, group_by: GroupBy) -> str:
    """The groups as a table, with the total in its last line."""
    total = answer.total
    head = f"{counted(total.jobs, 'job')} by {group_by}."
    if answer.looked_at is not None:
        head += f" {answer.looked_at:,} looked at."
    head += undated_jobs(answer.undated)
    if answer.oldest:
        head += f" From {answer.oldest} to {answer.newest} (UTC)."
    if answer.incomplete:
        head += " Incomplete: older jobs were not looked at; narrow the dates to see them."
    if left_out := answer.groups_left_out:
        head += f" {counted(left_out, 'smaller group')} {'is' if left_out == 1 else 'are'} only in the total."
    if answer.no_cost:
        reasons = ", ".join(f"{count:,} {_REASONS[reason]}" for reason, count in answer.no_cost.items())
        head += f" Jobs without a cost: {reasons}."
    head += " Rows, tokens and cost are sums over the jobs that report them; blank is unknown."
    if not total.jobs:
        return f"{head} None matches."
    columns = answer.groups.columns
    sums = {**dict(total), "group": "total", "no_cost": sum((answer.no_cost or {}).values()) or None}
    last = [sums[name] for name in columns]
    return f"{head}\n{fenced(records(Table(columns=columns, rows=[*answer.groups.rows, last])))}"
