"""Walking pages to their end when cursors cannot be trusted to lead there."""

from collections.abc import AsyncIterator, Awaitable, Callable

from sutro_mcp.errors import UnexpectedReplyError

from .models import Job, JobPage

PAGE_CAP = 10_000
EMPTY_PAGES = 20


async def every_job(
    fetch: Callable[[str | None], Awaitable[JobPage]], page_cap: int = PAGE_CAP
) -> AsyncIterator[Job]:
    """Each job once. Ends on a null, missing, empty or repeated cursor; raises when there is no end."""
    seen_cursors: set[str] = set()
    seen_jobs: set[str] = set()
    cursor: str | None = None
    empty_pages = 0
    for _ in range(page_cap):
        page = await fetch(cursor)
        empty_pages = 0 if page.jobs else empty_pages + 1
        if empty_pages == EMPTY_PAGES:
            break
        for job in page.jobs:
            # Jobs submitted meanwhile push others onto the next page.
            if job.job_id not in seen_jobs:
                seen_jobs.add(job.job_id)
                yield job
        cursor = page.next_cursor
        if not cursor or cursor in seen_cursors:
            return
        seen_cursors.add(cursor)
    raise UnexpectedReplyError(
        "list jobs",
        f"the list did not end: there were {page_cap:,} pages, or {EMPTY_PAGES} empty ones in a row",
        "Narrow the question, for example by date; if it stays, report it",
    )
