"""How far running jobs are: a short look at the progress stream of each, at the same time.

The look is a courtesy beside an answer, so it has a deadline and never fails; a job whose stream says nothing
in time has no figures. Callers at the same time share one look, and those a little later get what it saw.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

import anyio

from sutro_mcp.api import Job, Status
from sutro_mcp.concurrency import LRU, task_group
from sutro_mcp.errors import SutroError
from sutro_mcp.server.answers import RowsDone

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library

MOVING = (Status.RUNNING, Status.CANCELLING)
_AT_ONCE = 16
_MOST_KEPT = 256


@dataclass
class _Look:
    """The latest figures of the stream of one job, and their time."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    taken: float = float("-inf")
    rows_done: int | None = None
    tokens_per_second: float | None = None


class RunningJobs:
    """Looks at progress streams, with the client that `client` returns.

    A stream may take `patience` seconds to say something, and what it said is passed on for `kept` seconds.
    """

    def __init__(
        self, client: "Callable[[], ApiClient]", *, patience: float = 1.5, kept: float = 5.0
    ) -> None:
        self._client = client
        self._patience = patience
        self._kept = kept
        self._looks = LRU[str, _Look](_MOST_KEPT)
        self._limit = anyio.CapacityLimiter(_AT_ONCE)

    async def rows_done(self, jobs: Sequence[Job]) -> dict[str, RowsDone]:
        """The figures of those of `jobs` that are running and whose stream says some, by id."""
        running = [job for job in jobs if job.status in MOVING]
        if not running:
            return {}
        # Where there are too many for one look, the last ones have no figures.
        with anyio.move_on_after(self._patience * 4 / 3):
            async with task_group() as looks:
                for job in running:
                    looks.start_soon(self._refresh, job.job_id)
        return {job.job_id: figures for job in running if (figures := self._figures(job))}

    async def of(self, job: Job) -> RowsDone | None:
        """The figures of one job."""
        return (await self.rows_done([job])).get(job.job_id)

    def _figures(self, job: Job) -> RowsDone | None:
        look = self._looks.get(job.job_id)
        if look is None or look.rows_done is None or anyio.current_time() - look.taken > self._kept:
            return None
        done = look.rows_done if job.num_rows is None else min(look.rows_done, job.num_rows)
        left = None
        if done and job.num_rows and job.datetime_started and job.status is Status.RUNNING:
            elapsed = (datetime.now(UTC) - job.datetime_started).total_seconds()
            left = ceil((job.num_rows - done) * elapsed / done) if elapsed > 0 else None
        return RowsDone.of(done, job.num_rows, look.tokens_per_second, left)

    async def _refresh(self, job_id: str) -> None:
        if job_id not in self._looks:
            self._looks[job_id] = _Look()
        look = self._looks[job_id]
        # Whoever waits here finds what the one before has seen.
        async with look.lock, self._limit:
            if anyio.current_time() - look.taken > self._kept:
                look.rows_done = look.tokens_per_second = None
                with anyio.move_on_after(self._patience), suppress(SutroError):
                    await self._read(job_id, look)
                look.taken = anyio.current_time()

    async def _read(self, job_id: str, look: _Look) -> None:
        """Until the stream has said both, which it does in one go."""
        async with aclosing(self._client().stream_job_progress(job_id)) as events:
            async for event in events:
                if event.rows_done is not None:
                    look.rows_done = event.rows_done
                if event.kind == "tokens":
                    look.tokens_per_second = event.tokens_per_second
                if look.rows_done is not None and event.kind == "tokens":
                    return
