"""Find jobs in a list that the API can only page: newest first, filtered here, resumable by cursor.

A cursor names the upstream page and the last job looked at in it, so jobs submitted in between neither
repeat nor hide others. It is bound to the filters it was made with.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from sutro_mcp.api import EMPTY_PAGES, Job
from sutro_mcp.errors import InvalidArgumentError, InvalidCursorError, RejectedError, UnexpectedReplyError

from .params import parse_time

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

_PAGE = 100
# Upstream jobs looked at in one call: twenty requests, a few seconds.
LOOK_LIMIT = 2_000
# Lists are from new to old, though not to the second: so many older jobs in a row end a search by date.
PAST_RUN = 20
# Upstream cursor, the last job looked at, and the digest of the filters.
_CURSOR = TypeAdapter(tuple[str | None, str | None, str])
_GONE = "the place this cursor names is no longer in the list"
_DAMAGED = (
    "this is not a cursor that list_jobs returned",
    "Pass next_cursor unchanged, or call list_jobs without a cursor",
)


@dataclass(frozen=True)
class JobFilter:
    """Conditions on a job; the empty filter wants all jobs."""

    statuses: tuple[str, ...] = ()
    model: str = ""
    search: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None

    def wants(self, job: Job) -> bool:
        """Whether `job` passes. A job without a creation time passes no time filter."""
        if self.statuses and job.status.value not in self.statuses:
            return False
        if self.model and job.model != self.model:
            return False
        if self.search and not any(
            self.search.casefold() in (text or "").casefold()
            for text in (job.name, job.description, job.job_id)
        ):
            return False
        created = job.datetime_created
        if self.created_after and (created is None or created < self.created_after):
            return False
        return not (self.created_before and (created is None or created >= self.created_before))

    def is_past(self, job: Job) -> bool:
        """Whether `job` is older than all that are wanted; enough of them in a row end a search."""
        return bool(self.created_after and job.datetime_created and job.datetime_created < self.created_after)

    def cannot_judge(self, job: Job) -> bool:
        """Whether a time filter leaves `job` out only because it does not say when it was created."""
        return bool(self.created_after or self.created_before) and job.datetime_created is None


def job_filter(
    status: Sequence[str],
    model: str = "",
    search: str = "",
    created_after: str = "",
    created_before: str = "",
) -> tuple[JobFilter, str]:
    """The filter, and the same as written, to bind a cursor to. Raises InvalidArgumentError."""
    after = parse_time("created_after", created_after)
    before = parse_time("created_before", created_before)
    if after and before and after >= before:
        raise InvalidArgumentError(
            "filter by these times", "created_after is not before created_before", "Swap or widen them"
        )
    wanted = JobFilter(tuple(status), model, search, after, before)
    return wanted, json.dumps([sorted(status), model, search, created_after, created_before])


def undated_jobs(count: int | None) -> str:
    """A sentence about the jobs that a time filter cannot judge."""
    if not count:
        return ""
    if count == 1:
        return " 1 does not say when it was created and is left out."
    return f" {count:,} do not say when they were created and are left out."


@dataclass(frozen=True)
class Found:
    """Jobs that passed, how many were looked at, and where to go on."""

    jobs: list[Job] = field(default_factory=list[Job])
    looked_at: int = 0
    next_cursor: str | None = None
    undated: int = 0


async def find_jobs(client: "ApiClient", wanted: JobFilter, limit: int, cursor: str, binding: str) -> Found:
    """Up to `limit` jobs that pass `wanted`.

    `binding` is the filter as the caller wrote it: an age is another time with every call, and still the same
    question.

    Raises InvalidCursorError when `cursor` is damaged, belongs to other filters, or its place is gone.
    """
    page_cursor, after = _decode(cursor, binding) if cursor else (None, None)
    page_size = limit if wanted == JobFilter() and after is None else _PAGE
    jobs: list[Job] = []
    looked_at = undated = past = 0
    seen_pages: set[str] = set()
    # A list that never ends is one with cursors but without jobs.
    empty_pages = 0
    while empty_pages < EMPTY_PAGES:
        try:
            page = await client.list_jobs_page(page_size, page_cursor)
        except RejectedError as error:
            if page_cursor is None:
                raise
            raise _invalid(_GONE) from error
        empty_pages = 0 if page.jobs else empty_pages + 1
        for position, job in enumerate(page.jobs):
            if after is not None:
                after = None if job.job_id == after else after
                continue
            looked_at += 1
            undated += wanted.cannot_judge(job)
            past = past + 1 if wanted.is_past(job) else 0
            if past == PAST_RUN:
                return Found(jobs, looked_at, None, undated)
            if wanted.wants(job):
                jobs.append(job)
            if len(jobs) == limit or looked_at == LOOK_LIMIT:
                more = position + 1 < len(page.jobs)
                if not more and not page.next_cursor:
                    return Found(jobs, looked_at, None, undated)
                place = (page_cursor, job.job_id) if more else (page.next_cursor, None)
                return Found(jobs, looked_at, _encode(*place, binding), undated)
        if not page.next_cursor or page.next_cursor in seen_pages:
            if after is not None:
                raise _invalid(_GONE)
            return Found(jobs, looked_at, None, undated)
        seen_pages.add(page.next_cursor)
        page_cursor = page.next_cursor
    raise UnexpectedReplyError(
        "list jobs",
        f"{EMPTY_PAGES} pages in a row were empty, and there are always more",
        "Call list_jobs without a cursor; if it stays, report it to Sutro",
    )


def _digest(binding: str) -> str:
    return hashlib.sha256(binding.encode("utf-8", "replace")).hexdigest()[:8]


def _encode(page_cursor: str | None, after: str | None, binding: str) -> str:
    raw = json.dumps([page_cursor, after, _digest(binding)], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _decode(cursor: str, binding: str) -> tuple[str | None, str | None]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        page_cursor, after, digest = _CURSOR.validate_json(raw, strict=True)
    except ValueError:
        raise _invalid(*_DAMAGED) from None
    if digest != _digest(binding):
        again = "Repeat the filters of the call that returned it, or call list_jobs without a cursor"
        raise _invalid("this cursor was made with other filters", again)
    return page_cursor, after


def _invalid(happened: str, next_step: str = "Call list_jobs again without a cursor") -> InvalidCursorError:
    return InvalidCursorError("continue the list of jobs", happened, next_step)
