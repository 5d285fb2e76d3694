"""Show one job."""

from dataclasses import dataclass
from typing import Annotated, Any, cast

from mcp.types import CallToolResult
from pydantic import Field
from pydantic_core import from_json, to_json

from sutro_mcp.api import Job, Status
from sutro_mcp.job_list.job_totals import tokens
from sutro_mcp.server.answers import (
    FAILURE_CHARS,
    MODEL_CHARS,
    NO_COST,
    FailureInfo,
    ProgressAnswer,
    RowsDone,
    UntrustedText,
    brief,
    failure_facts,
    figures_of,
    iso,
    seconds,
)
from sutro_mcp.server.context import AppContext, Ctx, app_of
from sutro_mcp.server.text_answers import facts, fenced, word
from sutro_mcp.server.uris import JobUris
from sutro_mcp.untrusted_text import visible

from .offered_tool import reply, tool
from .params import JobId

# Characters of JSON text: the default answer stays under 10,000 in all, a full one under 60,000.
_TEXT_CHARS = 600
_SCHEMA_CHARS = 1_200
_FULL_PROMPT_CHARS = 25_000
_FULL_SCHEMA_CHARS = 16_000
# What the API says of a job does not tell.
_EXPECTED = "to be expected; get_job_results reads them (kept 90 days by default)"
_NONE = "none; results exist once a job has SUCCEEDED, unless it ran as a cost estimate"


class JobDetails(ProgressAnswer):
    """Everything the deployment says of one job."""

    job_id: str
    name: UntrustedText | None = None
    description: UntrustedText | None = None
    status: str
    results_available: bool
    model: UntrustedText | None = None
    job_priority: int | None = None
    run_type: UntrustedText | None = None
    is_cost_estimate: bool | None = None
    created: str | None = None
    started: str | None = None
    completed: str | None = None
    queue_seconds: int | None = None
    run_seconds: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_estimate_usd: float | None = None
    not_told: str | None = None
    failure: FailureInfo | None = None
    sampling_params: Annotated[Any, Field(description="JSON; text where cut")] = None
    json_schema: Any = None
    dataset_id: UntrustedText | None = None
    system_prompt: UntrustedText | None = None
    shortened: str | None = None
    uris: JobUris

    @classmethod
    def of(cls, job: Job, progress: RowsDone | None, *, full: bool) -> "JobDetails":
        schema = _Json.of(job.json_schema, _FULL_SCHEMA_CHARS if full else _SCHEMA_CHARS)
        params = _Json.of(job.sampling_params, _TEXT_CHARS)
        prompt = brief(job.system_prompt, _FULL_PROMPT_CHARS if full else _TEXT_CHARS)
        cut = [
            name
            for name, was_cut in (
                ("system_prompt", prompt is not None and prompt != visible(job.system_prompt or "")),
                ("json_schema", schema.was_cut),
                ("sampling_params", params.was_cut),
            )
            if was_cut
        ]
        more = "" if full else "; full=true shows more"
        figures = {"num_rows": job.num_rows, **figures_of(job, progress)}
        counts = dict(zip(("input_tokens", "output_tokens"), tokens(job), strict=True))
        expected = {"num_rows": job.num_rows, **counts}
        return cls(
            job_id=job.job_id,
            name=brief(job.name, _TEXT_CHARS),
            description=brief(job.description, _TEXT_CHARS),
            status=job.status.value,
            results_available=job.status is Status.SUCCEEDED and not job.is_cost_estimate,
            model=brief(job.model, _TEXT_CHARS),
            job_priority=job.job_priority,
            run_type=brief(job.run_type, MODEL_CHARS),
            is_cost_estimate=job.is_cost_estimate or None,
            created=iso(job.datetime_created),
            started=iso(job.datetime_started),
            completed=iso(job.datetime_completed),
            queue_seconds=seconds(job.datetime_created, job.datetime_started),
            run_seconds=seconds(job.datetime_started, job.datetime_completed),
            cost_estimate_usd=job.cost_estimate,
            not_told=", ".join(
                f"{name} (given, but not readable)" if name in job.unreadable else name
                for name, value in expected.items()
                if value is None
            )
            or None,
            failure=FailureInfo.of(job.failure_reason, job.status),
            sampling_params=params.shown,
            json_schema=schema.shown,
            dataset_id=brief(job.dataset_id, FAILURE_CHARS),
            system_prompt=prompt,
            shortened=f"{' and '.join(cut)} cut{more}" if cut else None,
            uris=JobUris.of(job.job_id, job.status),
            **figures,
            **counts,
        )


@tool("Get a job")
async def get_job(
    ctx: Ctx,
    job_id: JobId,
    full: Annotated[bool, Field(description="Long texts uncut (default false)")] = False,
) -> Annotated[CallToolResult, JobDetails]:
    """Show everything known of one job: settings, times, rows, tokens, cost, failure, URIs.

    While it runs: how far it is, but no cost. For the state alone use get_job_status; for what the model
    answered get_job_results.
    """
    answer = await details_of(app_of(ctx), job_id, full=full)
    return reply(answer, _text(answer))


async def details_of(app: AppContext, job_id: str, *, full: bool) -> JobDetails:
    """One job, and how far it is if it runs."""
    job = await app.client.get_job(job_id)
    return JobDetails.of(job, await app.running.of(job), full=full)


@dataclass(frozen=True)
class _Json:
    """JSON of others as it is shown: itself, or the beginning of its text."""

    shown: Any = None
    was_cut: bool = False

    @classmethod
    def of(cls, value: Any, budget: int) -> "_Json":
        if value is None:
            return cls()
        try:
            text = to_json(value, inf_nan_mode="strings", fallback=str).decode()
        except ValueError:
            return cls("(nested too deeply to be shown)", was_cut=True)
        shown = brief(text, budget)
        # Readers of JSON break on deep nesting, and not on a long text.
        if shown == text and _is_shallow(value):
            return cls(from_json(text))
        return cls(shown, was_cut=shown != visible(text))


def _is_shallow(value: object, depth: int = 30) -> bool:
    if isinstance(value, dict):
        value = list(cast("dict[str, object]", value).values())
    if not isinstance(value, list):
        return True
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in cast("list[object]", value))


def _text(answer: JobDetails) -> str:
    """A line for each known field."""
    values = answer.structured()
    not_ended = answer.rows_done is not None or answer.no_cost == "not_ended"
    ours = facts(
        [
            ("job_id", values.pop("job_id")),
            ("status", values.pop("status")),
            ("progress", answer.progress() if not_ended else None),
            ("cost", NO_COST[answer.no_cost] if answer.no_cost and not not_ended else None),
            ("results", _EXPECTED if values.pop("results_available") else _NONE),
            ("not told by Sutro", values.pop("not_told", None)),
            ("shortened", values.pop("shortened", None)),
            ("uris", ", ".join(f"{name} {uri}" for name, uri in values.pop("uris").items())),
        ]
    )
    for told in ("notice", "failure", "rows_done", "share", "tokens_per_second", "seconds_left", "no_cost"):
        values.pop(told, None)
    rest = [(name, _compact(value)) for name, value in values.items()]
    return f"{ours}\n{fenced(facts([*failure_facts(answer.failure), *rest]))}"


def _compact(value: Any) -> Any:
    return to_json(value).decode() if isinstance(value, dict) else word(value)
