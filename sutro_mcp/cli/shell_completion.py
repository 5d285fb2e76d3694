"""`sutro-mcp completion`, and what a shell then asks at each press of Tab: options, and ids of jobs."""

import argparse
from collections.abc import Mapping

import anyio
import argcomplete
from argcomplete.shell_integration import shellcode

from sutro_mcp.console import say
from sutro_mcp.errors import SutroError

# A person at a prompt waits no longer.
_SECONDS = 3.0
_STATUSES: Mapping[str, tuple[str, ...]] = {
    "active": ("QUEUED", "STARTING", "RUNNING"),
    "succeeded": ("SUCCEEDED",),
}


def completion(options: argparse.Namespace) -> int:
    """Print the script to load in the shell."""
    say(shellcode(["sutro-mcp"], shell=options.shell).rstrip())
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and end."""
    argcomplete.autocomplete(parser)


def job_ids(which: str) -> dict[str, str]:
    """Ids of the newest jobs that the command is about, each with a few words; none if Sutro is silent."""
    try:
        return anyio.run(_job_ids, which)
    except SutroError:
        return {}


async def _job_ids(which: str) -> dict[str, str]:
    from sutro_mcp.api import ApiClient, resolve_connection
    from sutro_mcp.untrusted_text import clean

    with anyio.move_on_after(_SECONDS):
        async with ApiClient(resolve_connection(), timeout=_SECONDS) as client:
            jobs = (await client.list_jobs_page(limit=100)).jobs
        wanted = _STATUSES.get(which)
        return {
            job.job_id: clean(f"{job.status.value} {job.name or ''}")[:60]
            for job in jobs
            if wanted is None or job.status.value in wanted
            if clean(job.job_id) == job.job_id
        }
    return {}
