"""One stored job: what was asked, how far it is, and its rows, created only when they are read.

Nothing here knows HTTP or the shape of an answer; `wire_format` turns a job into the API's words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .fake_models import Output, cost

QUEUED, STARTING, RUNNING = "QUEUED", "STARTING", "RUNNING"
SUCCEEDED, FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"
CANCELLING, UNKNOWN = "CANCELLING", "UNKNOWN"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})

# A job's journey goes from 0 (submitted) to 1 (over); these are its borders.
STARTS_AT = 0.1
RUNS_AT = 0.25


@dataclass(frozen=True)
class ParquetLayout:
    """Layout of a job's Parquet artifact; None leaves polars' own default."""

    compression: str | None = None  # None: the variant's codec
    row_group_size: int | None = None
    data_page_size: int | None = None
    statistics: bool = True


@dataclass(frozen=True)
class Rows:
    """A job's rows, in input order. Every callable is pure: the same rows at every call."""

    count: int
    pairs: Callable[[], tuple[Sequence[str | None], Sequence[Output]]]
    logprobs: Callable[[], Sequence[float | None]]
    confidence: Callable[[], Sequence[float | None]] | None = None
    ids: tuple[str, Callable[[], Sequence[Any]]] | None = None


@dataclass
class Job:
    """A job of the account. Tests may change any attribute between two requests."""

    job_id: str
    rows: Rows
    model: str
    status: str
    created: datetime
    num_rows: int
    input_tokens: int  # what the whole job will have read and written when all rows are done
    output_tokens: int
    started: datetime | None = None
    completed: datetime | None = None
    name: str | None = None
    description: str | None = None
    system_prompt: str | None = None
    job_priority: int = 0
    json_schema: Mapping[str, Any] | None = None
    sampling_params: Mapping[str, Any] | None = None
    dataset_id: str | None = None
    cost_estimate: float | None = None
    dry_run: bool = False
    reasoning: bool = False
    failure_reason: Any = None  # shown once the job is FAILED
    outcome: str = SUCCEEDED  # how it ends if nobody cancels it
    fails_at: float = 0.7  # where on the journey, if the outcome is FAILED; below RUNS_AT: at initialisation
    after_cancel: str = CANCELLED  # SUCCEEDED or FAILED plays the race of §4.2
    results_expired: bool = False
    parquet: ParquetLayout | bytes = ParquetLayout()  # bytes: served as they are
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])  # raw fields, sent as they are
    journey: float = 0.0
    # What `job_pace` remembers of the readers.
    origin: float = 0.0
    polls: int = 0
    first_seen: datetime | None = None
    cancel_reads: int | None = None  # reads since somebody cancelled; None: nobody did
    results_reads: int = 0
    artifact_version: int = 0  # raised when the artifact is replaced under a reader's feet

    @property
    def rows_done(self) -> int:
        if self.status == SUCCEEDED:
            return self.num_rows
        share = (self.journey - RUNS_AT) / (1 - RUNS_AT)
        return int(self.num_rows * min(max(share, 0.0), 1.0))

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens spent so far."""
        if self.dry_run:
            return (0, 0)
        if self.status == SUCCEEDED or self.num_rows == 0:
            return (self.input_tokens, self.output_tokens)
        done = self.rows_done
        return (self.input_tokens * done // self.num_rows, self.output_tokens * done // self.num_rows)

    @property
    def cost(self) -> float:
        """USD for the tokens spent so far."""
        return cost(self.model, *self.tokens)

    def travel(self, journey: float, now: datetime) -> None:
        """Move on to `journey`; status and timestamps follow (§4.2)."""
        if self.outcome == FAILED and journey >= self.fails_at:
            self.journey = self.fails_at
            self._run(now)
            self.end(FAILED, now)
            return
        self.journey = min(journey, 1.0)
        self._run(now)
        if self.journey >= 1.0:
            self.end(SUCCEEDED, now)
        elif self.journey >= RUNS_AT:
            self.status = RUNNING
        elif self.journey >= STARTS_AT:
            self.status = STARTING

    def _run(self, now: datetime) -> None:
        if self.journey >= RUNS_AT and self.started is None:
            self.started = now

    def end(self, status: str, now: datetime) -> None:
        self.status = status
        self.completed = now
        if status == SUCCEEDED:
            self.journey = 1.0
            if self.dry_run:
                self.cost_estimate = cost(self.model, self.input_tokens, self.output_tokens)
