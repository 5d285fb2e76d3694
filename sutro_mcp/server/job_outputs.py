"""The answers about jobs, mapped field by field from what the API says."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, overload

from pydantic import Field
from pydantic_core import to_json

from sutro_mcp.api import Failure, Job, JobStatus, Status
from sutro_mcp.untrusted import NOTICE, shorten, visible

from .answers import Answer, Notice, UntrustedText

if TYPE_CHECKING:
    from .tools.job_search import Found

# What deployments say of every job: it tells a reader nothing.
_BOILERPLATE = re.compile(r"Job status with job_id \S+ retrieved\.?$")
# Characters of a text in the default answer, which stays under 10,000 in all.
_PROMPT_CHARS = 600
_SCHEMA_CHARS = 1_200
_FAILURE_CHARS = 90
_NAME_CHARS = 70
_MODEL_CHARS = 50
# Characters of JSON text in a full answer, which stays under 60,000 in all.
_FULL_PROMPT_CHARS = 30_000
_FULL_SCHEMA_CHARS = 18_000


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
            name=brief(job.name, _NAME_CHARS),
            status=job.status.value,
            model=brief(job.model, _MODEL_CHARS),
            created=iso(job.datetime_created),
            runtime_seconds=seconds(job.datetime_started, job.datetime_completed),
            num_rows=job.num_rows,
            cost_usd=job.job_cost,
            failure=brief(job.failure_reason.message, _FAILURE_CHARS) if job.failure_reason else None,
        )


class JobList(Answer):
    """A page of jobs, newest first."""

    notice: Notice = NOTICE
    looked_at: Annotated[int, Field(description="Jobs examined to find these")]
    next_cursor: Annotated[str | None, Field(description="Pass as cursor for older jobs")] = None
    undated: Annotated[int | None, Field(description="Left out: no creation time to filter by")] = None
    jobs: list[JobRow]

    @classmethod
    def of(cls, found: "Found") -> "JobList":
        rows = [JobRow.of(job) for job in found.jobs]
        return cls(
            looked_at=found.looked_at, next_cursor=found.next_cursor, undated=found.undated or None, jobs=rows
        )


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
            group=brief(group, _MODEL_CHARS),
            jobs=len(members),
            rows=sum(job.num_rows or 0 for job in members),
            input_tokens=sum(job.input_tokens or 0 for job in members),
            output_tokens=sum(job.output_tokens or 0 for job in members),
            cost_usd=round(sum(costs), 6) if costs else None,
            jobs_with_cost=len(costs),
            failed=sum(job.status is Status.FAILED for job in members),
        )


class JobsSummary(Answer):
    """Jobs counted and summed by group."""

    notice: Notice = NOTICE
    group_by: str
    complete: Annotated[bool, Field(description="False: there are older jobs that were not looked at")]
    looked_at: int
    undated: Annotated[int | None, Field(description="Left out: no creation time to filter by")] = None
    oldest: str | None = None
    newest: str | None = None
    total: JobGroup
    groups: list[JobGroup]
    groups_left_out: int | None = None


class FailureInfo(Answer):
    """Why a job failed."""

    message: UntrustedText
    additional_context: UntrustedText | None = None


class JobUris(Answer):
    """The same job as resources."""

    job: str
    status: str
    results: str
    summary: str

    @classmethod
    def of(cls, job_id: str) -> "JobUris":
        base = f"sutro://jobs/{job_id}"
        return cls(
            job=base, status=f"{base}/status", results=f"{base}/results", summary=f"{base}/results/summary"
        )


def uri_to_follow(job_id: str, status: Status) -> str:
    """What a host can attach of a job in this state: its results, why it has none, or its status to watch."""
    uris = JobUris.of(job_id)
    if status is Status.SUCCEEDED:
        return uris.summary
    return uris.job if status.is_terminal else uris.status


class JobDetails(Answer):
    """Everything the deployment says of one job."""

    notice: Notice = NOTICE
    job_id: str
    name: UntrustedText | None = None
    description: UntrustedText | None = None
    status: str
    results_available: Annotated[bool, Field(description="Whether get_job_results can be expected to work")]
    model: UntrustedText | None = None
    job_priority: int | None = None
    run_type: UntrustedText | None = None
    created: str | None = None
    started: str | None = None
    completed: str | None = None
    queue_seconds: int | None = None
    run_seconds: int | None = None
    num_rows: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    cost_estimate_usd: float | None = None
    failure: FailureInfo | None = None
    sampling_params: Annotated[UntrustedText | None, Field(description="As JSON text")] = None
    json_schema: Annotated[UntrustedText | None, Field(description="As JSON text")] = None
    dataset_id: UntrustedText | None = None
    system_prompt: UntrustedText | None = None
    shortened: str | None = None
    uris: JobUris

    @classmethod
    def of(cls, job: Job, *, full: bool) -> "JobDetails":
        prompt, prompt_cut = _fit(job.system_prompt, _FULL_PROMPT_CHARS if full else _PROMPT_CHARS)
        schema, schema_cut = _fit(_json(job.json_schema), _FULL_SCHEMA_CHARS if full else _SCHEMA_CHARS)
        cut = [name for name, was in (("system_prompt", prompt_cut), ("json_schema", schema_cut)) if was]
        more = "" if full else "; full=true shows more"
        return cls(
            job_id=job.job_id,
            name=brief(job.name, _PROMPT_CHARS),
            description=brief(job.description, _PROMPT_CHARS),
            status=job.status.value,
            results_available=job.status is Status.SUCCEEDED,
            model=brief(job.model, _PROMPT_CHARS),
            job_priority=job.job_priority,
            run_type=brief(job.run_type, _MODEL_CHARS),
            created=iso(job.datetime_created),
            started=iso(job.datetime_started),
            completed=iso(job.datetime_completed),
            queue_seconds=seconds(job.datetime_created, job.datetime_started),
            run_seconds=seconds(job.datetime_started, job.datetime_completed),
            num_rows=job.num_rows,
            input_tokens=job.input_tokens,
            output_tokens=job.output_tokens,
            cost_usd=job.job_cost,
            cost_estimate_usd=job.cost_estimate,
            failure=_failure(job.failure_reason),
            sampling_params=brief(_json(job.sampling_params), _PROMPT_CHARS),
            json_schema=schema,
            dataset_id=brief(job.dataset_id, _FAILURE_CHARS),
            system_prompt=prompt,
            shortened=f"{' and '.join(cut)} cut{more}" if cut else None,
            uris=JobUris.of(job.job_id),
        )


class StatusAnswer(Answer):
    """Where a job stands."""

    notice: Notice = NOTICE
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
            failure=_failure(status.failure),
            next=_NEXT[status.status],
            uri=uri_to_follow(status.job_id, status.status),
        )


_NEXT = {
    Status.QUEUED: "Call wait_for_job; the job has not started.",
    Status.STARTING: "Call wait_for_job; the job is starting.",
    Status.RUNNING: "Call wait_for_job; results exist only after SUCCEEDED.",
    Status.CANCELLING: "Call wait_for_job; cancellation was asked for but is not done.",
    Status.UNKNOWN: "Call wait_for_job; the deployment cannot tell at present.",
    Status.SUCCEEDED: "Call get_job_results.",
    Status.FAILED: "Call get_job for the settings it ran with; a failed job has no results.",
    Status.CANCELLED: "Nothing to do; a cancelled job has no results.",
}


def _failure(failure: Failure | None) -> FailureInfo | None:
    """Each text cut to a length that fits into any answer."""
    if failure is None:
        return None
    return FailureInfo(
        message=brief(failure.message, 1_000),
        additional_context=brief(failure.additional_context, 1_000),
    )


def iso(moment: datetime | None) -> str | None:
    """UTC to the second: 2026-01-31T12:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def seconds(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds between two moments, if both are known."""
    return round((end - start).total_seconds()) if start and end else None


def _json(value: Any) -> str | None:
    try:
        return None if value is None else to_json(value, inf_nan_mode="strings", fallback=str).decode()
    except ValueError:
        return "(nested too deeply to be shown)"


@overload
def brief(text: str, budget: int) -> str: ...
@overload
def brief(text: str | None, budget: int) -> str | None: ...
def brief(text: str | None, budget: int) -> str | None:
    """`text` within `budget` characters of JSON text."""
    return _fit(text, budget)[0]


def _fit(text: str | None, budget: int) -> tuple[str | None, bool]:
    """`text` cut so that its JSON form, where quotes and line ends are escaped, is within `budget`."""
    if text is None:
        return None, False
    # Made visible first: a spelled-out character is longer than the one it stands for.
    shown = visible(text)
    limit = budget
    brief, cut = shorten(shown, limit)
    while len(to_json(brief).decode()) > budget + 2:
        limit = limit * 9 // 10
        brief, cut = shorten(shown, limit)
    return brief, cut
