"""Creates jobs: the fields that a test names, and all others consistent with them.

Shared by `Emulator.add_job` and submission, so that both kinds of job add up the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from .fake_models import Output, answer, is_reasoning
from .seeded_random import SeededRandom, seed_of
from .stored_job import FAILED, QUEUED, RUNS_AT, STARTING, STARTS_AT, SUCCEEDED, TERMINAL, Job, Rows

_JOURNEYS = {QUEUED: 0.0, STARTING: STARTS_AT, SUCCEEDED: 1.0}


def job_id_for(text: str) -> str:
    """A job id in the service's form, the same for the same text in every process."""
    return f"job-{UUID(bytes=sha256(text.encode()).digest()[:16], version=4)}"


def token_count(text: object) -> int:
    """About four characters each, at least one."""
    return len(str(text)) // 4 + 1


def journey_of(status: str, progress: float) -> float:
    """Share of the journey behind a job of that status with `progress` (0..1) of its rows done."""
    return _JOURNEYS.get(status, RUNS_AT + (1 - RUNS_AT) * progress)


def fake_logprobs(seed: int, count: int) -> Callable[[], Sequence[float]]:
    """Log-probabilities that look like a model's; produced on request for any job (§7.1)."""
    return lambda: [-SeededRandom(seed ^ 1, index).fraction(0.01, 4.0) for index in range(count)]


def create_job(
    *,
    now: datetime,
    number: int,
    job_id: str | None = None,
    status: str = SUCCEEDED,
    outputs: Sequence[Output] | None = None,
    inputs: Sequence[str | None] | None = None,
    cumulative_logprobs: Sequence[float | None] | None = None,
    confidence_score: Sequence[float | None] | None = None,
    id_column: tuple[str, Sequence[Any]] | None = None,
    num_rows: int | None = None,
    model: str = "gpt-oss-20b",
    json_schema: Mapping[str, Any] | None = None,
    system_prompt: str | None = None,
    created: datetime | None = None,
    progress: float = 0.5,
    **fields: Any,
) -> Job:
    """A job with these rows and this status; `progress` is the share of rows done if it is under way.

    `fields` are attributes of `Job` (name, failure_reason, outcome, results_expired, parquet ...) or, under
    any other name, raw fields of the job object which are sent as they are.
    """
    job_id = job_id or job_id_for(f"added {number}")
    count = _count(num_rows, outputs, inputs)
    given_inputs = inputs if inputs is not None else [f"Input {index + 1}" for index in range(count)]
    seed = seed_of(job_id)

    def pairs() -> tuple[Sequence[str | None], Sequence[Output]]:
        if outputs is not None:
            return given_inputs, outputs
        generated = [answer(text, model, json_schema, seed, row) for row, text in enumerate(given_inputs)]
        return given_inputs, generated

    rows = Rows(
        count,
        pairs,
        logprobs=fake_logprobs(seed, count) if cumulative_logprobs is None else lambda: cumulative_logprobs,
        confidence=None if confidence_score is None else lambda: confidence_score,
        ids=None if id_column is None else (id_column[0], lambda: id_column[1]),
    )
    prompt_tokens = token_count(system_prompt or "") * count
    input_tokens = sum(map(token_count, given_inputs)) + prompt_tokens
    output_tokens = 40 * count if outputs is None else sum(map(token_count, outputs))
    known = {name: value for name, value in fields.items() if name in Job.__dataclass_fields__}
    attributes: dict[str, Any] = {
        "num_rows": count if num_rows is None else num_rows,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        **known,
    }
    job = Job(
        job_id=job_id,
        rows=rows,
        model=model,
        status=status,
        created=created or now,
        system_prompt=system_prompt,
        json_schema=json_schema,
        reasoning=is_reasoning(model),
        **attributes,
    )
    job.overrides |= {name: value for name, value in fields.items() if name not in known}
    job.journey = journey_of(status, progress)
    _date(job, known)
    if status == FAILED and "failure_reason" not in known:
        job.failure_reason = {"message": "The job failed while rows were being processed."}
    return job


def _count(num_rows: int | None, *columns: Sequence[Any] | None) -> int:
    lengths = {len(column) for column in columns if column is not None}
    if len(lengths) > 1:
        raise ValueError("outputs and inputs differ in length")
    return lengths.pop() if lengths else 3 if num_rows is None else num_rows


def _date(job: Job, known: Mapping[str, Any]) -> None:
    # Timestamps a test did not choose: started after ten seconds, over after a minute more.
    if job.started is None and "started" not in known and job.journey >= RUNS_AT:
        job.started = job.created + timedelta(seconds=10)
    if job.completed is None and "completed" not in known and job.status in TERMINAL:
        job.completed = job.created + timedelta(seconds=70)
