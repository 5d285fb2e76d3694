"""The worker as a process: reused, free to die at any time, without secrets and never left behind."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from sutro_mcp import errors
from sutro_mcp.results import LocalArtifact, Page, Summary
from sutro_mcp.results.byte_ranges import ByteRange
from sutro_mcp.results.request_models import LoadRequest, PageRequest, QueryRequest, Request, SummaryRequest
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.protocol import framed, request_for
from sutro_mcp.results.worker.supervisor import QueryRunner, Worker
from sutro_mcp.results_spec import ResultsSpec
from tests.results import support
from tests.results.support import aborting, children, file, outputs, panicking, reads_proc

pytestmark = pytest.mark.anyio

COMMAND = [sys.executable, "-E", "-P", "-m", "sutro_mcp.results.worker_main", "reader"]
HARMLESS = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "POLARS_MAX_THREADS"}


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    """A worker that is closed at the end."""
    worker = Worker()
    with anyio.fail_after(60):
        yield worker
        await worker.aclose()


@pytest.fixture
def artifact(tmp_path: Path) -> LocalArtifact:
    """Results of two rows."""
    return outputs(tmp_path, "a", "b")


async def page(worker: Worker, artifact: LocalArtifact, offset: int = 0) -> Page:
    """One page, by way of the worker."""
    return await worker.run(artifact, PageRequest(offset=offset), Page)


def processes() -> list[int]:
    """The worker processes of this process."""
    return [int(entry.name) for entry in children("reader")]


async def test_answers_are_those_of_this_process(worker: Worker, artifact: LocalArtifact) -> None:
    """Pages and summaries, unchanged by the pipe."""
    assert await page(worker, artifact) == support.page(artifact)
    assert await worker.run(artifact, SummaryRequest(), Summary) == support.summary(artifact)


async def held(worker: Worker, artifact: LocalArtifact) -> int:
    """The process of a worker that has answered once, stopped so that the next call stays under way."""
    await page(worker, artifact)
    (pid,) = processes()
    os.kill(pid, signal.SIGSTOP)
    return pid


async def call_that_fails(worker: Worker, artifact: LocalArtifact, words: str) -> None:
    """A call that ends with an error of the worker."""
    with pytest.raises(errors.WorkerError, match=words):
        await page(worker, artifact)


class Store:
    """An artifact of which nothing has come yet, and what is asked of it."""

    def __init__(
        self, folder: Path, artifact: LocalArtifact, failure: errors.SutroError | None = None
    ) -> None:
        self._path = folder / "coming.parquet"
        self._content = Path(artifact.path).read_bytes()
        self.size = len(self._content)
        self._path.write_bytes(bytes(self.size))
        self._failure = failure
        self.wanted: list[ByteRange] = []
        self.ahead_of: list[ByteRange] = []

    @property
    def artifact(self) -> LocalArtifact:
        inode = self._path.stat().st_ino
        spec = ResultsSpec(support.JOB_ID)
        return LocalArtifact(path=str(self._path), format="parquet", spec=spec, inode=inode, is_whole=False)

    async def fetch(self, spans: Sequence[ByteRange]) -> None:
        """They come at once, or never."""
        self.wanted += spans
        if self._failure:
            raise self._failure
        with self._path.open("r+b") as file:
            for start, stop in spans:
                file.seek(start)
                file.write(self._content[start:stop])

    async def prefetch(self, spans: Sequence[ByteRange]) -> None:
        """They fail, which is not heard of."""
        self.ahead_of += spans
        raise errors.ConnectionFailedError("read", "not there", "Call again")


async def test_bytes_that_the_task_needs_are_fetched_when_it_says_so(worker: Worker, tmp_path: Path) -> None:
    """And those that it will need before; of its rows it tells whoever listens."""
    dice = random.Random(1)
    artifact = outputs(tmp_path, *(dice.randbytes(500).hex() for _ in range(2_000)))
    store, heard = Store(tmp_path, artifact), list[tuple[int, int]]()
    early = [(0, 3), (3, 4)]

    def hear(done: int, total: int) -> None:
        heard.append((done, total))

    summary = await worker.run(store.artifact, SummaryRequest(), Summary, store, hear, early)
    assert summary == support.summary(artifact)
    assert set(early) < set(store.ahead_of)
    assert max(stop for _, stop in store.wanted) == store.size
    assert heard[-1] == (2_000, 2_000)


@reads_proc
async def test_bytes_that_do_not_come_are_the_error_of_their_store(
    worker: Worker, artifact: LocalArtifact, tmp_path: Path
) -> None:
    """Not one of the process, which is there for the next call."""
    store = Store(tmp_path, artifact, errors.ConnectionFailedError("read", "gone", "Call again"))
    await worker.start()
    before = processes()
    with pytest.raises(errors.ConnectionFailedError, match="gone"):
        await worker.run(store.artifact, PageRequest(), Page, store)
    assert (await page(worker, artifact)).row_count == 2
    assert processes() == before


@reads_proc
@pytest.mark.parametrize("ahead", [True, False], ids=["started ahead", "started by calls"])
async def test_one_process_serves_all_calls(worker: Worker, artifact: LocalArtifact, ahead: bool) -> None:
    """Whether it is started ahead of need or by the first calls, several at once."""
    assert processes() == []
    async with anyio.create_task_group() as calls:
        for _ in range(3):
            if ahead:
                calls.start_soon(worker.start)
            else:
                calls.start_soon(page, worker, artifact)
    first = processes()
    await worker.start()
    await page(worker, artifact)
    assert len(first) == 1
    assert processes() == first


async def test_an_error_of_ours_crosses_the_pipe(worker: Worker, artifact: LocalArtifact) -> None:
    """With its class and its three parts; the process lives on."""
    with pytest.raises(errors.InvalidArgumentError) as here:
        support.page(artifact, offset=2)
    with pytest.raises(errors.InvalidArgumentError) as there:
        await page(worker, artifact, offset=2)
    assert vars(there.value) == vars(here.value)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize("damaged", [aborting(), panicking()], ids=["would abort polars", "panics polars"])
async def test_a_file_that_polars_does_not_survive_is_an_error(
    worker: Worker, artifact: LocalArtifact, tmp_path: Path, damaged: bytes
) -> None:
    """A damaged file is not the worker's failure; the next call works."""
    with pytest.raises(errors.UnexpectedReplyError, match="damaged"):
        await page(worker, file(tmp_path, damaged))
    assert (await page(worker, artifact)).rows == [["a"], ["b"]]


async def test_a_bug_in_a_task_is_an_error_that_names_its_class(
    worker: Worker, artifact: LocalArtifact
) -> None:
    """No more: the traceback may hold data."""
    with pytest.raises(errors.WorkerError, match=r"the process that reads results failed \(KeyError\)"):
        await worker.run(artifact, Request(), Page)
    assert (await page(worker, artifact)).row_count == 2


@reads_proc
async def test_a_process_killed_while_it_works_is_an_error(worker: Worker, artifact: LocalArtifact) -> None:
    """For the call it worked on, and for no other."""
    pid = await held(worker, artifact)
    async with anyio.create_task_group() as calls:
        calls.start_soon(call_that_fails, worker, artifact, "signal 9")
        await anyio.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGKILL)
    assert (await page(worker, artifact)).row_count == 2


@reads_proc
async def test_a_process_killed_between_calls_is_replaced(worker: Worker, artifact: LocalArtifact) -> None:
    """Nobody notices."""
    await page(worker, artifact)
    (pid,) = processes()
    os.kill(pid, signal.SIGKILL)
    await has_noticed_the_end_of(pid)
    assert (await page(worker, artifact)).row_count == 2
    assert processes() != [pid]


@reads_proc
async def test_a_call_that_is_cancelled_takes_its_process_along(
    worker: Worker, artifact: LocalArtifact
) -> None:
    """Or its late answer would be taken for that of the next call."""
    await held(worker, artifact)
    async with anyio.create_task_group() as calls:
        calls.start_soon(page, worker, artifact, 1)
        await anyio.wait_all_tasks_blocked()
        calls.cancel_scope.cancel()
    assert processes() == []
    assert (await page(worker, artifact)).rows == [["a"], ["b"]]


@reads_proc
async def test_a_call_past_its_deadline_takes_its_process_along(artifact: LocalArtifact) -> None:
    """Nothing starts and imports polars within 50 milliseconds."""
    worker = Worker(patience=0.05)
    with anyio.fail_after(60), pytest.raises(errors.WorkerError, match=r"it took more than 0\.05 seconds"):
        await page(worker, artifact)
    assert processes() == []


@reads_proc
async def test_closing_leaves_no_process(worker: Worker, artifact: LocalArtifact) -> None:
    """Whether or not one was started; a call under way ends with an error."""
    await worker.aclose()
    await held(worker, artifact)
    async with anyio.create_task_group() as calls:
        calls.start_soon(call_that_fails, worker, artifact, "stopped")
        await anyio.wait_all_tasks_blocked()
        await worker.aclose()
    assert processes() == []


@reads_proc
async def test_the_process_knows_no_secret(
    worker: Worker, artifact: LocalArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what it needs to find its libraries and temporary files."""
    monkeypatch.setenv("SUTRO_API_KEY", "sk-secret")
    monkeypatch.setenv("SUTRO_API_URL", "https://example.org")
    monkeypatch.setenv("OTHER_SECRET", "sk-secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    await page(worker, artifact)
    (pid,) = processes()
    environment = await anyio.Path(f"/proc/{pid}/environ").read_bytes()
    names = {entry.partition(b"=")[0].decode() for entry in environment.split(b"\0") if entry}
    assert {"PATH", "LANG", "POLARS_MAX_THREADS"} <= names <= HARMLESS
    assert b"secret" not in environment


async def query(artifact: LocalArtifact) -> Page:
    """One query, in its process."""
    request = QueryRequest(sql="SELECT * FROM results")
    return await QueryRunner().run({"results": prepare(artifact)}, request, Page)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (r"\377\377\377\377", r"stopped \((exit code 0|signal \d+)\)"),
        (r"\000\000\000\003xyz", "stopped"),
        (r"\000\000\000\002[]", "stopped"),
        ("", "stopped"),
        (r'\000\000\000\021{"crash": "Boom"}', r"failed \(Boom\)"),
        (None, "could not be started"),
    ],
    ids=["4 GB", "not JSON", "a list", "nothing", "crash", "no interpreter"],
)
async def test_nonsense_from_a_process_is_an_error(
    worker: Worker,
    artifact: LocalArtifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reply: str | None,
    said: str,
) -> None:
    """It is ended, and with it whatever it may still say; the interpreter may be gone since the start."""
    impostor = tmp_path / "python"
    if reply is not None:
        impostor.write_text(f"#!/bin/sh\nhead -c 4 >/dev/null\nprintf '{reply}'\n")
        impostor.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(impostor))
    await call_that_fails(worker, artifact, said)
    with pytest.raises(errors.WorkerError, match=said):
        await query(artifact)


async def test_the_process_ends_with_its_stdin() -> None:
    """So it never outlives a server that is killed."""
    with anyio.fail_after(60):
        ended = await anyio.run_process(COMMAND, input=b"", stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="no parent to lose")
@pytest.mark.parametrize(
    ("kind", "ready"),
    [
        pytest.param("reader", b'{"crash": "KeyError"}', id="reader"),
        pytest.param("query", b'{"answer":{}}', id="query", marks=reads_proc),
    ],
)
async def test_the_process_ends_with_its_parent_although_stdin_stays_open(
    kind: str, ready: bytes, artifact: LocalArtifact
) -> None:
    """A busy one does not read, so it cannot notice the end of stdin when a server is killed."""
    requests, to_worker = os.pipe()
    replies, from_worker = os.pipe()
    command = [*COMMAND[:-1], kind]
    script = f"import subprocess; subprocess.Popen({command!r}, stdin={requests}).wait()"
    parent = await anyio.open_process(
        [sys.executable, "-c", script], stdout=from_worker, stderr=subprocess.DEVNULL, pass_fds=[requests]
    )
    os.close(requests)
    os.close(from_worker)
    try:
        with anyio.fail_after(60):
            # One has no such task, the other loads: both answer, and wait for more.
            load = LoadRequest(tables={"results": prepare(artifact)}, cpu_seconds=60)
            os.write(to_worker, framed(request_for(artifact, load)))
            await anyio.wait_readable(replies)
            assert os.read(replies, 1_000)[4:] == ready
            parent.kill()
            await parent.wait()
            # The worker alone holds the other end now.
            await anyio.wait_readable(replies)
            assert os.read(replies, 1) == b""
    finally:
        os.close(replies)
        os.close(to_worker)
        with anyio.CancelScope(shield=True):
            await parent.aclose()


async def has_noticed_the_end_of(pid: int) -> None:
    """Returns when asyncio knows that the process has ended."""
    with anyio.fail_after(60):
        while await anyio.Path(f"/proc/{pid}").exists():
            pass
        # On Python 3.11 a thread waits for each process and tells the loop.
        for thread in threading.enumerate():
            if thread.name.startswith("asyncio-waitpid"):
                await anyio.to_thread.run_sync(thread.join)
        await anyio.wait_all_tasks_blocked()
