"""Find jobs in a list that the API can only page: newest first, filtered here, resumable by cursor.

A cursor names the upstream page and the last job shown of it, so jobs submitted in between neither repeat nor
hide others. It is bound to the filters and the order it was made with. Sorted by anything but age, a list is
read as far as one call looks, and a cursor counts the jobs that were shown.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

from sutro_mcp.api import EMPTY_PAGES, Job, Status
from sutro_mcp.errors import InvalidArgumentError, InvalidCursorError, RejectedError, UnexpectedReplyError
from sutro_mcp.results.name_matching import folded
from sutro_mcp.untrusted_text import quote

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

_PAGE = 100
# Upstream jobs looked at in one call: twenty requests, a few seconds.
LOOK_LIMIT = 2_000
# Lists are from new to old, though not to the second: so many older jobs in a row end a search by date.
PAST_RUN = 20
_AGE = re.compile(r"(\d{1,5})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# Digests of the filters and of the last job that was shown (sorted: how many were), upstream cursor.
_CURSOR = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{0,8})(?:\.([\w-]+))?", re.ASCII)
_GONE = "the place this cursor names is no longer in the list"
_DAMAGED = (
    "this is not a cursor that list_jobs returned",
    "Pass next_cursor unchanged, or call list_jobs without a cursor",
)

Sort = Literal["created", "runtime", "cost", "rows"]
_SORTED_BY: dict[str, Callable[[Job], float | None]] = {
    "runtime": lambda job: run_seconds(job),
    "cost": lambda job: job.job_cost,
    "rows": lambda job: job.num_rows,
}


@dataclass(frozen=True)
class JobFilter:
    """Conditions on a job; the empty filter wants all jobs."""

    statuses: tuple[str, ...] = ()
    model: str = ""
    search: str = ""
    unnamed: bool = False
    created_after: datetime | None = None
    created_before: datetime | None = None

    def wants(self, job: Job) -> bool:
        """Whether `job` passes. A job without a creation time passes no time filter."""
        if self.statuses and job.status.value not in self.statuses:
            return False
        if self.model and folded(job.model) != folded(self.model):
            return False
        if self.search and not any(
            folded(self.search) in folded(text) for text in (job.name, job.description, job.job_id)
        ):
            return False
        if self.unnamed and job.name:
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
    status: str | Sequence[str],
    model: str = "",
    search: str = "",
    created_after: str = "",
    created_before: str = "",
    *,
    unnamed: bool = False,
) -> tuple[JobFilter, str]:
    """The filter, and the same as written, to bind a cursor to. Raises InvalidArgumentError.

    `status` is one word or several, in any case.
    """
    statuses = [_status(word) for word in ([status] if isinstance(status, str) else status)]
    after = parse_time("created_after", created_after)
    before = parse_time("created_before", created_before)
    if after and before and after >= before:
        raise InvalidArgumentError(
            "filter by these times", "created_after is not before created_before", "Swap or widen them"
        )
    wanted = JobFilter(tuple(statuses), model, search, unnamed, after, before)
    return wanted, json.dumps([sorted(statuses), model, search, unnamed, created_after, created_before])


def _status(word: str) -> str:
    status = Status.read(word)
    # An unknown word is not read as UNKNOWN.
    if status is Status.UNKNOWN and str(word).strip().upper() != status:
        raise no_such("filter by status", str(word), "status", list(Status))
    return status.value


def no_such(doing: str, given: str, noun: str, known: Sequence[str]) -> InvalidArgumentError:
    """The error for a word that is none of those known."""
    return InvalidArgumentError(
        doing, f"{quote(given, 40)} is not a {noun}", f"Use one of {', '.join(known)}"
    )


def parse_time(name: str, value: str) -> datetime | None:
    """A point in time from ISO text (UTC where no zone is given) or an age before now; None for "".

    Raises InvalidArgumentError.
    """
    if not value:
        return None
    if match := _AGE.fullmatch(value.strip().lower()):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise InvalidArgumentError(
            f"filter by {name}",
            "it is neither an ISO time nor an age",
            "Write it like 2026-01-31, 2026-01-31T12:00:00Z, 24h or 7d",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def run_seconds(job: Job) -> int | None:
    """Whole seconds that a job ran, without its time in the queue; None if that is not known."""
    if not (job.datetime_started and job.datetime_completed):
        return None
    return round((job.datetime_completed - job.datetime_started).total_seconds())


def undated_jobs(count: int | None) -> str:
    """A sentence about the jobs that a time filter cannot judge."""
    if not count:
        return ""
    if count == 1:
        return " 1 does not say when it was created and is left out."
    return f" {count:,} do not say when they were created and are left out."


@dataclass(frozen=True)
class Found:
    """Jobs that passed, how many were looked at and passed in all (None: not known), and where to go on."""

    jobs: list[Job] = field(default_factory=list[Job])
    looked_at: int = 0
    next_cursor: str | None = None
    undated: int = 0
    total: int | None = None


@dataclass
class _Look:
    """The part of the list that one call has seen; `place` is where the next one goes on, None at the end."""

    jobs: list[Job] = field(default_factory=list[Job])
    looked_at: int = 0
    undated: int = 0
    place: tuple[str | None, str] | None = None
    has_ended: bool = False


async def find_jobs(
    client: "ApiClient",
    wanted: JobFilter,
    limit: int,
    cursor: str,
    binding: str,
    sort: Sort = "created",
) -> Found:
    """Up to `limit` jobs that pass `wanted`, the newest first, or the largest of those that can be looked at.

    `binding` is the filter as the caller wrote it: an age is another time with every call, and still the same
    question.

    Raises InvalidCursorError when `cursor` is damaged, belongs to other filters, or its place is gone, and
    InvalidArgumentError for another `sort` or a `limit` below 1.
    """
    if sort not in (orders := get_args(Sort)):
        raise no_such("list jobs", str(sort), "sort", orders)
    if limit < 1:
        raise InvalidArgumentError("list jobs", f"limit is {limit}", "Pass a limit from 1 on")
    binding += sort
    page_cursor, after = _decode(cursor, binding) if cursor else (None, "")
    if sort == "created":
        look = await _look(client, wanted, limit, page_cursor, after)
        following = _encode(*look.place, binding) if look.place else None
        # What stands before a cursor was not counted.
        total = len(look.jobs) if look.has_ended and not cursor else None
        return Found(look.jobs[:limit], look.looked_at, following, look.undated, total)
    look = await _look(client, wanted, LOOK_LIMIT, None, "")
    value, first = _SORTED_BY[sort], int(after or "0", 16)
    # The sort is stable: equal ones stay in the order of the list, and those without a value come last.
    ranked = sorted(look.jobs, key=lambda job: -1.0 if (size := value(job)) is None else size, reverse=True)
    last = first + limit
    following = _encode(None, f"{last:x}", binding) if last < len(ranked) else None
    total = len(ranked) if look.has_ended else None
    return Found(ranked[first:last], look.looked_at, following, look.undated, total)


async def _look(
    client: "ApiClient", wanted: JobFilter, limit: int, page_cursor: str | None, after: str
) -> _Look:
    """Look through pages until `limit` jobs pass, and at the rest of the last page, which costs nothing."""
    look = _Look()
    past = 0
    seen_pages: set[str] = set()
    # A list that never ends is one with cursors but without jobs.
    empty_pages = 0
    while empty_pages < EMPTY_PAGES:
        try:
            page = await client.list_jobs_page(_PAGE, page_cursor)
        except RejectedError as error:
            if page_cursor is None:
                raise
            raise _invalid(_GONE) from error
        empty_pages = 0 if page.jobs else empty_pages + 1
        following = page.next_cursor if page.next_cursor not in seen_pages else None
        for job in page.jobs:
            if after:
                after = "" if _digest(job.job_id) == after else after
                continue
            if look.looked_at == LOOK_LIMIT:
                return look
            look.looked_at += 1
            look.undated += wanted.cannot_judge(job)
            past = past + 1 if wanted.is_past(job) else 0
            if past == PAST_RUN:
                look.has_ended = True
                break
            if wanted.wants(job):
                look.jobs.append(job)
            if look.place is None and (len(look.jobs) == limit or look.looked_at == LOOK_LIMIT):
                look.place = page_cursor, _digest(job.job_id)
        if after and not following:
            raise _invalid(_GONE)
        look.has_ended = look.has_ended or not following
        if following and page.jobs and look.place == (page_cursor, _digest(page.jobs[-1].job_id)):
            look.place = following, ""
        if look.has_ended and len(look.jobs) <= limit:
            look.place = None
        if look.has_ended or look.place:
            return look
        seen_pages.add(str(following))
        page_cursor = following
    raise UnexpectedReplyError(
        "list jobs",
        f"{EMPTY_PAGES} pages in a row were empty, and there are always more",
        "Call list_jobs without a cursor; if it stays, report it to Sutro",
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def _encode(page_cursor: str | None, after: str, binding: str) -> str:
    """As short as it can be: a model writes it out again."""
    page = base64.urlsafe_b64encode((page_cursor or "").encode()).decode().rstrip("=")
    return f"{_digest(binding)}.{after}" + (f".{page}" if page else "")


def _decode(cursor: str, binding: str) -> tuple[str | None, str]:
    match = _CURSOR.fullmatch(cursor)
    try:
        if match is None:
            raise ValueError
        page = match[3] or ""
        page_cursor = base64.b64decode(page + "=" * (-len(page) % 4), b"-_", validate=True).decode()
    except ValueError:
        raise _invalid(*_DAMAGED) from None
    if match[1] != _digest(binding):
        again = "Repeat the filters of the call that returned it, or call list_jobs without a cursor"
        raise _invalid("this cursor was made with other filters", again)
    return page_cursor or None, match[2]


def _invalid(happened: str, next_step: str = "Call list_jobs again without a cursor") -> InvalidCursorError:
    return InvalidCursorError("continue the list of jobs", happened, next_step)
