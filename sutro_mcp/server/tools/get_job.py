"""Show one job."""

from typing import Annotated, Any

from mcp.types import CallToolResult
from pydantic import Field
from pydantic_core import to_json

from sutro_mcp.api import Job, Status
from sutro_mcp.server.answers import (
    FAILURE_CHARS,
    MODEL_CHARS,
    FailureInfo,
    ToolAnswer,
    UntrustedText,
    brief,
    failure_facts,
    iso,
    seconds,
)
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.text_format import facts, fenced
from sutro_mcp.server.uris import JobUris
from sutro_mcp.untrusted import visible

from .params import JobId
from .tool import reply, tool

# Characters of JSON text: the default answer stays under 10,000 in all, a full one under 60,000.
_TEXT_CHARS = 600
_SCHEMA_CHARS = 1_200
_FULL_PROMPT_CHARS = 30_000
_FULL_SCHEMA_CHARS = 18_000
# What the API says of a job does not tell.
_EXPECTED = "to be expected (kept 90 days by default; a cost estimate has none)"


class JobDetails(ToolAnswer):
    """Everything the deployment says of one job."""

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
        whole_schema = _json(job.json_schema)
        prompt = brief(job.system_prompt, _FULL_PROMPT_CHARS if full else _TEXT_CHARS)
        schema = brief(whole_schema, _FULL_SCHEMA_CHARS if full else _SCHEMA_CHARS)
        texts = (("system_prompt", job.system_prompt, prompt), ("json_schema", whole_schema, schema))
        cut = [name for name, whole, shown in texts if whole and shown != visible(whole)]
        more = "" if full else "; full=true shows more"
        return cls(
            job_id=job.job_id,
            name=brief(job.name, _TEXT_CHARS),
            description=brief(job.description, _TEXT_CHARS),
            status=job.status.value,
            results_available=job.status is Status.SUCCEEDED,
            model=brief(job.model, _TEXT_CHARS),
            job_priority=job.job_priority,
            run_type=brief(job.run_type, MODEL_CHARS),
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
            failure=FailureInfo.of(job.failure_reason),
            sampling_params=brief(_json(job.sampling_params), _TEXT_CHARS),
            json_schema=schema,
            dataset_id=brief(job.dataset_id, FAILURE_CHARS),
            system_prompt=prompt,
            shortened=f"{' and '.join(cut)} cut{more}" if cut else None,
            uris=JobUris.of(job.job_id),
        )


@tool("Get a job")
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
    return reply(answer, _text(answer))


def _json(value: Any) -> str | None:
    try:
        return None if value is None else to_json(value, inf_nan_mode="strings", fallback=str).decode()
    except ValueError:
        return "(nested too deeply to be shown)"


def _text(answer: JobDetails) -> str:
    """A line for each known field."""
    ours = facts(
        [
            ("job_id", answer.job_id),
            ("status", answer.status),
            ("results", _EXPECTED if answer.results_available else "none"),
            ("shortened", answer.shortened),
            ("uris", ", ".join(answer.uris.model_dump().values())),
        ]
    )
    skip = {"notice", "job_id", "status", "results_available", "shortened", "uris", "failure"}
    rest = [(name, getattr(answer, name)) for name in type(answer).model_fields if name not in skip]
    return f"{ours}\n{fenced(facts([*failure_facts(answer.failure), *rest]))}"
