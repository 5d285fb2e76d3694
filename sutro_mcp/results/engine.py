"""Results of jobs as pages, summaries, query answers and files: artifact store in front, workers behind."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

import anyio

from sutro_mcp.errors import ArtifactChangedError, WorkerError
from sutro_mcp.results.export.file_names import export_name, joinable_name
from sutro_mcp.results.export.folder import discard, real_path, stamp
from sutro_mcp.results.worker.confined import QueryRunner, check_platform
from sutro_mcp.results.worker.supervisor import Worker

from .cache import ArtifactSource, ArtifactStore, CachedArtifact, Variant, kept_folder
from .request_models import (
    ExpectedResults,
    ExportFormat,
    ExportReport,
    ExportRequest,
    LocalArtifact,
    Page,
    PageRequest,
    QueryRequest,
    Summary,
    SummaryRequest,
)
from .single_flight import OnProgress, SingleFlight, bytes_to, meanwhile, rows_to

T = TypeVar("T")

# Hosts give up on a call after a minute.
_PATIENCE = 45.0
_SUMMARIES = 64


class ResultsEngine:
    """Reads artifacts for one server. Open it with `results_engine`."""

    def __init__(self, store: ArtifactStore, flights: SingleFlight) -> None:
        self._store = store
        self._flights = flights
        # A page must not wait for somebody's summary of ten million rows.
        self._pages = Worker()
        self._long = Worker()
        self._queries = QueryRunner()
        # Each with the file that it was made of.
        self._summaries: OrderedDict[Hashable, tuple[Path, Summary]] = OrderedDict()
        self._folders: dict[Path, Path] = {}

    async def aclose(self) -> None:
        """Stop the workers."""
        await self._pages.aclose()
        await self._long.aclose()

    async def page(
        self,
        source: ArtifactSource,
        variant: Variant,
        *,
        offset: int = 0,
        limit: int = 20,
        columns: Sequence[str] = (),
        unpack_json: bool = True,
        output_column: str = "inference_result",
        max_cell_chars: int = 500,
        max_chars: int = 9_000,
        fresh: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Page:
        """Rows from `offset`, as many of `limit` as fit into `max_chars` characters of JSON text."""

        async def make(artifact: CachedArtifact) -> Page:
            from .parquet import opening_ranges  # a server that starts has no file to read yet

            # Asked for before the worker, which may be busy, knows that it needs it.
            await artifact.want(opening_ranges(artifact.size, with_head=offset == 0 and not columns))
            request = PageRequest(
                artifact=_ref(artifact, variant),
                offset=offset,
                limit=limit,
                columns=tuple(columns),
                unpack_json=unpack_json,
                output_column=output_column,
                max_cell_chars=max_cell_chars,
                max_chars=max_chars,
            )
            with artifact.reporting(bytes_to(on_progress)):
                doing = f"read rows of {variant.job_id}"
                return await self._pages.run("page", request, Page, doing, artifact)

        # It loads its libraries while the first bytes come.
        await self._pages.start()
        return await self._read(source, variant, make, fresh, on_progress)

    async def summary(
        self,
        source: ArtifactSource,
        variant: Variant,
        *,
        promise: Callable[[], Awaitable[ExpectedResults]] | None = None,
        unpack_json: bool = True,
        output_column: str = "inference_result",
        fresh: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Summary:
        """The summary of all rows, at most `SUMMARY_CHARS` characters of JSON text, kept for the next caller.

        Raises StillWorkingError when it takes long; the next call joins the same work.
        """
        doing = f"summarise the results of {variant.job_id}"

        async def work(report: OnProgress) -> tuple[Path, Summary]:
            await self._long.start()
            async with meanwhile(promise or _nothing_promised) as promised:

                async def make(artifact: CachedArtifact) -> tuple[Path, Summary]:
                    from .parquet import opening_ranges

                    job = await promised()
                    request = SummaryRequest(
                        artifact=_ref(artifact, variant),
                        expected_rows=job.num_rows,
                        json_schema=job.json_schema,
                        output_column=output_column,
                        unpack_json=unpack_json,
                    )
                    # Where reading begins and, beside it, everything.
                    early = [*opening_ranges(artifact.size), (0, artifact.size)]
                    run, told = self._long.run, rows_to(report)
                    return artifact.path, await run("summary", request, Summary, doing, artifact, told, early)

                return await self._read(source, variant, make, fresh, report)

        key = (source.cache_identity, variant, unpack_json, output_column)
        if fresh:
            _, summary = await self._flights.join((key, token_hex(8)), doing, work, on_progress)
            return summary
        kept = self._summaries.pop(key, None)
        if kept is None or kept[0] != self._store.path_of(source, variant):
            kept = await self._flights.join(key, doing, work, on_progress)
        self._summaries[key] = kept
        while len(self._summaries) > _SUMMARIES:
            self._summaries.popitem(last=False)
        return kept[1]

    async def query(
        self,
        source: ArtifactSource,
        variant: Variant,
        sql: str,
        *,
        limit: int = 50,
        max_chars: int = 9_000,
        on_progress: OnProgress | None = None,
    ) -> Page:
        """The first `limit` rows that one SELECT over the table `results` yields, as many as fit.

        Raises InvalidArgumentError for SQL that cannot be run, and StillWorkingError as `summary` does.
        """
        check_platform()
        request = QueryRequest(sql=sql, limit=limit, max_chars=max_chars)

        async def make(artifact: CachedArtifact, report: OnProgress) -> Page:
            with artifact.reporting(bytes_to(report)):
                await artifact.want([(0, artifact.size)])
            return await self._queries.run(_ref(artifact, variant), request)

        async def work(report: OnProgress) -> Page:
            return await self._read(source, variant, lambda artifact: make(artifact, report), False, report)

        key = ("query", source.cache_identity, variant, request)
        return await self._flights.join(key, f"query the results of {variant.job_id}", work, on_progress)

    async def export(
        self,
        source: ArtifactSource,
        variant: Variant,
        *,
        folder: Path,
        file_name: str,
        form: ExportFormat | None = None,
        unpack_json: bool = True,
        output_column: str = "inference_result",
        join_with: str = "",
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
    ) -> ExportReport:
        """Write all rows into a new file in `folder`, by the rules of `SutroClient.get_job_results`.

        Links in the path of `folder` are followed once, when it is first named, and never again. Raises
        StillWorkingError when it takes long; the same call again joins the same work.
        """
        name, form = export_name(file_name, form)
        if join_with:
            joinable_name(join_with)
        folder = self._folders.setdefault(folder, real_path(folder))
        doing = f"export the results of {variant.job_id}"

        async def make(artifact: CachedArtifact, report: OnProgress) -> ExportReport:
            with artifact.reporting(bytes_to(report)):
                await artifact.want([(0, artifact.size)])
            request = ExportRequest(
                artifact=_ref(artifact, variant),
                folder=str(folder),
                file_name=name,
                temporary=f".sutro-export-{token_hex(8)}.part",
                format=form,
                unpack_json=unpack_json,
                output_column=output_column,
                join_with=join_with,
                overwrite=overwrite,
            )
            try:
                return await self._long.run("export", request, ExportReport, doing, artifact, rows_to(report))
            except BaseException as error:
                # A worker that was stopped half way could not tidy up itself.
                discard(folder, request.temporary)
                if isinstance(error, WorkerError):
                    advice = "No file was written: try Parquet, or without inputs and join_with"
                    raise WorkerError(doing, error.happened, advice) from None
                raise

        async def work(report: OnProgress) -> ExportReport:
            return await self._read(source, variant, lambda artifact: make(artifact, report), False, report)

        key = ("export", source.cache_identity, variant, folder, name, form)
        # A file to join with may be another one by the time somebody asks again.
        options = (unpack_json, output_column, join_with, join_with and stamp(folder / join_with), overwrite)
        report = await self._flights.join((*key, *options), doing, work, on_progress)
        if (stamp(folder / name) or (0, None))[1] != report.bytes:
            # It was written for a caller who had left, and has gone since.
            report = await self._flights.join((*key, *options), doing, work, on_progress)
        return report

    async def _read(
        self,
        source: ArtifactSource,
        variant: Variant,
        make: Callable[[CachedArtifact], Awaitable[T]],
        fresh: bool,
        on_progress: OnProgress | None,
    ) -> T:
        """What `make` makes of the artifact; once more if that was replaced meanwhile."""

        async def once() -> T:
            told = bytes_to(on_progress)
            async with self._store.artifact(source, variant, fresh=fresh, on_progress=told) as artifact:
                return await make(artifact)

        try:
            return await once()
        except ArtifactChangedError:
            return await once()


@asynccontextmanager
async def results_engine(
    folder: Path | None = None, capacity: int = 5 * 1024**3, patience: float = _PATIENCE
) -> AsyncGenerator[ResultsEngine]:
    """An engine with its workers, which are gone when the block ends.

    Artifacts are kept below `folder` for the next process, at most `capacity` bytes of them; without a
    folder, or where others may write into it, they are gone with the block. A caller waits `patience`
    seconds at most for a summary or an export.
    """
    store = ArtifactStore(kept_folder(folder), capacity)
    group = anyio.create_task_group()
    # Not as a block, which would make a group of whatever is raised in it.
    await group.__aenter__()
    engine = ResultsEngine(store, SingleFlight(group, patience))
    try:
        yield engine
    finally:
        group.cancel_scope.cancel()
        await engine.aclose()
        store.close()
        await group.__aexit__(None, None, None)


def _ref(artifact: CachedArtifact, variant: Variant) -> LocalArtifact:
    return LocalArtifact(
        path=str(artifact.path),
        format=artifact.format,
        job_id=variant.job_id,
        inode=artifact.inode,
        is_whole=artifact.is_whole,
        include_inputs=variant.include_inputs,
        include_cumulative_logprobs=variant.include_cumulative_logprobs,
    )


async def _nothing_promised() -> ExpectedResults:
    return ExpectedResults()
