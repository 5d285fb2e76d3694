"""Jobs counted, and their rows, tokens and cost added up, as far as they report them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from sutro_mcp.api import Job, Status

from .job_search import PAST_RUN, JobFilter, no_such

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

T = TypeVar("T", int, float)
GroupBy = Literal["status", "model", "day", "priority"]

# A hundred requests at most; an account with more jobs is summarised by dates.
MOST_JOBS = 10_000


@dataclass(frozen=True)
class JobSums:
    """Sums over jobs; None where no job reports the figure. `no_cost` counts those without a cost."""

    group: str | None
    jobs: int
    failed: int
    rows: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    no_cost: int

    @classmethod
    def of(cls, group: str | None, members: Sequence[Job]) -> "JobSums":
        counts = [tokens(job) for job in members]
        cost = _sum(job.job_cost for job in members)
        return cls(
            group=group,
            jobs=len(members),
            failed=sum(job.status is Status.FAILED for job in members),
            rows=_sum(job.num_rows for job in members),
            input_tokens=_sum(given for given, _ in counts),
            output_tokens=_sum(written for _, written in counts),
            cost_usd=cost if cost is None else round(cost, 6),
            no_cost=sum(lacks_cost(job) is not None for job in members),
        )


@dataclass(frozen=True)
class JobTotals:
    """Sums over all jobs that were wanted and over each group, the largest or newest first.

    `is_complete` is false where there are older jobs that were not looked at; `undated` jobs are left out
    because they do not say when they were created; `no_cost` counts jobs without a cost by the reason.
    """

    total: JobSums
    groups: Sequence[JobSums]
    looked_at: int
    is_complete: bool
    undated: int
    oldest: datetime | None
    newest: datetime | None
    no_cost: dict[str, int]


async def add_up(client: "ApiClient", wanted: JobFilter, group_by: GroupBy) -> JobTotals:
    """Look through the newest `MOST_JOBS` jobs that the dates allow, and add up those that are wanted.

    Raises InvalidArgumentError for another `group_by`.
    """
    if group_by not in (known := get_args(GroupBy)):
        raise no_such("summarize jobs", str(group_by), "group_by", known)
    groups: defaultdict[str, list[Job]] = defaultdict(list)
    looked_at, undated, past, complete = 0, 0, 0, True
    async for job in client.iter_jobs():
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
    return JobTotals(
        total=JobSums.of(None, jobs),
        groups=[JobSums.of(name, members) for name, members in ranked],
        looked_at=looked_at,
        is_complete=complete,
        undated=undated,
        oldest=times[0] if times else None,
        newest=times[-1] if times else None,
        no_cost=dict(Counter[str](reason for job in jobs if (reason := lacks_cost(job)))),
    )


def lacks_cost(job: Job) -> str | None:
    """Why `job` has no cost; None if it has one."""
    if job.is_cost_estimate and not job.job_cost:
        return "cost_estimate"
    if job.job_cost is not None:
        return None
    if "job_cost" in job.unreadable:
        return "unreadable"
    if not job.status.is_terminal:
        return "not_ended"
    return "not_given" if job.datetime_started else "never_ran"


def tokens(job: Job) -> tuple[int | None, int | None]:
    """Input and output tokens. A job that has not ended may report 0 for "not counted yet"."""
    known = job.input_tokens, job.output_tokens
    return known if job.status.is_terminal else (known[0] or None, known[1] or None)


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
