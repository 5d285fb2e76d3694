"""Builds the demo's jobs from their plans: the same ids and rows at every start, dates relative to now.

No row is made here; a job knows how to make its rows when somebody reads them.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sutro_mcp.emulator.account import Account
from sutro_mcp.emulator.fake_models import cost, is_function, is_reasoning
from sutro_mcp.emulator.job_factory import job_id_for, journey_of, made_up_logprobs
from sutro_mcp.emulator.jobs import CANCELLED, FAILED, RUNS_AT, TERMINAL, Job, Output, Rows
from sutro_mcp.emulator.seeded_random import SeededRandom, seed_of

from .plans import PLANS, Plan
from .records import churn, dedupe, invoice, math_audit, review, vector
from .texts import clause, copy, greeting, haiku, proof, summary
from .vocabulary import email, survey, ticket

_Maker = Callable[[SeededRandom, int], tuple[str, Output]]

_MAKERS: dict[str, _Maker] = {
    "churn": churn,
    "clause": clause,
    "copy": copy,
    "dedupe": dedupe,
    "email": email,
    "greeting": greeting,
    "haiku": haiku,
    "invoice": invoice,
    "math": math_audit,
    "proof": proof,
    "review": review,
    "summary": summary,
    "survey": survey,
    "ticket": ticket,
    "vector": vector,
}


def seed(account: Account) -> None:
    """Put the demo's jobs into `account`."""
    for number, plan in enumerate(PLANS):
        account.add(_job(account, plan, f"demo {number} {plan.name}"))


def _job(account: Account, plan: Plan, identity: str) -> Job:
    rng = SeededRandom(seed_of(identity), 0)
    job_id = job_id_for(identity)
    created = account.now() - timedelta(days=plan.days, microseconds=rng.below(1_000_000))
    started = created + timedelta(seconds=4 + plan.priority * 20, microseconds=rng.below(1_000_000))
    completed = started + timedelta(minutes=plan.minutes, microseconds=rng.below(1_000_000))
    input_tokens, output_tokens = (_total(rng, each, plan.rows) for each in plan.tokens)
    stopped = plan.status in (FAILED, CANCELLED)
    job = Job(
        job_id=job_id,
        rows=_rows(plan, seed_of(job_id)),
        model=plan.model,
        status=plan.status,
        created=created,
        num_rows=plan.rows,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        completed=completed if plan.status in TERMINAL else None,
        name=plan.name,
        description=plan.description,
        system_prompt=plan.prompt,
        job_priority=plan.priority,
        json_schema=plan.schema,
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
        message, context = plan.failure
        job.failure_reason = {"message": message} | ({"additional_context": context} if context else {})
    return job


def _total(rng: SeededRandom, average: int, rows: int) -> int:
    # Within three percent of the average, so that no two jobs' tokens look computed.
    return round(average * rows * rng.fraction(0.97, 1.03))


def _rows(plan: Plan, seed: int) -> Rows:
    maker = _MAKERS[plan.kind]

    def pairs() -> tuple[Sequence[str], Sequence[Output]]:
        made = [maker(SeededRandom(seed, row), row) for row in range(plan.rows)]
        return [given for given, _ in made], [output for _, output in made]

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
        logprobs=made_up_logprobs(seed, plan.rows),
        confidence=confidence if is_function(plan.model) else None,
        ids=ids,
    )
