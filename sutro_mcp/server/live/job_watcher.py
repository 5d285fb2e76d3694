"""Watched jobs: the status of each is read in the background, and every change is published once.

A job is read only while it is watched, ever more slowly while nothing happens, and no more once it has ended.
What is watched is a resource of the job, by its URI: the job and its status change with every step, and its
results come with the last. `subscriptions` knows the clients.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import anyio
from anyio.abc import TaskGroup

from sutro_mcp.api import Status
from sutro_mcp.api.status_poller import PASSING, PollSchedule, StatusPoller
from sutro_mcp.errors import InvalidArgumentError, SutroError
from sutro_mcp.server.uris import JOB, is_of_results, watchable_job

logger = logging.getLogger(__name__)

ReadStatus = Callable[[str], Awaitable[Status]]
Publish = Callable[[str], Awaitable[None]]

# Each costs a request now and then, for as long as a client forgets to stop watching it.
_MOST_JOBS = 100
# How long a subscription waits for the first reading.
_FIRST_SECONDS = 10.0


class Lead(NamedTuple):
    """Whether this process is to read the status of a job, and what was last told of it by another."""

    is_mine: bool
    told: str | None


class Leases(Protocol):
    """Decides which of several server processes reads a job that all of them watch."""

    async def lead(self, job_id: str) -> Lead: ...

    async def tell(self, job_id: str, status: str) -> None:
        """Say what was read: a status, or "" for a job that cannot be read."""
        ...

    async def news(self, job_id: str) -> None:
        """Wait for a while, or until another process has told something."""
        ...

    async def release(self, job_id: str) -> None: ...


@dataclass
class _Watched:
    """A job, the status last seen (None: it cannot be read), and how often each URI is watched."""

    status: Status | None
    told: str | None = None
    """The status that another process told, at the last look."""
    checked: str | None = None
    """The status that another process told, and this one has read the job since."""
    uris: Counter[str] = field(default_factory=Counter[str])
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def has_ended(self) -> bool:
        return self.status is not None and self.status.is_terminal


class JobWatcher:
    """Reads watched jobs in tasks of its own, which end with `tasks`.

    `publish` is called with a URI once for each change, however often that URI is watched. `leases` say
    which process reads, where there are several.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        read: ReadStatus,
        publish: Publish,
        schedule: PollSchedule,
        leases: Leases | None = None,
    ) -> None:
        self._leases = leases
        self._tasks = tasks
        self._read = read
        self._publish = publish
        self._schedule = schedule
        self._jobs: dict[str, _Watched] = {}
        self._arriving: set[str] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no job is watched."""
        return not self._jobs and not self._arriving

    def __len__(self) -> int:
        """How many jobs are watched."""
        return len(self._jobs)

    async def watch(self, uri: str) -> None:
        """Publish changes from now on, until `unwatch` was called as often as this.

        The status is read before this returns, so that a client that reads the resource afterwards misses
        nothing. Where that fails for the moment, the first read that works counts as a change.

        Raises InvalidArgumentError for a URI that cannot be watched, and SutroError for a job that cannot be
        read at all.
        """
        job_id = _job_of(uri)
        if job_id not in self._jobs:
            if len({*self._jobs, *self._arriving, job_id}) > _MOST_JOBS:
                raise InvalidArgumentError(
                    "watch this job",
                    f"{_MOST_JOBS} jobs are watched already",
                    "Stop watching one of them first",
                )
            status = None
            self._arriving.add(job_id)
            try:
                with anyio.move_on_after(_FIRST_SECONDS), suppress(*PASSING):
                    status = await self._read(job_id)
            finally:
                self._arriving.discard(job_id)
            # Another subscription may have been faster.
            if job_id not in self._jobs:
                self._jobs[job_id] = _Watched(status)
                self._tasks.start_soon(self._follow, job_id, self._jobs[job_id])
        self._jobs[job_id].uris[uri] += 1

    def unwatch(self, uri: str) -> None:
        """Undo one `watch`; the last one for a job ends its task."""
        job_id = _job_of(uri)
        watched = self._jobs[job_id]
        watched.uris[uri] -= 1
        watched.uris += Counter()  # drops what is down to zero
        if not watched.uris:
            watched.scope.cancel()
            del self._jobs[job_id]

    async def _follow(self, job_id: str, watched: _Watched) -> None:
        poller = StatusPoller(lambda: self._read(job_id), self._schedule)
        try:
            with watched.scope:
                await self._follow_to_the_end(job_id, watched, poller)
        finally:
            if self._leases is not None:
                await self._leases.release(job_id)

    async def _is_mine(self, job_id: str, watched: _Watched, poller: StatusPoller[Status]) -> bool:
        """Whether to read the job now, after waiting a while for news where another process reads it."""
        if self._leases is None:
            return True
        lead = await self._leases.lead(job_id)
        if lead.is_mine:
            return True
        watched.told = lead.told
        if lead.told is None or lead.told in (watched.checked, _word(watched.status)):
            await self._leases.news(job_id)
            return False
        # Another process has seen something else: this one believes its own eyes.
        poller.pause = 0.0
        return True

    async def _follow_to_the_end(self, job_id: str, watched: _Watched, poller: StatusPoller[Status]) -> None:
        while not watched.has_ended:
            if not await self._is_mine(job_id, watched, poller):
                continue
            try:
                status = await poller.next() or watched.status
            except Exception as error:
                # The job is gone, or the key no longer counts. Reading the resource says which.
                if watched.status is not None:
                    is_bug = not isinstance(error, SutroError)
                    level = logging.ERROR if is_bug else logging.INFO
                    logger.log(level, "a watched job can no longer be read", exc_info=is_bug)
                status = None
            if poller.trouble is None:
                watched.checked = watched.told
            poller.pause = poller.pause or self._schedule.first
            if status is not watched.status:
                watched.status = status
                if self._leases is not None:
                    await self._leases.tell(job_id, _word(status))
                if status is not None:
                    poller.pause = self._schedule.first
                is_end = status is None or watched.has_ended
                for uri in list(watched.uris):
                    if is_end or not is_of_results(uri):
                        await self._publish(uri)


def _word(status: Status | None) -> str:
    return "" if status is None else status.value


def _job_of(uri: str) -> str:
    job_id = watchable_job(uri)
    if job_id is None:
        raise InvalidArgumentError(
            "watch this resource",
            "only a job can be watched",
            f"Use {JOB}, or the same with /status, /results or /results/summary",
        )
    return job_id
