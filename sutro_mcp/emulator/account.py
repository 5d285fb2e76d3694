"""The account: its jobs in order, its quotas, its clock. No HTTP, no answers; the routes shape those."""

import base64
import binascii
from bisect import bisect_left, insort
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any

from .api_errors import ApiError
from .api_variants import ApiVariant
from .job_pace import Pace, cancel, observe
from .stored_job import TERMINAL, Job

QUOTAS: list[dict[str, int]] = [
    {"priority": 0, "row_quota": 1_000, "token_quota": 1_000_000},
    {"priority": 1, "row_quota": 1_000_000, "token_quota": 10_000_000},
]
"""The documented defaults, ordered by priority because clients label them by position (§6.13, §9)."""


# When a job was created, in microseconds, and its number among those added.
Position = tuple[int, int]


class Account:
    """Owns the jobs of one key for the emulator's lifetime."""

    def __init__(self, *, api_key: str, variant: ApiVariant, pace: Pace, now: Callable[[], datetime]) -> None:
        self.api_key = api_key
        self.variant = variant
        self.pace = pace
        self.now = now
        self.closing = False  # open streams end when the server wants to
        self._jobs: dict[str, Job] = {}
        self._ordered: list[tuple[Position, Job]] = []  # oldest first

    def add(self, job: Job) -> None:
        """Store a job. Of two created at the same moment the later one counts as newer."""
        job.origin = job.journey
        position = (int(job.created.timestamp() * 1_000_000), len(self._jobs))
        insort(self._ordered, (position, job), key=_position)
        self._jobs[job.job_id] = job

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job_id: str) -> Job:
        """The job as it is stored; 404 if there is none."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise ApiError(404, f"Job with job_id {job_id} not found.") from None

    def find(self, name: str) -> Job:
        """The newest job of that name; a KeyError if there is none."""
        for _, job in reversed(self._ordered):
            if job.name == name:
                return job
        raise KeyError(name)

    def look(self, job: Job, *, read: bool) -> Job:
        """Let the pace move the job before it is shown."""
        observe(job, self.pace, self.now(), self.variant.cancelling_reads, read=read)
        return job

    def all(self) -> list[Job]:
        return [self.look(job, read=False) for _, job in reversed(self._ordered)]

    def page(self, limit: int, cursor: str | None) -> tuple[list[Job], str | None]:
        """Up to `limit` jobs after the cursor's job, and the cursor of the next page or None.

        A cursor names a position after a job, not an offset: jobs added meanwhile do not shift pages.
        """
        end = len(self._ordered)
        if cursor is not None:
            end = bisect_left(self._ordered, _read_cursor(cursor), key=_position)
        start = max(end - limit, 0)
        jobs = [self.look(job, read=False) for _, job in reversed(self._ordered[start:end])]
        return jobs, _cursor(_position(self._ordered[start])) if start else None

    def cancel(self, job: Job) -> bool:
        """Ask for an end; whether the request was accepted (§6.4, C7)."""
        self.look(job, read=False)
        if job.status not in TERMINAL:
            cancel(job)
            return True
        if self.variant.cancel_terminal == "flip":
            cancel(job)
        return self.variant.cancel_terminal != "refuse"


def _position(entry: tuple[Position, Job]) -> Position:
    return entry[0]


def _cursor(position: Position) -> str:
    text = f"{position[0]}.{position[1]}"
    return base64.urlsafe_b64encode(f"{text}.{_check(text)}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> Position:
    try:
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ApiError(400, "Invalid cursor.") from None
    text, _, check = decoded.rpartition(".")
    if check != _check(text):
        raise ApiError(400, "Invalid cursor.")
    moment, number = text.split(".")
    return int(moment), int(number)


def _check(text: Any) -> str:
    return sha256(f"cursor of {text}".encode()).hexdigest()[:8]
