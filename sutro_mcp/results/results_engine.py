"""Results of jobs as pages, summaries, query answers and files: artifact store in front, workers behind."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from anyio.abc import TaskGroup

from sutro_mcp.concurrency import LRU, background, task_group
from sutro_mcp.errors import ArtifactChangedError, QueryMemoryError, SutroError
from sutro_mcp.results.export.file_names import export_name, joinable_name
from sutro_mcp.results.export.folder_files import discard, real_path, stamp
from sutro_mcp.results.worker.memory_shares import MemoryShares, memory_shares
from sutro_mcp.results.worker.server_processes import Processes
from sutro_mcp.results.worker.supervisor import OnRows
from sutro_mcp.results_spec import ResultsSpec

from .cache import CAPACITY, ArtifactSource, ArtifactStore, CachedArtifact, kept_folder
from .request_models import (
    CompareRequest,
    Comparison,
    ExpectedResults,
    ExportReport,
    ExportRequest,
    LocalArtifact,
    NarrowRequest,
    Page,
    PageRequest,
    PrepareRequest,
    QueryRequest,
    QueryRows,
    Request,
    SqlTable,
    Summary,
    SummaryRequest,
    WriteRequest,
    YieldedRows,
)
from .single_flight import ProgressCallback, SingleFlight, bytes_to, rows_to

T = TypeVar("T")

# Hosts give up on a call after a minute.
_PATIENCE = 45.0
_MOST_SUMMARIES = 64
# Questions about less are answered as fast without a table of the short columns.
_LARGE = 1024 * 1024


class ResultsEngine:
    """Reads artifacts for one server. Open it with `results_engine`.

    Every method takes the deployment that has the results, which of them are meant, and a request. Those
    that may take long raise StillWorkingError then; the same call again joins the same work.
    """

    def __init__(self, store: ArtifactStore, group: TaskGroup, patience: float, processes: Processes) -> None:
        self.store = store
        self._group = group
        self._flights = SingleFlight(group, patience)
        self.worker_ends = processes.ends
        """Why processes ended in the middle of a task: see `Worker`."""
        self._pages, self._long = processes.pages, processes.long
        self._queries, self._sql_exports = processes.queries, processes.sql_exports
        # By the file that they were made of, and the request.
        self._summaries = LRU[tuple[Path | None, Request], Summary](_MOST_SUMMARIES)
        self._folders: dict[Path, Path] = {}

    async def aclose(self) -> None:
        await self._pages.aclose()
        await self._long.aclose()

    async def page(
        self,
        source: ArtifactSource,
        spec: ResultsSpec,
        request: PageRequest,
        *,
        fresh: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> Page:
        """The rows asked for. `fresh` reads them from the deployment, whatever is kept."""

        async def make(artifact: CachedArtifact) -> Page:
            from .parquet import opening_ranges  # a server that starts has no file to read yet

            # Asked for before the worker, which may be busy, knows that it needs it.
            with_head = request.offset == 0 and not request.columns
            await artifact.fetch(opening_ranges(artifact.size, with_head=with_head))
            with artifact.reporting(bytes_to(on_progress)):
                return await self._pages.run(_local(artifact, spec), request, Page, artifact)

        # It loads its libraries while the first bytes come.
        await self._pages.start()
        return await self._read(source, spec, make, on_progress, fresh=fresh)

    async def summary(
        self,
        source: ArtifactSource,
        spec: ResultsSpec,
        request: SummaryRequest,
        *,
        expected: Callable[[], Awaitable[ExpectedResults]] | None = None,
        fresh: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> Summary:
        """The summary of all rows, kept for the next caller. `expected` asks what the job says of them."""

        async def work(notify: ProgressCallback) -> Summary:
            await self._long.start()

            async def make(artifact: CachedArtifact) -> Summary:
                from .parquet import opening_ranges

                job = ExpectedResults()

                async def look_up(expected: Callable[[], Awaitable[ExpectedResults]]) -> None:
                    nonlocal job
                    job = await expected()

                # Not before the deployment has answered: one that is down is asked for one thing only.
                async with task_group() as group:
                    if expected:
                        group.start_soon(look_up, expected)
                    await artifact.fetch(opening_ranges(artifact.size))
                asked = request.model_copy(update={"expected": job})
                local, rows = _local(artifact, spec), rows_to(notify)
                everything = [(0, artifact.size)]
                summary = await self._long.run(local, asked, Summary, artifact, rows, everything)
                if not fresh:
                    self._summaries[artifact.path, request] = summary
                return summary

            return await self._read(source, spec, make, notify, fresh=fresh)

        kept = (self.store.path_of(source, spec), request)
        if kept in self._summaries and not fresh:
            return self._summaries[kept]
        key = (source.cache_identity, spec, request, fresh and token_hex(8))
        return await self._flights.run(key, request.doing(spec), work, on_progress)

    async def query(
        self,
        source: ArtifactSource,
        specs: Mapping[str, ResultsSpec],
        request: QueryRequest,
        *,
        on_progress: ProgressCallback | None = None,
    ) -> QueryRows:
        """The first rows that one SELECT yields, as many as fit. `specs`: by the name of its table.

        Raises InvalidArgumentError for SQL that cannot be run.
        """

        async def make(tables: Mapping[str, SqlTable], _notify: ProgressCallback) -> QueryRows:
            ask = partial(self._queries.run, request=request, answer=QueryRows)
            rows = await self._with_little_memory(tables, ask)
            for table in tables.values():
                if table.narrow_file is None:
                    self._group.start_soon(self._narrow, source, table.artifact.spec)
            return rows

        return await self._of_tables(source, specs, request, make, on_progress)

    async def compare(
        self,
        source: ArtifactSource,
        before: ResultsSpec,
        after: ResultsSpec,
        request: CompareRequest,
        *,
        on_progress: ProgressCallback | None = None,
    ) -> Comparison:
        """Changes between two runs. Raises InvalidArgumentError for a column that one of them lacks."""

        async def make(tables: Mapping[str, SqlTable], notify: ProgressCallback) -> Comparison:
            return await self._queries.run(tables, request, Comparison, rows_to(notify))

        specs = {"before": before, "after": after}
        return await self._of_tables(source, specs, request, make, on_progress)

    async def _of_tables(
        self,
        source: ArtifactSource,
        specs: Mapping[str, ResultsSpec],
        request: Request,
        make: Callable[[Mapping[str, SqlTable], ProgressCallback], Awaitable[T]],
        on_progress: ProgressCallback | None,
    ) -> T:
        """The result of `make` for artifacts that DuckDB can read; made once more if one was replaced."""
        self._queries.check()

        async def once(notify: ProgressCallback) -> T:
            tables: dict[str, SqlTable] = {}
            async with AsyncExitStack() as held:
                try:
                    for name, spec in specs.items():
                        on_bytes = bytes_to(_part(notify, len(tables), len(specs)))
                        whole = partial(self.store.artifact, source, spec, on_bytes=on_bytes)
                        await held.enter_async_context(whole())
                        # Once more: what is wrong with this one says nothing against those before.
                        async with whole() as artifact:
                            with artifact.reporting(on_bytes):
                                await artifact.fetch([(0, artifact.size)])
                            local = _local(artifact, spec)
                            tables[name] = await self._long.run(local, PrepareRequest(), SqlTable)
                except SutroError as error:
                    failure = error
                else:
                    notify(0.5, "the results are fetched, what was asked runs over them")
                    return await make(tables, notify)
            raise failure

        async def work(notify: ProgressCallback) -> T:
            return await _again_if_changed(partial(once, notify))

        key = (source.cache_identity, tuple(specs.items()), request)
        return await self._flights.run(key, request.doing(*specs.values()), work, on_progress)

    async def _with_little_memory(
        self, tables: Mapping[str, SqlTable], ask: Callable[[Mapping[str, SqlTable]], Awaitable[T]]
    ) -> T:
        """The result of `ask`: where that takes too much memory, from the short columns if they suffice."""
        try:
            return await ask(tables)
        except QueryMemoryError:
            if all(table.narrow_file for table in tables.values()):
                raise
        make = partial(self._long.run, request=NarrowRequest(), answer=SqlTable)
        return await ask({name: await make(table.artifact) for name, table in tables.items()})

    async def _narrow(self, source: ArtifactSource, spec: ResultsSpec) -> None:
        """Make what answers further questions about the artifact with a fraction of the work."""

        async def make(artifact: CachedArtifact) -> None:
            if artifact.size >= _LARGE:
                await self._long.run(_local(artifact, spec), NarrowRequest(), SqlTable)

        # The next question is answered without it.
        with suppress(SutroError):
            await self._read(source, spec, make, None)

    async def export(
        self,
        source: ArtifactSource,
        spec: ResultsSpec,
        request: ExportRequest,
        *,
        beside: Mapping[str, ResultsSpec] | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> ExportReport:
        """Write all rows, or what `request.sql` yields, into a new file. `beside`: more tables, by name.

        Links in the path of the folder are followed once, when it is first named, and never again.
        """
        name, form = export_name(request.file_name, request.format)
        if request.join_with:
            joinable_name(request.join_with)
        folder = self._folders.setdefault(request.folder, real_path(request.folder))
        request = request.model_copy(update={"folder": folder, "file_name": name, "format": form})

        async def make(artifact: CachedArtifact, notify: ProgressCallback) -> ExportReport:
            return await self._write(_local(artifact, spec), request, artifact, rows_to(notify))

        async def make_of_sql(tables: Mapping[str, SqlTable], notify: ProgressCallback) -> ExportReport:
            table = tables["results"]
            # A name that is known to be nobody's when this process ends before it removes the file.
            path = Path(f"{table.profile_file}.{token_hex(4)}.part")
            asked = WriteRequest(sql=request.sql, path=str(path), format=form)
            ask = partial(self._sql_exports.run, request=asked, answer=YieldedRows, output=str(path))
            try:
                yielded = await self._with_little_memory(tables, ask)
                finished = request.model_copy(update={"yielded": yielded})
                return await self._write(table.artifact, finished, None, rows_to(notify))
            finally:
                with suppress(OSError):
                    path.unlink()  # noqa: ASYNC240 - shorter than any wait for a thread

        # A file to join with may be another one by the time somebody asks again.
        joined = request.join_with and stamp(folder / request.join_with)
        key = (source.cache_identity, spec, request, joined)
        write = partial(self._of_the_whole, key, source, spec, request, make, on_progress)
        if request.sql:
            specs = {"results": spec, **(beside or {})}
            write = partial(self._of_tables, source, specs, request, make_of_sql, on_progress)
        report = await write()
        if (stamp(folder / name) or (0, None))[1] != report.bytes:
            # It was written for a caller who had left, and has gone since.
            report = await write()
        return report

    async def _write(
        self,
        artifact: LocalArtifact,
        request: ExportRequest,
        source: CachedArtifact | None,
        on_rows: OnRows,
    ) -> ExportReport:
        temporary = f".sutro-export-{token_hex(8)}.part"
        asked = request.model_copy(update={"temporary": temporary})
        try:
            return await self._long.run(artifact, asked, ExportReport, source, on_rows)
        except BaseException:
            # A worker that was stopped half way could not tidy up itself.
            discard(request.folder, temporary)
            raise

    async def _of_the_whole(
        self,
        key: Hashable,
        source: ArtifactSource,
        spec: ResultsSpec,
        request: Request,
        make: Callable[[CachedArtifact, ProgressCallback], Awaitable[T]],
        on_progress: ProgressCallback | None,
    ) -> T:
        """Work under `key` on an artifact that is whole on disk."""

        async def work(notify: ProgressCallback) -> T:
            async def make_of_the_whole(artifact: CachedArtifact) -> T:
                with artifact.reporting(bytes_to(notify)):
                    await artifact.fetch([(0, artifact.size)])
                return await make(artifact, notify)

            return await self._read(source, spec, make_of_the_whole, notify)

        return await self._flights.run(key, request.doing(spec), work, on_progress)

    async def _read(
        self,
        source: ArtifactSource,
        spec: ResultsSpec,
        make: Callable[[CachedArtifact], Awaitable[T]],
        on_progress: ProgressCallback | None,
        *,
        fresh: bool = False,
    ) -> T:
        """The result of `make` for the artifact; made once more if that was replaced meanwhile."""

        async def once() -> T:
            on_bytes = bytes_to(on_progress)
            async with self.store.artifact(source, spec, fresh=fresh, on_bytes=on_bytes) as artifact:
                return await make(artifact)

        return await _again_if_changed(once)


@asynccontextmanager
async def results_engine(
    folder: Path | None = None,
    capacity: int = CAPACITY,
    patience: float = _PATIENCE,
    *,
    lock_suffices: bool = False,
    memory: MemoryShares | None = None,
) -> AsyncGenerator[ResultsEngine]:
    """An engine with its workers, which are gone when the block ends.

    Artifacts are kept below `folder` for the next process, at most `capacity` bytes of them; without it, or
    where others may write into it, they are gone with the block. A caller waits `patience` seconds at
    most for a summary, a query or an export. `lock_suffices`: see `QueryRunner`; `memory`: what
    its processes may use, without it what the container leaves them.
    """
    store = ArtifactStore(kept_folder(folder), capacity)
    try:
        async with background() as group:
            processes = Processes(memory or memory_shares(), lock_suffices=lock_suffices)
            engine = ResultsEngine(store, group, patience, processes)
            try:
                yield engine
            finally:
                group.cancel_scope.cancel()
                await engine.aclose()
    finally:
        store.close()


def _local(artifact: CachedArtifact, spec: ResultsSpec) -> LocalArtifact:
    return LocalArtifact(
        path=str(artifact.path),
        format=artifact.format,
        spec=spec,
        inode=artifact.inode,
        is_whole=artifact.is_whole,
    )


async def _again_if_changed(work: Callable[[], Awaitable[T]]) -> T:
    try:
        return await work()
    except ArtifactChangedError:
        return await work()


def _part(on_progress: ProgressCallback, done: int, count: int) -> ProgressCallback:
    """Tells `on_progress` of one of several artifacts, which come one after another."""
    return lambda share, words: on_progress((done / 2 + share) / count, words)
