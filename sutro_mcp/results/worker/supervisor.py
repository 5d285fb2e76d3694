"""Supervises child processes: starts them when needed, kills them on cancellation, silence or nonsense.

polars answers hostile files and memory exhaustion with SIGABRT, SIGSEGV or a panic, and importing it costs
every start-up half a second of CPU; so it lives in processes of its own. A dead one is an error for the call
that met it and nothing to the next.

SQL is written by a model that may be misled, so a query gets a process that can open nothing, for itself.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

import anyio
from pydantic import BaseModel

from sutro_mcp import errors
from sutro_mcp.concurrency import background
from sutro_mcp.results.cache.byte_ranges import ByteRange
from sutro_mcp.results.request_models import Loaded, LoadRequest, LocalArtifact, Page, QueryRequest, Request

from .process import BROKEN, Child
from .protocol import answer_in, request_for
from .sandbox import check_platform

Answer = TypeVar("Answer", bound=BaseModel)
OnRows = Callable[[int, int], None]

_READING = "Nothing was lost: try a smaller page or fewer columns; if it stays, the results may be damaged"
_LOADING = "Use get_job_results: the results may be too large for SQL, or damaged"
_QUERYING = "It may need too much memory or time: filter or aggregate, and join only ON equal columns"


class ByteSource(Protocol):
    """Where the bytes of an artifact come from."""

    async def fetch(self, ranges: Sequence[ByteRange], /) -> None: ...
    async def prefetch(self, ranges: Sequence[ByteRange], /) -> None: ...


class Worker:
    """Runs tasks one after another in a process that is used again. Close it with `aclose`."""

    def __init__(self, patience: float = 120.0) -> None:
        """`patience`: how long a task may be silent, in seconds, not counting waits for its bytes."""
        self._patience = patience
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
        doing, process = request.doing(artifact.spec), "the process that reads results"
        async with self._lock:
            try:
                async with _in_our_words(doing, process, self._patience, _READING, self._stop):
                    child = await self._running()
                    raw = request_for(artifact, request)
                    reply = await _converse(child, raw, self._patience, source, on_rows, prefetch)
            except BaseException:
                # Half way through: the pipe holds half a conversation.
                await self._stop()
                raise
        if isinstance(reply, errors.SutroError):
            raise reply
        return answer.model_validate(
            answer_in(reply, errors.WorkerError(doing, f"{process} failed", _READING))
        )

    async def start(self) -> None:
        """Start the process ahead of need."""
        async with self._lock:
            await self._running()

    async def aclose(self) -> None:
        """Stop the process, if any."""
        await self._stop()

    async def _running(self) -> Child:
        if self._child is not None and not self._child.is_running:
            await self._stop()
        if self._child is None:
            self._child = await Child.start("reader")
        return self._child

    async def _stop(self, patience: float = 0) -> str:
        child, self._child = self._child, None
        return await child.end(patience) if child is not None else "it could not be started"


class QueryRunner:
    """Runs queries one after another, each in a process of its own that is gone with the answer.

    Not side by side: each may take four threads and some gigabytes.
    """

    def __init__(self, *, load_seconds: float = 120.0, query_seconds: float = 8.0) -> None:
        """The longest that loading the artifact and running the SQL may take."""
        self._load_seconds = load_seconds
        self._query_seconds = query_seconds
        self._lock = anyio.Lock()

    async def run(self, artifact: LocalArtifact, request: QueryRequest) -> Page:
        """The page. Raises what the query raises, WorkerError when its process fails, or ArtifactChangedError
        when the artifact is not there any more.
        """
        check_platform()
        async with self._lock, _query_process(request.doing(artifact.spec)) as child:
            await _ask(child, artifact, LoadRequest(), Loaded, self._load_seconds, _LOADING)
            # Only now does the SQL enter the process, which can open nothing any more.
            return await _ask(child, artifact, request, Page, self._query_seconds, _QUERYING)


async def _ask(
    child: Child,
    artifact: LocalArtifact,
    request: Request,
    answer: type[Answer],
    seconds: float,
    advice: str,
) -> Answer:
    """The answer of a query's process within `seconds`, or a WorkerError with `advice`."""
    doing = request.doing(artifact.spec)
    async with _in_our_words(doing, "its process", seconds, advice, child.end):
        with anyio.fail_after(seconds):
            await child.send(request_for(artifact, request))
            reply = await child.receive()
    return answer.model_validate(answer_in(reply, errors.WorkerError(doing, "its process failed", advice)))


@asynccontextmanager
async def _query_process(doing: str) -> AsyncGenerator[Child]:
    """A process that ends with the block, and whatever it may have started with it."""
    try:
        child = await Child.start("query")
    except OSError:
        raise errors.WorkerError(doing, "its process could not be started", _LOADING) from None
    try:
        yield child
    finally:
        await child.end()


@asynccontextmanager
async def _in_our_words(
    doing: str, process: str, seconds: float, advice: str, end: Callable[[float], Awaitable[str]]
) -> AsyncGenerator[None]:
    """Turn the silence or the end of a process into a WorkerError."""
    try:
        yield
    except TimeoutError:
        raise errors.WorkerError(doing, f"it took more than {seconds:g} seconds", advice) from None
    except BROKEN:
        raise errors.WorkerError(doing, f"{process} stopped ({await end(1)})", advice) from None


async def _converse(
    child: Child,
    raw: bytes,
    patience: float,
    source: ByteSource | None,
    on_rows: OnRows | None,
    prefetch: Sequence[ByteRange],
) -> dict[str, Any] | errors.SutroError:
    """The reply of a child, or the error for which it could not be given what it needed."""

    async def fetch_early(source: ByteSource, ranges: list[ByteRange]) -> None:
        # What goes wrong here goes wrong again when the task needs the bytes.
        with suppress(errors.SutroError):
            await source.prefetch(ranges)

    async with background() as group:
        if source is not None:
            for each in prefetch:
                group.start_soon(fetch_early, source, [each])
        with anyio.fail_after(patience):
            await child.send(raw)
        failure: errors.SutroError | None = None
        while True:
            with anyio.fail_after(patience):
                message = await child.receive()
            if "fetch" in message and source is not None:
                try:
                    await source.fetch(_ranges(message["fetch"]))
                except errors.SutroError as error:
                    failure = error
                await child.send(b"true" if failure is None else b"false")
            elif "prefetch" in message and source is not None:
                group.start_soon(fetch_early, source, _ranges(message["prefetch"]))
            elif "rows" in message:
                if on_rows:
                    on_rows(*message["rows"])
            else:
                return failure or message


def _ranges(raw: list[list[int]]) -> list[ByteRange]:
    return [(start, stop) for start, stop in raw]
