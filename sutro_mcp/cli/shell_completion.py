"""`sutro-mcp completion`, and what a shell then asks at each press of Tab: options, and ids of jobs."""

import argparse
from collections.abc import Mapping

import anyio
import argcomplete
from argcomplete.shell_integration import shellcode

from sutro_mcp.console import say
from sutro_mcp.errors import SutroError
from sutro_mcp.untrusted_text import clean

# A person at a prompt waits no longer.
_SECONDS = 3.0
Jobs = list[tuple[str, str, str | None]]
_STATUSES: Mapping[str, tuple[str, ...]] = {
    "active": ("QUEUED", "STARTING", "RUNNING"),
    "succeeded": ("SUCCEEDED",),
}


def completion(options: argparse.Namespace) -> int:
    """Print the script to load in the shell."""
    script = shellcode(["sutro-mcp"], shell=options.shell).strip()
    # A line for zsh alone, in the script of both.
    say(script.removeprefix("#compdef sutro-mcp\n") if options.shell == "bash" else script)
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and end."""
    argcomplete.autocomplete(parser)


def job_ids(which: str, *, demo: bool) -> dict[str, str]:
    """Ids of the newest jobs that the command is about, each with a few words; none if Sutro is silent."""
    try:
        found = _demo_jobs() if demo else anyio.run(_newest_jobs)
    except SutroError:
        return {}
    wanted = _STATUSES.get(which)
    return {
        job_id: clean(f"{status} {name or ''}")[:60]
        for job_id, status, name in found
        if wanted is None or status in wanted
        if clean(job_id) == job_id
    }


def _demo_jobs() -> Jobs:
    from sutro_mcp.emulator import Emulator

    return [(job.job_id, job.status, job.name) for job in Emulator().account.all()]


async def _newest_jobs() -> Jobs:
    from sutro_mcp.api import ApiClient, resolve_connection

    with anyio.move_on_after(_SECONDS):
        async with ApiClient(resolve_connection(), timeout=_SECONDS) as client:
            jobs = (await client.list_jobs_page(limit=100)).jobs
        return [(job.job_id, job.status.value, job.name) for job in jobs]
    return []
