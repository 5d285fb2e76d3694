"""Builds the demo's jobs from `plans.toml`: the same ids and rows at every start, dates relative to now.

Rows are created when they are read, not here.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sutro_mcp.emulator.account import Account
from sutro_mcp.emulator.fake_models import Output, cost, is_function, is_reasoning
from sutro_mcp.emulator.job_factory import fake_logprobs, job_id_for, journey_of
from sutro_mcp.emulator.seeded_random import SeededRandom, seed_of
from sutro_mcp.emulator.stored_job import CANCELLED, FAILED, RUNS_AT, SUCCEEDED, TERMINAL, Job, Rows

from .row_generators import GENERATORS

_CHANGED_PERCENT = 18


@dataclass(frozen=True)
class _Plan:
    """A job of `plans.toml`, which explains the fields."""

    kind: str
    rows: int
    days: float
    name: str | None = None
    model: str = "gpt-oss-20b"
    status: str = SUCCEEDED
    minutes: float = 6.0
    priority: int = 0
    progress: float = 0.5
    description: str | None = None
    failure: str | None = None
    failure_context: str | None = None
    id_name: str | None = None
    estimated: bool = False
    dataset: str | None = None
    expired: bool = False
    dry_run: bool = False
    rerun_of: str | None = None


def seed(account: Account) -> None:
    plans = tomllib.loads(Path(__file__).with_name("plans.toml").read_text("utf-8"))
    seeds: dict[str | None, int] = {}
    for number, fields in enumerate(plans["jobs"]):
        plan = _Plan(**fields)
        identity = f"demo {number} {plan.name}"
        first = seeds.get(plan.rerun_of) if plan.rerun_of else None
        account.add(_job(account, plan, plans["kinds"][plan.kind], identity, first))
        seeds.setdefault(plan.name, seed_of(job_id_for(identity)))


def _job(account: Account, plan: _Plan, kind: Mapping[str, Any], identity: str, first: int | None) -> Job:
    rng = SeededRandom(seed_of(identity), 0)
    job_id = job_id_for(identity)
    created = account.now() - timedelta(days=plan.days, microseconds=rng.below(1_000_000))
    started = created + timedelta(seconds=4 + plan.priority * 20, microseconds=rng.below(1_000_000))
    completed = started + timedelta(minutes=plan.minutes, microseconds=rng.below(1_000_000))
    input_tokens, output_tokens = (_total(rng, each, plan.rows) for each in kind["tokens"])
    stopped = plan.status in (FAILED, CANCELLED)
    job = Job(
        job_id=job_id,
        rows=_rows(plan, seed_of(job_id), first),
        model=plan.model,
        status=plan.status,
        created=created,
        num_rows=plan.rows,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        completed=completed if plan.status in TERMINAL else None,
        name=plan.name,
        description=plan.description,
        system_prompt=kind.get("prompt"),
        job_priority=plan.priority,
        json_schema=_object_schema(kind["output"]) if "output" in kind else None,
        sampling_params={"temperature": rng.pick((0.0, 0.2, 0.7)), "top_p": 0.95, "max_tokens": 2048},
        dataset_id=plan.dataset,
        dry_run=plan.dry_run,
        reasoning=is_reasoning(plan.model),
        results_expired=plan.expired,
        journey=journey_of(plan.status, plan.progress) if not stopped or plan.progress else 0.0,
    )
    if job.journey >= RUNS_AT:
        job.started = started
    if plan.estimated or plan.dry_run:  # an estimate is close, never exact
        share = 1.0 if plan.dry_run else rng.fraction(0.92, 1.1)
        job.cost_estimate = round(cost(plan.model, input_tokens, output_tokens) * share, 6)
    if plan.failure is not None:
        job.failure_reason = {"message": plan.failure}
        if plan.failure_context is not None:
            job.failure_reason["additional_context"] = plan.failure_context
    return job


def _object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _total(rng: SeededRandom, average: int, rows: int) -> int:
    # Within three percent of the average: equal totals would look computed.
    return round(average * rows * rng.fraction(0.97, 1.03))


def _rows(plan: _Plan, seed: int, first: int | None) -> Rows:
    """The rows of a job; `first` is the seed of the job that it runs anew."""
    create_row = GENERATORS[plan.kind]

    def create(row: int) -> tuple[str, Output]:
        own = create_row(SeededRandom(seed, row), row)
        if first is None:
            return own
        given, output = create_row(SeededRandom(first, row), row)
        # Another model has another opinion of some rows.
        return given, own[1] if SeededRandom(seed ^ 4, row).below(100) < _CHANGED_PERCENT else output

    def pairs() -> tuple[Sequence[str], Sequence[Output]]:
        created = [create(row) for row in range(plan.rows)]
        return [given for given, _ in created], [output for _, output in created]

    def confidence() -> Sequence[float]:
        return [SeededRandom(seed ^ 2, row).fraction(0.5, 0.999) for row in range(plan.rows)]

    ids: tuple[str, Callable[[], Sequence[Any]]] | None = None
    if plan.id_name is not None:
        prefix = plan.id_name[0].upper()
        if plan.id_name == "pair_id":  # one carried column that is not text (§7.1: original type)
            ids = (plan.id_name, lambda: list(range(70_001, 70_001 + plan.rows)))
        else:
            ids = (plan.id_name, lambda: [f"{prefix}{row + 1:05d}" for row in range(plan.rows)])
    return Rows(
        plan.rows,
        pairs,
        logprobs=fake_logprobs(seed, plan.rows),
        confidence=confidence if is_function(plan.model) else None,
        ids=ids,
    )
