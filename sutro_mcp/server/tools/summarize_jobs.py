"""Count jobs and add up what they cost."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.errors import counted
from sutro_mcp.job_list.job_search import job_filter, undated_jobs
from sutro_mcp.job_list.job_totals import GroupBy, JobSums, add_up
from sutro_mcp.server.answers import (
    MODEL_CHARS,
    Answer,
    Table,
    ToolAnswer,
    UntrustedText,
    brief,
    minute,
    notice_for,
)
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.text_answers import fenced, records

from .offered_tool import reply, tool
from .params import After, Before, Model, Search, Statuses

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
    def of(cls, sums: JobSums) -> "JobGroup":
        told = {"group": brief(sums.group, MODEL_CHARS), "no_cost": sums.no_cost or None}
        return cls.model_validate(vars(sums) | told)


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
    found = await add_up(app_of(ctx).client, wanted, group_by)
    answer = JobsSummary(
        notice=notice_for(found.groups or None),
        incomplete=None if found.is_complete else True,
        looked_at=None if found.looked_at == found.total.jobs else found.looked_at,
        undated=found.undated or None,
        oldest=minute(found.oldest),
        newest=minute(found.newest),
        no_cost=found.no_cost or None,
        # Its jobs without a cost are told by reason.
        total=JobGroup.of(found.total).model_copy(update={"no_cost": None}),
        groups=Table.of([JobGroup.of(sums) for sums in found.groups[:_MOST_GROUPS]]),
        groups_left_out=max(len(found.groups) - _MOST_GROUPS, 0) or None,
    )
    return reply(answer, _text(answer, group_by))


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
