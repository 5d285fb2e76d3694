"""Jobs and answers in the API's words: field names, status words, timestamps (`sutro-api.md` §3 to 5).

The only place that spells a job object or a JSON body. Knows nothing of requests or of how a job moves.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from .api_variants import ApiVariant
from .stored_job import FAILED, QUEUED, TERMINAL, Job

_OLD_KEYS = {
    "datetime_created": "created_at",
    "datetime_completed": "completed_at",
    "num_rows": "input_count",
    "job_priority": "priority",
}

_MESSAGES = {
    "QUEUED": "Job is waiting to start",
    "STARTING": "Job is starting",
    "RUNNING": "Job is running",
    "SUCCEEDED": "Job completed successfully",
    "CANCELLING": "Job is being cancelled",
    "CANCELLED": "Job was cancelled",
    "FAILED": "Job failed",
}


def json_bytes(body: Any) -> bytes:
    """UTF-8 JSON. A lone surrogate cannot be UTF-8, so a body holding one is escaped throughout."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json_bytes(body), status, headers, "application/json")


def timestamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with microseconds and Z, as the service sends it (§3)."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def status_word(status: str, variant: ApiVariant) -> str:
    """The status as this variant spells it (C2, C3)."""
    word = variant.queued_word if status == QUEUED else status
    return word.lower() if variant.status_case == "lower" else word


def job_object(job: Job, variant: ApiVariant) -> dict[str, Any]:
    """The job as list-jobs and fetch-job show it (§5): what only completion tells is null until then."""
    over = job.status in TERMINAL
    waiting = job.started is None and not over
    input_tokens, output_tokens = (None, None) if waiting else job.tokens
    body: dict[str, Any] = {
        "model": job.model,
        "system_prompt": job.system_prompt,
        "job_priority": job.job_priority,
        "status": status_word(job.status, variant),
        "datetime_created": None if variant.created_null else timestamp(job.created),
        "datetime_started": timestamp(job.started),
        "datetime_completed": timestamp(job.completed) if over else None,
        "json_schema": job.json_schema,
        "sampling_params": job.sampling_params,
        "name": job.name,
        "description": job.description,
        "dataset_id": job.dataset_id,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "job_cost": job.cost if over else None,
        "num_rows": job.num_rows,
        "failure_reason": job.failure_reason if job.status == FAILED else None,
        "cost_estimate": job.cost_estimate,
    }
    if variant.run_type:
        body["run_type"] = None if job.dry_run else "FULL"
    body["job_id"] = job.job_id
    body |= job.overrides
    if variant.job_keys == "old":
        body = {_OLD_KEYS.get(key, key): value for key, value in body.items()}
    return body


def status_body(job: Job, variant: ApiVariant) -> dict[str, Any]:
    """The answer of job-status (§6.3)."""
    word = status_word(str(job.overrides.get("status", job.status)), variant)
    message = f"Job status with job_id {job.job_id} retrieved."
    if variant.status_shape == "string":
        return {
            "message": _MESSAGES.get(job.status, "Job status is unknown"),
            "job_status": word,
            "metadata": _metadata(job, variant),
        }
    return {"message": message, "job_status": {job.job_id: word}, "metadata": _metadata(job, variant)}


def _metadata(job: Job, variant: ApiVariant) -> Any:
    reason: Any = job.failure_reason
    if job.status != FAILED or reason is None:
        return {} if variant.fine_metadata == "object" else None
    if variant.failure_place == "siblings" and isinstance(reason, dict):
        siblings: dict[str, Any] = {"failure_reason": reason.get("message")}  # pyright: ignore[reportUnknownMemberType]
        if "additional_context" in reason:
            siblings["additional_context"] = reason["additional_context"]
        return siblings
    return {"failure_reason": reason}
