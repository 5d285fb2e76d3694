"""`sutro-mcp jobs`, `job` and `wait`: find jobs, show one, wait for it."""

import argparse
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any

import anyio

from sutro_mcp.api import Job, JobProgress, Status
from sutro_mcp.console import tell
from sutro_mcp.errors import InvalidArgumentError, SutroError, counted
from sutro_mcp.job_list.job_search import LOOK_LIMIT, Found, job_filter, run_seconds, undated_jobs
from sutro_mcp.library.error_words import for_a_terminal
from sutro_mcp.library.sutro_client import SutroClient
from sutro_mcp.untrusted_text import clean, quote

from .arguments import UsageError
from .chosen_deployment import settings_of, with_sutro
from .rendering import facts, progress_bar, show, show_json, table, width

# In which a stream says how far a job is, or nobody waits for it.
_SECONDS = 2.0
_COLUMNS = ("job_id", "status", "name", "rows", "created (UTC)", "cost (USD)")
# What a list is sorted by comes before the rest.
_SORTED = {"cost": "cost (USD)", "runtime": "run time (s)"}
# Characters that leave room for all columns; with less, ids are still whole, as they are copied.
_WIDE = 110
_MOST_NEEDED = 4


def jobs(options: argparse.Namespace) -> int:
    """List jobs."""
    wanted = filters(options)

    async def find(sutro: SutroClient) -> Found:
        return await sutro.find_jobs(**wanted, sort=options.sort, limit=options.limit)

    found = with_sutro(settings_of(options), find)
    if options.json:
        show_json([_record(job) for job in found.jobs])
    elif found.jobs:
        columns = _columns(options.sort)
        rows = [[_cells(job)[name] for name in columns] for job in found.jobs]
        show(table(columns, rows, whole=("job_id", "status", "created (UTC)")))
        if width() < _WIDE:
            more = "what they cost" if options.sort != "cost" else "how many rows they have"
            tell(f"A wider terminal also shows when they were created and {more}.")
    else:
        tell("No job is like that." if any(wanted.values()) else "No job.")
    if found.undated:
        tell(undated_jobs(found.undated).strip())
    if found.looked_at == LOOK_LIMIT:
        tell(f"Only the newest {found.looked_at:,} jobs were looked at.")
    elif found.next_cursor:
        tell(f"There are more: use --limit {options.limit * 2}.")
    return 0


def filters(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `find_jobs` that were given. Raises UsageError for a status or a time that is none."""
    given: dict[str, Any] = {
        "status": options.status or [],
        "model": options.model,
        "search": options.search,
        "created_after": options.created_after,
        "created_before": options.created_before,
    }
    try:
        job_filter(**given)
    except InvalidArgumentError as error:
        raise UsageError(for_a_terminal(str(error))) from error
    return given


def job(options: argparse.Namespace) -> int:
    """Show one job."""

    async def look(sutro: SutroClient) -> tuple[Job, int | None]:
        found = await sutro.get_job(options.job_id)
        return found, await _rows_done(sutro, found)

    found, done = with_sutro(settings_of(options), look)
    if options.json:
        show_json(_record(found) | ({} if done is None else {"rows_done": done}))
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
                ("rows", number(found.num_rows)),
                ("rows done", number(done)),
                ("input tokens", number(found.input_tokens)),
                ("output tokens", number(found.output_tokens)),
                ("cost (USD)", money(found.job_cost)),
                ("cost estimate (USD)", money(found.cost_estimate)),
                ("results", _results(found)),
                ("system prompt", found.system_prompt),
            ]
        )
    )
    return 0


def wait(options: argparse.Namespace) -> int:
    """Wait for one job; 0 where it succeeded."""
    settings = settings_of(options)
    with progress_bar() as on_progress:

        async def work(sutro: SutroClient) -> Job:
            job = await sutro.get_job(options.job_id)

            def told(event: JobProgress) -> None:
                if on_progress and event.rows_done is not None:
                    share = event.rows_done / job.num_rows if job.num_rows else 0.0
                    of = f"{event.rows_done:,} of " if job.num_rows else ""
                    on_progress(share, f"{of}{counted(job.num_rows or event.rows_done, 'row')}")

            if on_progress:
                on_progress(0.0, job.status.value)
            await sutro.wait(options.job_id, timeout=options.timeout, on_progress=told)
            return await sutro.get_job(options.job_id)

        ended = with_sutro(settings, work)
    if options.json:
        show_json(_record(ended))
    else:
        why = f": {quote(ended.failure_reason.message)}" if ended.failure_reason else "."
        show(f"{clean(ended.job_id)} is {ended.status.value}{why}")
    return 0 if ended.status is Status.SUCCEEDED else 1


async def _rows_done(sutro: SutroClient, found: Job) -> int | None:
    """The rows that a running job has done, if its progress stream says so soon."""
    if found.status is Status.RUNNING:
        with anyio.move_on_after(_SECONDS), suppress(SutroError):
            async with aclosing(sutro.stream_job_progress(found.job_id)) as events:
                async for event in events:
                    if event.rows_done is not None:
                        return event.rows_done
    return None


def _results(found: Job) -> str:
    if found.status is not Status.SUCCEEDED:
        return "none: they exist once a job has SUCCEEDED"
    if found.is_cost_estimate:
        return "none: it ran as a cost estimate"
    return f"sutro-mcp results {found.job_id}"


def _record(found: Job) -> dict[str, Any]:
    return found.model_dump(mode="json", exclude_none=True)


def _columns(sort: str) -> Sequence[str]:
    """The columns that fit. What the list is sorted by takes the place of rows if it has none."""
    is_wide = width() >= _WIDE
    columns = _COLUMNS if is_wide else _COLUMNS[:_MOST_NEEDED]
    by = _SORTED.get(sort, "rows")
    return columns if by in columns else [by if name == "rows" else name for name in columns]


def _cells(found: Job) -> dict[str, Any]:
    return {
        "job_id": found.job_id,
        "status": found.status.value,
        "name": found.name,
        "rows": number(found.num_rows),
        "created (UTC)": found.datetime_created and found.datetime_created.strftime("%Y-%m-%d %H:%M"),
        "cost (USD)": money(found.job_cost),
        "run time (s)": number(run_seconds(found)),
    }


def number(value: int | None) -> str | None:
    """With commas."""
    return None if value is None else f"{value:,}"


def money(amount: float | None) -> str | None:
    """An amount without an exponent."""
    return None if amount is None else f"{amount:.6f}".rstrip("0").rstrip(".")


def _moment(moment: Any) -> str | None:
    return moment and moment.strftime("%Y-%m-%d %H:%M:%S UTC")
