"""Supervises child processes: starts them when needed, kills them on cancellation, silence or nonsense.

polars answers hostile files and memory exhaustion with SIGABRT, SIGSEGV or a panic, and importing it costs
every start-up half a second of CPU; so it lives in processes of its own. A dead one is an error for the call
that met it and nothing to the next.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import anyio

from sutro_mcp.concurrency import background
from sutro_mcp.errors import SutroError, WorkerError
from sutro_mcp.results.byte_ranges import ByteRange
from sutro_mcp.results.request_models import (
    Loaded,
    LoadRequest,
    LocalArtifact,
    Request,
    SqlTable,
)

from .memory_shares import MIB
from .process import BROKEN, Child, Kind
from .protocol import Answer, Reply, reply_with, request_for
from .sandbox import check_platform, has_sandbox

OnRows = Callable[[int, int], None]

_NAMES: dict[Kind, str] = {"reader": "the process that reads results", "query": "its process"}


class ByteSource(Protocol):
    """Where the bytes of an artifact come from."""

    async def fetch(self, ranges: Sequence[ByteRange], /) -> None: ...
    async def prefetch(self, ranges: Sequence[ByteRange], /) -> None: ...


class Worker:
    """Runs tasks one after another in a child process. Close it with `aclose`."""

    def __init__(
        self,
        kind: Kind = "reader",
        patience: float = 120.0,
        *,
        ends: Counter[str] | None = None,
        share: int | None = None,
    ) -> None:
        """`patience`: how long a task may be silent, in seconds, not counting waits for its bytes.

        `ends` counts why processes ended in the middle of a task: "time" or "crash". `share`: the bytes of
        memory that one may use.
        """
        self._ends = Counter[str]() if ends is None else ends
        self._share = share
        self.patience = patience
        self._kind: Kind = kind
        self._lock = anyio.Lock()
        self._child: Child | None = None

    async def run(
        self,
        artifact: LocalArtifact,
        request: Request,
        answer: type[Answer],
        source: ByteSource | None = None,
        on_rows: OnRows | None = None,
        prefetch: Sequence[ByteRange] = (),
    ) -> Answer:
        """The answer to `request`. Raises what the task or `source` raises, or WorkerError.

        An artifact that is whole on disk needs no `source`. Bytes of `prefetch` are fetched side by side
        before the task asks for them.
        """
        doing, process = request.doing(artifact.spec), _NAMES[self._kind]

        def failed(happened: str) -> WorkerError:
            return WorkerError(doing, happened, request.advice)

        child: Child | None = None
        async with self._lock:
            try:
                child = await self._running()
                message = request_for(artifact, request)
                reply = await self._converse(child, message, reply_with(answer), source, on_rows, prefetch)
            except TimeoutError:
                self._ends["time"] += 1
                await self._stop()
                raise failed(f"it took more than {self.patience:g} seconds") from None
            except BROKEN:
                self._ends["crash"] += 1
                # A dying one needs a moment to tell why.
                end = "could not be started" if child is None else f"stopped ({await child.end(1)})"
                await self._stop()
                raise failed(f"{process} {end}{self._memory()}") from None
            except BaseException:
                # Half way through: the pipe holds half a conversation.
                await self._stop()
                raise
        if isinstance(reply, SutroError):
            raise reply
        return reply.outcome(failed(f"{process} failed{self._memory()}"))

    async def start(self) -> None:
        """Start the process ahead of need; the first task meets what goes wrong."""
        with suppress(OSError):
            async with self._lock:
                await self._running()

    async def aclose(self) -> None:
        await self._stop()

    async def _converse(
        self,
        child: Child,
        raw: bytes,
        replies: type[Reply[Answer]],
        source: ByteSource | None,
        on_rows: OnRows | None,
        prefetch: Sequence[ByteRange],
    ) -> Reply[Answer] | SutroError:
        """The reply of a child, or the error for which it could not be given what it needed."""

        async def fetch_early(source: ByteSource, ranges: list[ByteRange]) -> None:
            try:
                await source.prefetch(ranges)
            except SutroError as error:
                # What goes wrong here goes wrong again when the task needs the bytes, unless nothing is left
                # to try: then the task is told at once.
                if error.given_up:
                    early.append(error)

        early: list[SutroError] = []
        failure: SutroError | None = None
        async with background() as group:
            if source is not None:
                for each in prefetch:
                    group.start_soon(fetch_early, source, [each])
            with anyio.fail_after(self.patience):
                await child.send(raw)
            while True:
                with anyio.fail_after(self.patience):
                    message = replies.model_validate_json(await child.receive())
                if message.fetch is not None and source is not None:
                    try:
                        if early:
                            raise early[0]
                        await source.fetch(message.fetch)
                    except SutroError as error:
                        failure = error
                    await child.send(b"true" if failure is None else b"false")
                elif message.prefetch is not None and source is not None:
                    group.start_soon(fetch_early, source, message.prefetch)
                elif message.rows is not None:
                    if on_rows is not None:
                        on_rows(*message.rows)
                else:
                    return failure or message

    def _memory(self) -> str:
        """The likely reason for an end, where a container leaves little."""
        if self._share is None:
            return ""
        return f", with at most {self._share // MIB} MiB of memory, as this container is limited"

    async def _running(self) -> Child:
        if self._child is not None and not self._child.is_running:
            await self._stop()
        if self._child is None:
            self._child = await Child.start(self._kind, self._share)
        return self._child

    async def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()


class QueryRunner:
    """Runs queries one after another, each in a process that can open nothing and is gone with the answer.

    SQL is written by a model that may be misled. Not side by side: each may take half a gigabyte.
    """

    def __init__(
        self,
        *,
        load_seconds: float = 20.0,
        query_seconds: float = 30.0,
        lock_suffices: bool = False,
        ends: Counter[str] | None = None,
        share: int | None = None,
        turns: anyio.Lock | None = None,
    ) -> None:
        """The longest that getting ready and running the SQL may take.

        `lock_suffices`: where there is no sandbox, DuckDB's own lock is enough. `ends` and `share`: see
        `Worker`. `turns` is held by whichever runner has a process, where there is memory for one.
        """
        self._ends = ends
        self._share = share
        self._lock_suffices = lock_suffices
        self._load_seconds = load_seconds
        self._query_seconds = query_seconds
        self._lock = turns or anyio.Lock()

    def check(self) -> None:
        """Raises ConfigurationError where SQL is not to be run."""
        if not self._lock_suffices:
            check_platform()

    async def run(
        self,
        tables: Mapping[str, SqlTable],
        request: Request,
        answer: type[Answer],
        on_rows: OnRows | None = None,
        output: str | None = None,
    ) -> Answer:
        """The answer. `output` is a new file that the query may write into; it is gone if that fails.

        Raises what the query raises, WorkerError when its process fails, or ArtifactChangedError when an
        artifact is not there any more.
        """
        artifact = next(iter(tables.values())).artifact
        self.check()
        load = LoadRequest(
            tables=dict(tables),
            cpu_seconds=request.cpu_limit,
            output=output,
            lock_alone=not has_sandbox(),
        )
        async with self._lock:
            worker = Worker("query", self._load_seconds, ends=self._ends, share=self._share)
            try:
                await worker.run(artifact, load, Loaded)
                # Only now does the SQL enter the process, which can open nothing any more.
                worker.patience = self._query_seconds
                return await worker.run(artifact, request, answer, on_rows=on_rows)
            except BaseException:
                if output is not None:
                    with suppress(OSError):
                        Path(output).unlink()  # noqa: ASYNC240 - shorter than any wait for a thread
                raise
            finally:
                await worker.aclose()
