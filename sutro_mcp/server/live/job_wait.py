"""Waiting until a job has ended: the stored status decides, the progress stream only tells how far it is.

The stream may be missing, silent, broken or wrong (all rows done, and then the job fails), so the status is
polled as well, and read at once when the stream shows all rows or ends. A wait that is cancelled leaves its
job alone: nothing but reads is sent. How long a call may wait is an argument of `tools/wait_for_job`.
"""

from contextlib import aclosing, suppress
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import anyio

from sutro_mcp.api import Job, JobProgress, JobStatus, Status
from sutro_mcp.api.status_poller import PASSING, TOOL_WAITS, PollSchedule, StatusPoller
from sutro_mcp.concurrency import background
from sutro_mcp.errors import DeadlineExceededError, SutroError, counted
from sutro_mcp.server.answers import RowsDone
from sutro_mcp.server.protocol.scrubbing import Notify

from .job_progress import Progress

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library


@dataclass(frozen=True)
class WaitTiming:
    """How often a wait does what, in seconds."""

    poll: PollSchedule = TOOL_WAITS
    """`slowest` is also the longest that a host hears nothing."""
    soon: float = 1.0
    """The first pause once all rows are done, when the end is near."""
    reopen: float = 15.0
    """The pause before a stream that ended is opened again."""
    notify: float = 1.0
    """The shortest time between two notifications."""
    observed: float = 2.0
    """The shortest observation that an estimate is made from."""
    stalled: float = 30.0
    """So long without a new row is worth saying."""


@dataclass(frozen=True)
class WaitOutcome:
    """How the job stands, and what was seen of it meanwhile."""

    stands: JobStatus
    job: Job | None = None
    """As it was when the wait began, if it could be read."""
    progress: RowsDone | None = None
    """Its estimate is from the rows done meanwhile."""
    stalled_seconds: int | None = None
    """So long a running job has done no row, if it is long."""
    trouble: str | None = None
    """Why the status may be out of date."""
    is_cut_short: bool = False
    """Whether the server stops before the time is up."""


async def wait(
    client: "ApiClient",
    job_id: str,
    timeout_seconds: float,
    notify: Notify,
    ending: anyio.Event,
    timing: WaitTiming = WaitTiming(),
) -> WaitOutcome:
    """How the job stands when it has ended, the time is up or the server is `ending`, whichever comes first.

    Raises whatever keeps the status from being read at first, and later what no waiting mends.
    """
    waiting = None
    with anyio.move_on_after(timeout_seconds):
        waiting = _Wait(client, await client.get_job_status(job_id), timeout_seconds, notify, timing)
        if not waiting.status.is_terminal:
            await waiting.run(ending)
    if waiting is None:
        raise DeadlineExceededError(
            f"wait for {job_id}",
            f"its status could not be read within {counted(ceil(timeout_seconds), 'second')}",
            "Call wait_for_job again, with more time; do not resubmit the job",
        )
    return waiting.outcome()


class _Wait:
    """One wait: a task that reads the status, one that listens, one that tells the host; gone with `run`."""

    def __init__(
        self,
        client: "ApiClient",
        first: JobStatus,
        timeout_seconds: float,
        notify: Notify,
        timing: WaitTiming,
    ) -> None:
        self._client = client
        self._job_id = first.job_id
        self._notify = notify
        self._timing = timing
        self._stands = first
        self._progress = Progress()
        self._job: Job | None = None
        self._began = anyio.current_time()
        self._poller = StatusPoller(lambda: client.get_job_status(first.job_id), timing.poll)
        # A short wait reads the status a second time as well.
        self._poller.pause = min(timing.poll.first, timeout_seconds / 2)
        self._news = anyio.Event()
        self._is_cut_short = False

    @property
    def status(self) -> Status:
        return self._stands.status

    async def run(self, ending: anyio.Event) -> None:
        async with background() as tasks:
            tasks.start_soon(self._listen)
            tasks.start_soon(self._notify_host)
            tasks.start_soon(self._end_with, ending, tasks.cancel_scope)
            await self._read_status()
        await self._notify_once()

    async def _end_with(self, ending: anyio.Event, waiting: anyio.CancelScope) -> None:
        await ending.wait()
        self._is_cut_short = not self.status.is_terminal
        waiting.cancel()

    def outcome(self) -> WaitOutcome:
        now, seen = anyio.current_time(), self._progress
        running = self.status is Status.RUNNING
        left = seen.seconds_left(now, self._timing.observed) if running else None
        idle = now - (seen.grew or self._began) if running else 0.0
        return WaitOutcome(
            stands=self._stands,
            job=self._job,
            progress=(
                None
                if seen.rows_done is None or self.status is Status.SUCCEEDED
                else RowsDone.of(seen.rows_done, seen.num_rows, seen.tokens_per_second, left)
            ),
            stalled_seconds=int(idle) if idle >= self._timing.stalled else None,
            trouble=self._poller.trouble and self._poller.trouble.happened,
            is_cut_short=self._is_cut_short,
        )

    async def _read_status(self) -> None:
        while not self.status.is_terminal:
            self._stands = await self._poller.next() or self._stands
            self._news.set()

    async def _listen(self) -> None:
        """Follow the stream as long as the deployment has one; not having one is no failure."""
        with suppress(SutroError):
            self._job = await self._client.get_job(self._job_id)
            self._progress.num_rows = self._job.num_rows
        while True:
            try:
                async with aclosing(self._client.stream_job_progress(self._job_id)) as events:
                    async for event in events:
                        self._take(event)
            except PASSING:
                pass
            except SutroError:
                return
            self._poller.hurry()
            await anyio.sleep(self._timing.reopen)

    def _take(self, event: JobProgress) -> None:
        had_all_rows = self._progress.has_all_rows
        self._progress.take(event, anyio.current_time())
        self._news.set()
        if self._progress.has_all_rows and not had_all_rows:
            self._poller.pause = self._timing.soon
            self._poller.hurry()

    async def _notify_host(self) -> None:
        """Tell the host when something is new, not too often, and now and then in any case."""
        while not self.status.is_terminal:
            self._news = anyio.Event()
            await self._notify_once()
            await anyio.sleep(self._timing.notify)
            with anyio.move_on_after(self._timing.poll.slowest):
                await self._news.wait()

    async def _notify_once(self) -> None:
        await self._notify(
            self._progress.next_value(self.status),
            self._progress.num_rows or None,
            self._progress.sentence(self.status),
        )
