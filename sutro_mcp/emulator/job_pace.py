"""Pace of jobs, which nothing computes: they move never, with every poll, with the clock, or at once.

Time is a setting, so no test has to sleep. Only this module may move a job that nobody cancelled.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from .stored_job import CANCELLING, TERMINAL, UNKNOWN, Job


@dataclass(frozen=True)
class Pace:
    """One of the three paces below; with the default, jobs stay as they are."""

    kind: Literal["still", "polls", "clock", "at_once"] = "still"
    amount: float = 0.0

    @classmethod
    def polls(cls, n: int) -> "Pace":
        """Each read of a job (its status, itself, a line of its stream) moves it one n-th; n reads end it."""
        return cls("polls", n)

    @classmethod
    def clock(cls, seconds: float) -> "Pace":
        """A job ends `seconds` after its submission or, for one that was there before, its first sight."""
        return cls("clock", seconds)

    @classmethod
    def at_once(cls) -> "Pace":
        """A job is over when it is first seen."""
        return cls("at_once")

    @property
    def tick(self) -> float:
        """Seconds between two looks of a progress stream."""
        return min(0.5, self.amount / 20) if self.kind == "clock" else 0.0


def observe(job: Job, pace: Pace, now: datetime, cancelling_reads: int | None, *, read: bool) -> None:
    """Move `job` as far as `pace` says. `read`: the request is for this job alone, not for a list."""
    if job.status in TERMINAL or job.status == UNKNOWN:
        return
    if job.status == CANCELLING:
        _finish_cancelling(job, pace, now, cancelling_reads, read=read)
    elif pace.kind == "at_once":
        job.travel(1.0, now)
    elif pace.kind == "polls" and read:
        job.polls += 1
        job.travel(_along(job.origin, job.polls / pace.amount), now)
    elif pace.kind == "clock":
        job.first_seen = job.first_seen or now
        elapsed = (now - job.first_seen).total_seconds()
        job.travel(max(job.journey, _along(job.origin, elapsed / pace.amount)), now)


def _along(origin: float, share: float) -> float:
    return 1.0 if share >= 1 else origin + (1 - origin) * share


def _finish_cancelling(job: Job, pace: Pace, now: datetime, allowed: int | None, *, read: bool) -> None:
    # A job somebody cancelled shows CANCELLING `allowed` times; one that was seeded so obeys the pace alone.
    if allowed is None or not read:
        return
    if job.cancel_reads is None:
        if pace.kind == "still":
            return
        job.cancel_reads = 0
    if job.cancel_reads >= allowed or pace.kind == "at_once":
        job.end(job.after_cancel, now)
    else:
        job.cancel_reads += 1


def cancel(job: Job) -> None:
    job.status = CANCELLING
    job.cancel_reads = 0
