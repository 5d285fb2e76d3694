"""`sutro-mcp totals`: jobs counted, and rows, tokens and cost added up."""

import argparse
from dataclasses import asdict
from typing import Any

from sutro_mcp.console import tell
from sutro_mcp.errors import counted
from sutro_mcp.job_list.job_search import undated_jobs
from sutro_mcp.job_list.job_totals import JobSums, JobTotals
from sutro_mcp.library.sutro_client import SutroClient

from .chosen_deployment import settings_of, with_sutro
from .job_commands import filters, money, number
from .rendering import heading, show, show_json, table

# Short names: the table is to fit into 80 columns.
_FIGURES = ("jobs", "failed", "rows", "tokens in", "tokens out", "USD", "no cost")


def totals(options: argparse.Namespace) -> int:
    """Add jobs up."""
    wanted = filters(options)

    async def work(sutro: SutroClient) -> JobTotals:
        return await sutro.summarize_jobs(options.by, **wanted)

    found = with_sutro(settings_of(options), work)
    if options.json:
        times = {name: moment and moment.isoformat() for name, moment in _times(found).items()}
        show_json(asdict(found) | times)
        return 0
    head = f"{counted(found.total.jobs, 'job')} by {options.by}"
    if found.oldest and found.newest:
        head += f", from {found.oldest:%Y-%m-%d %H:%M} to {found.newest:%Y-%m-%d %H:%M} (UTC)"
    rows = [*map(_row, found.groups), _row(found.total, "total")]
    show(heading(f"{head}."), table((options.by, *_FIGURES), rows))
    if found.undated:
        tell(undated_jobs(found.undated).strip())
    if not found.is_complete:
        tell("Older jobs were not looked at: narrow the time with --created-after and --created-before.")
    return 0


def _times(found: JobTotals) -> dict[str, Any]:
    return {"oldest": found.oldest, "newest": found.newest}


def _row(sums: JobSums, group: str | None = None) -> tuple[object, ...]:
    counts = (sums.jobs, sums.failed, sums.rows, sums.input_tokens, sums.output_tokens)
    return (group or sums.group, *map(number, counts), money(sums.cost_usd), number(sums.no_cost or None))
