"""`sutro-mcp jobs`, `job` and `cancel`: find jobs, show one, stop one."""

import argparse
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from sutro_mcp.api import Job, Status
from sutro_mcp.console import tell
from sutro_mcp.errors import ConfigurationError, counted
from sutro_mcp.library.sutro_client import SutroClient
from sutro_mcp.untrusted_text import clean, quote

from .arguments import UsageError
from .chosen_deployment import settings_of, with_sutro
from .rendering import facts, show, show_json, table, width

# Jobs that one call looks at for those in a status.
_MOST_LOOKED_AT = 2_000
_COLUMNS = ("job_id", "status", "name", "rows", "created (UTC)", "cost (USD)")
# Characters that whole ids leave enough of to the other columns.
_WIDE = 110
_LOST = "a cancelled job has no results, and rows that are done may still be billed"


def jobs(options: argparse.Namespace) -> int:
    """List jobs."""
    wanted: list[str] = options.status or []
    for status in wanted:
        if status not in Status.__members__:
            raise UsageError(f"{quote(status, 40)} is no status: use one of {', '.join(Status)}")

    async def find(sutro: SutroClient) -> tuple[list[Job], int, bool]:
        async with aclosing(sutro.iter_jobs()) as every:
            return await _find(every, wanted, options.limit)

    found, looked_at, has_more = with_sutro(settings_of(options), find)
    if options.json:
        show_json([_record(job) for job in found])
    elif found:
        whole = ("status", "created (UTC)", *(("job_id",) if width() >= _WIDE else ()))
        show(table(_COLUMNS, [_row(job) for job in found], whole=whole))
        if width() < _WIDE:
            tell("An id that ends in … is whole in a wider terminal, and with --json.")
    else:
        tell(f"No job is {' or '.join(wanted)}." if wanted else "No job.")
    if looked_at == _MOST_LOOKED_AT:
        tell(f"Only the newest {looked_at:,} jobs were looked at.")
    elif has_more:
        tell(f"There are more: use --limit {options.limit * 2}.")
    return 0


async def _find(every: AsyncGenerator[Job], wanted: Sequence[str], limit: int) -> tuple[list[Job], int, bool]:
    """Jobs that are wanted, the number of those that were looked at, and whether there is one more."""
    found: list[Job] = []
    looked_at = 0
    async for job in every:
        if not wanted or job.status in wanted:
            if len(found) == limit:
                return found, looked_at, True
            found.append(job)
        looked_at += 1
        if looked_at == _MOST_LOOKED_AT:
            break
    return found, looked_at, False


def job(options: argparse.Namespace) -> int:
    """Show one job."""
    found = with_sutro(settings_of(options), lambda sutro: sutro.get_job(options.job_id))
    if options.json:
        show_json(_record(found))
        return 0
    failure = found.failure_reason
    show(
        facts(
            [
                ("job_id", found.job_id),
                ("name", found.name),
                ("description", found.description),
                ("status", found.status.value),
                ("failure", failure and failure.message),
                ("", failure and failure.additional_context),
                ("model", found.model),
                ("priority", found.job_priority),
                ("created", _moment(found.datetime_created)),
                ("started", _moment(found.datetime_started)),
                ("completed", _moment(found.datetime_completed)),
                ("rows", _number(found.num_rows)),
                ("input tokens", _number(found.input_tokens)),
                ("output tokens", _number(found.output_tokens)),
                ("cost (USD)", _money(found.job_cost)),
                ("cost estimate (USD)", _money(found.cost_estimate)),
                ("results", _results(found)),
                ("system prompt", found.system_prompt),
            ]
        )
    )
    return 0


def cancel(options: argparse.Namespace) -> int:
    """Stop one job, once a person has agreed."""
    settings = settings_of(options)
    if settings.read_only or settings.cancel == "off":
        raise ConfigurationError(
            f"cancel {quote(options.job_id, 60)}",
            "SUTRO_MCP_READ_ONLY or SUTRO_MCP_CANCEL forbids it",
            "Unset them if jobs may be cancelled from here",
        )
    if not options.yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask on: pass --yes to cancel without a question")

    async def stop(sutro: SutroClient) -> dict[str, Any]:
        before = await sutro.get_job(options.job_id)
        if (settled := _settled(before.status)) is None and not options.yes:
            if (answer := _answer(before)) != "yes":
                outcome = "interrupted" if answer is None else "refused"
                return _outcome(before, outcome, "Nothing was sent.")
            # A person takes a while, and the job went on meanwhile.
            before = await sutro.get_job(options.job_id)
            settled = _settled(before.status)
        if settled:
            return _outcome(before, *settled)
        reply = await sutro.cancel_job(options.job_id)
        after = (await sutro.get_job_status(options.job_id)).status
        if not reply.accepted:
            message = f"Sutro refused: {quote(reply.message or 'it gave no reason')}."
            return _outcome(before, "refused", message) | {"status_after": after.value}
        done = after is Status.CANCELLED
        message = "It is cancelled." if done else f"Cancellation is requested; the job is {after.value}."
        return _outcome(before, "confirmed" if done else "requested", message) | {"status_after": after.value}

    outcome = with_sutro(settings, stop)
    if options.json:
        show_json(outcome)
    else:
        show(f"{clean(outcome['job_id'])}: {outcome['message']}")
    return {"refused": 1, "interrupted": 130}.get(outcome["outcome"], 0)


def _settled(status: Status) -> tuple[str, str] | None:
    """The outcome for a job that must not be asked to stop; None for one that may be."""
    if status is Status.CANCELLED:
        return "confirmed", "It was cancelled before; nothing was sent."
    if status is Status.CANCELLING:
        return "requested", "Cancellation was requested before; nothing was sent."
    if status.is_terminal:
        return "refused", f"It had already ended as {status.value}; nothing was sent."
    return None


def _answer(found: Job) -> str | None:
    """The words that the person at the terminal types; None for Ctrl-C."""
    name = f"{quote(found.name, 80)} ({clean(found.job_id)})" if found.name else clean(found.job_id)
    rows = counted(found.num_rows, "row") if found.num_rows is not None else "an unknown number of rows"
    # asyncio answers a signal once its loop goes on, which it does not while a line is read.
    of_the_loop = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        tell(f"{name} is {found.status.value}, with {rows}.")
        tell(f"Stopping it cannot be undone: {_LOST}.")
        tell('Type "yes" to stop it:')
        return sys.stdin.readline().strip().lower()
    except KeyboardInterrupt:
        tell("")
        return None
    finally:
        signal.signal(signal.SIGINT, of_the_loop)


def _outcome(found: Job, outcome: str, message: str) -> dict[str, Any]:
    return {
        "job_id": found.job_id,
        "outcome": outcome,
        "status_before": found.status.value,
        "message": message,
    }


def _results(found: Job) -> str:
    if found.status is not Status.SUCCEEDED:
        return "none: they exist once a job has SUCCEEDED"
    if found.is_cost_estimate:
        return "none: it ran as a cost estimate"
    return f"sutro-mcp results {found.job_id}"


def _record(found: Job) -> dict[str, Any]:
    return found.model_dump(mode="json", exclude_none=True)


def _row(found: Job) -> Sequence[Any]:
    created = found.datetime_created and found.datetime_created.strftime("%Y-%m-%d %H:%M")
    rows, cost = _number(found.num_rows), _money(found.job_cost)
    return (found.job_id, found.status.value, found.name, rows, created, cost)


def _number(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _money(amount: float | None) -> str | None:
    """An amount without an exponent."""
    return None if amount is None else f"{amount:.6f}".rstrip("0").rstrip(".")


def _moment(moment: Any) -> str | None:
    return moment and moment.strftime("%Y-%m-%d %H:%M:%S UTC")
