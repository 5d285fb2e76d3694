"""Find jobs."""

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sutro_mcp.api import Job, Status
from sutro_mcp.errors import counted
from sutro_mcp.job_list.job_search import Found, JobFilter, Sort, find_jobs, job_filter, undated_jobs
from sutro_mcp.server.answers import (
    FAILURE_CHARS,
    MODEL_CHARS,
    NAME_CHARS,
    NO_COST,
    NO_REASON,
    Answer,
    RowsDone,
    Table,
    ToolAnswer,
    UntrustedText,
    brief,
    minute,
    notice_for,
    seconds,
)
from sutro_mcp.server.context import AppContext, Ctx, app_of
from sutro_mcp.server.text_answers import fenced, records
from sutro_mcp.untrusted_text import visible

from .offered_tool import reply, tool
from .params import After, Before, Model, Search, Statuses, Unnamed

_ORDER = {
    "created": "newest first",
    "runtime": "longest run time first, unknown last",
    "cost": "dearest first, unknown last",
    "rows": "most rows first, unknown last",
}


class JobRow(Answer):
    """A job in a list. What few jobs have comes last, where a row may end without it."""

    job_id: UntrustedText
    name: UntrustedText | None = None
    model: UntrustedText | None = None
    created: str | None = None
    num_rows: int | None = None
    runtime_seconds: int | None = None
    cost_usd: float | None = None
    status: str | None
    done: int | None = None
    failure: UntrustedText | None = None
    estimate: float | None = None

    @classmethod
    def of(cls, job: Job, progress: RowsDone | None) -> "JobRow":
        reason = NO_REASON if job.status is Status.FAILED else None
        return cls(
            job_id=brief(job.job_id, 128),
            name=brief(job.name, NAME_CHARS),
            model=brief(job.model, MODEL_CHARS),
            created=minute(job.datetime_created),
            num_rows=job.num_rows,
            runtime_seconds=seconds(job.datetime_started, job.datetime_completed),
            cost_usd=job.job_cost,
            status=None if job.status is Status.SUCCEEDED else job.status.value,
            done=progress and progress.rows_done,
            failure=brief(job.failure_reason.message, FAILURE_CHARS) if job.failure_reason else reason,
            estimate=job.cost_estimate if job.is_cost_estimate else None,
        )


class JobList(ToolAnswer):
    """A page of jobs."""

    total: Annotated[int | None, Field(description="Matches in all, if known")] = None
    looked_at: Annotated[int | None, Field(description="If not total")] = None
    next_cursor: str | None = None
    undated: Annotated[int | None, Field(description="Left out: no creation time")] = None
    shortened: str | None = None
    jobs: Annotated[Table, Field(description="runtime_seconds: without queueing")]

    @classmethod
    def of(cls, found: Found, progress: dict[str, RowsDone]) -> "JobList":
        rows = [JobRow.of(job, progress.get(job.job_id)) for job in found.jobs]
        return cls(
            notice=notice_for(rows or None),
            total=found.total,
            looked_at=None if found.looked_at == found.total else found.looked_at,
            next_cursor=found.next_cursor,
            undated=found.undated or None,
            shortened=_shortened(found.jobs, rows),
            jobs=_table(rows),
        )


@tool("List jobs")
async def list_jobs(
    ctx: Ctx,
    status: Statuses = [],  # noqa: B006 - never mutated; a tuple would change the published schema
    model: Model = "",
    search: Search = "",
    unnamed: Unnamed = False,
    created_after: After = "",
    created_before: Before = "",
    sort: Annotated[Sort, Field(description="Newest (default) or largest first")] = "created",
    limit: Annotated[int, Field(description="Default 20", ge=1, le=100)] = 20,
    cursor: Annotated[str, Field(description="next_cursor of the last answer", max_length=4000)] = "",
) -> Annotated[CallToolResult, JobList]:
    """Find Sutro batch-inference jobs: status, rows done, run time (without queueing), cost, failure.

    For job ids, or by sort for the longest, dearest or largest job; for counts and spend use summarize_jobs.
    Filters combine; next_cursor needs the same ones. One call looks at the newest 2,000 jobs.
    """
    wanted, binding = job_filter(status, model, search, created_after, created_before, unnamed=unnamed)
    answer = await listed(app_of(ctx), wanted, limit, cursor, binding, sort)
    return reply(answer, _text(answer, sort))


async def listed(
    app: AppContext, wanted: JobFilter, limit: int, cursor: str, binding: str, sort: Sort = "created"
) -> JobList:
    """Jobs as `find_jobs` finds them, with the rows that running ones have done."""
    found = await find_jobs(app.client, wanted, limit, cursor, binding, sort)
    return JobList.of(found, await app.running.rows_done(found.jobs))


def _table(rows: list[JobRow]) -> Table:
    """What most rows would repeat stands in the name of its column: year and month, that a job succeeded."""
    labels = {"created": "created (UTC)", "status": "status (blank: SUCCEEDED)"} if rows else {}
    stamps = [row.created for row in rows if row.created]
    for length, rest in ((8, "dd"), (5, "mm-dd")):
        if len(stamps) > 1 and len({stamp[:length] for stamp in stamps}) == 1:
            labels["created"] = f"created ({stamps[0][:length]}{rest} UTC)"
            rows = [row.model_copy(update={"created": row.created and row.created[length:]}) for row in rows]
            break
    return Table.of(rows, labels)


def _shortened(jobs: list[Job], rows: list[JobRow]) -> str | None:
    cut = {
        name: any(
            whole and visible(whole) != getattr(row, name) for whole, row in zip(texts, rows, strict=True)
        )
        for name, texts in {
            "name": [job.name for job in jobs],
            "model": [job.model for job in jobs],
            "failure": [job.failure_reason and job.failure_reason.message for job in jobs],
        }.items()
    }
    names = " and ".join(name for name, was_cut in cut.items() if was_cut)
    return f"{names} where it ends in …; get_job has more" if names else None


def _text(answer: JobList, sort: Sort) -> str:
    shown = len(answer.jobs.rows)
    many = answer.total if answer.total is not None and answer.total > shown else shown
    head = f"{f'{shown:,} of ' if many > shown else ''}{counted(many, 'job')}, {_ORDER[sort]}."
    if answer.looked_at is not None:
        head += f" {answer.looked_at:,} looked at."
    head += undated_jobs(answer.undated)
    if answer.next_cursor:
        head += f' The rest: repeat the call with the same filters and cursor="{answer.next_cursor}".'
    if not shown:
        return head if answer.next_cursor else head + " None matches."
    head += " Times to the minute; blank is unknown. Run time is without queueing."
    if "done" in answer.jobs.columns:
        head += f" done: rows done so far. {NO_COST['not_ended']}"
    if "estimate" in answer.jobs.columns:
        head += " A job with an estimate (USD) is a cost estimate: it has no results."
    if answer.shortened:
        head += f" Shortened: {answer.shortened}."
    return f"{head}\n{fenced(records(answer.jobs))}"
