"""The watcher alone: what it reads, when it stops, and what it publishes."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from sutro_mcp.api import Status
from sutro_mcp.api.status_poller import PollSchedule
from sutro_mcp.errors import ConnectionFailedError, InvalidArgumentError, JobNotFoundError, RateLimitedError
from sutro_mcp.server.live.job_watcher import JobWatcher

pytestmark = pytest.mark.anyio

FAST = PollSchedule(first=0.001, slowest=0.002, lost=0.001)
JOB = "sutro://jobs/job-1"
QUEUED, RUNNING, SUCCEEDED, FAILED = Status.QUEUED, Status.RUNNING, Status.SUCCEEDED, Status.FAILED
DOWN = ConnectionFailedError("read", "it broke", "Call again")
GONE = JobNotFoundError("read", "there is no such job", "Look")

Step = Status | Exception


class Deployment:
    """Answers the reads of each job from a script, whose last line it repeats."""

    def __init__(self, **scripts: Sequence[Step]) -> None:
        self._scripts = {name.replace("_", "-"): script for name, script in scripts.items()}
        self.reads: list[str] = []
        self.told: list[str] = []
        self._change = anyio.Event()

    async def read(self, job_id: str) -> Status:
        """The next line of the job's script."""
        script = self._scripts[job_id]
        step = script[min(self.reads.count(job_id), len(script) - 1)]
        self.reads.append(job_id)
        self._changed()
        await anyio.lowlevel.checkpoint()
        if isinstance(step, Exception):
            raise step
        return step

    async def publish(self, uri: str) -> None:
        """Somebody is told."""
        self.told.append(uri)
        self._changed()

    async def until(self, *, reads: int = 0, told: int = 0, of: str = "job-1") -> None:
        """Returns when so much has happened."""
        with anyio.fail_after(60):
            while self.reads.count(of) < reads or len(self.told) < told:
                await self._change.wait()

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()


@asynccontextmanager
async def watcher(deployment: Deployment) -> AsyncGenerator[JobWatcher]:
    """A watcher in a hurry, until the block ends."""
    async with anyio.create_task_group() as tasks:
        yield JobWatcher(tasks, deployment.read, deployment.publish, FAST)
        tasks.cancel_scope.cancel()


async def ended(deployment: Deployment, *uris: str) -> list[str]:
    """The URIs that were told by the time that the watcher has nothing left to do."""
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            watching = JobWatcher(tasks, deployment.read, deployment.publish, FAST)
            for uri in uris:
                await watching.watch(uri)
    return deployment.told


STARTING = Status.STARTING
LIMITED = RateLimitedError("read", "too many", "Wait", retry_after=0.001)


@pytest.mark.parametrize(
    ("script", "changes"),
    [
        ([QUEUED, QUEUED, STARTING, STARTING, STARTING, RUNNING, RUNNING, SUCCEEDED], 3),
        ([SUCCEEDED], 0),
        ([RUNNING, DOWN, LIMITED, RUNNING, DOWN, SUCCEEDED], 1),
        # Nobody knows what the reader of the resource has seen.
        ([DOWN, RUNNING, SUCCEEDED], 2),
    ],
    ids=["all", "ended-before", "trouble-that-passes", "trouble-at-first"],
)
async def test_each_change_is_told_once_and_reading_stops_with_the_last(
    script: list[Step], changes: int
) -> None:
    """Whatever comes twice between them; trouble neither is a change nor hides one."""
    deployment = Deployment(job_1=script)
    assert await ended(deployment, JOB) == [JOB] * changes
    assert len(deployment.reads) == len(script)


async def test_results_change_when_the_job_ends() -> None:
    """Until then there is nothing to read under these URIs."""
    uris = (JOB, f"{JOB}/status", f"{JOB}/results", f"{JOB}/results/summary")
    deployment = Deployment(job_1=[QUEUED, RUNNING, FAILED])
    assert await ended(deployment, *uris) == [JOB, f"{JOB}/status", *uris]
    assert len(deployment.reads) == 3


@pytest.mark.parametrize(
    ("error", "logged"), [(GONE, "INFO"), (RuntimeError("a bug"), "ERROR")], ids=["gone", "bug"]
)
async def test_a_job_that_can_no_longer_be_read_is_told_once_and_again_when_it_can(
    error: Exception, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading the resource says why; a bug does not end the watching of other jobs."""
    caplog.set_level("INFO", "sutro_mcp")
    deployment = Deployment(job_1=[RUNNING, error, error, error, RUNNING, FAILED])
    both = [JOB, f"{JOB}/results"]
    assert await ended(deployment, *both) == [*both, JOB, *both]
    assert [record.levelname for record in caplog.records] == [logged]


async def test_a_job_that_is_not_there_is_not_watched() -> None:
    """The one who asks is told, and nothing is left behind."""
    deployment = Deployment(job_1=[GONE])
    async with watcher(deployment) as watching:
        for _ in range(2):
            with pytest.raises(JobNotFoundError):
                await watching.watch(JOB)
    assert deployment.reads == ["job-1"] * 2


async def test_the_last_to_leave_ends_the_reading() -> None:
    """While somebody is left it goes on, and everybody is told as one."""
    deployment = Deployment(job_1=[QUEUED, RUNNING, RUNNING], job_2=[QUEUED])
    async with watcher(deployment) as watching:
        for _ in range(3):
            await watching.watch(JOB)
        watching.unwatch(JOB)
        watching.unwatch(JOB)
        await deployment.until(reads=3)
        assert deployment.told == [JOB]
        watching.unwatch(JOB)
        reads = deployment.reads.count("job-1")
        await watching.watch("sutro://jobs/job-2")
        await deployment.until(reads=5, of="job-2")
        assert deployment.reads.count("job-1") == reads


async def test_two_who_come_at_once_share_one_reader() -> None:
    """Both have read before either is entered."""
    deployment = Deployment(job_1=[QUEUED, QUEUED, RUNNING, SUCCEEDED])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            watching = JobWatcher(tasks, deployment.read, deployment.publish, FAST)
            tasks.start_soon(watching.watch, JOB)
            tasks.start_soon(watching.watch, f"{JOB}/status")
    assert deployment.told == [JOB, f"{JOB}/status"] * 2
    assert len(deployment.reads) == 4


async def test_there_is_a_limit_to_how_many_jobs_are_watched() -> None:
    """Each costs requests for as long as it is forgotten; one that is watched already costs nothing more."""
    deployment = Deployment(**{f"job_{n}": [QUEUED] for n in range(101)})
    async with watcher(deployment) as watching:
        for n in range(100):
            await watching.watch(f"sutro://jobs/job-{n}")
        await watching.watch("sutro://jobs/job-7/status")
        with pytest.raises(InvalidArgumentError, match="100 jobs are watched already"):
            await watching.watch("sutro://jobs/job-100")
        watching.unwatch("sutro://jobs/job-3")
        await watching.watch("sutro://jobs/job-100")


async def test_the_limit_holds_for_those_who_come_at_once() -> None:
    """Two resources of a job count as one, and refusals do not depend on who is faster."""
    deployment = Deployment(**{f"job_{n}": [QUEUED] for n in range(150)})
    refused: list[str] = []

    async with watcher(deployment) as watching:

        async def arrive(uri: str) -> None:
            try:
                await watching.watch(uri)
            except InvalidArgumentError:
                refused.append(uri)

        async with anyio.create_task_group() as tasks:
            for n in range(150):
                tasks.start_soon(arrive, f"sutro://jobs/job-{n}")
                tasks.start_soon(arrive, f"sutro://jobs/job-{n}/status")
    assert len(set(deployment.reads)) == 100
    assert len(refused) == 100
