"""Results of jobs as pages and summaries: artifact store in front, worker process behind."""

import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from sutro_mcp.errors import WorkerError

from ._confined import QueryRunner, check_platform
from ._file_names import export_name, joinable_name
from ._folder import discard, real_path
from ._models import (
    ArtifactRef,
    ExportFormat,
    ExportReport,
    ExportRequest,
    Page,
    PageRequest,
    QueryRequest,
    Summary,
    SummaryRequest,
)
from ._store import ArtifactSource, ArtifactStore, FetchedArtifact, Progress, Variant
from ._worker import Worker


class ResultsEngine:
    """Reads artifacts of one server process. Open it with `results_engine`."""

    def __init__(self, store: ArtifactStore, worker: Worker) -> None:
        self._store = store
        self._worker = worker
        self._queries = QueryRunner()
        self._folders: dict[Path, Path] = {}

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
        on_progress: Progress | None = None,
    ) -> Page:
        """Rows from `offset`, as many of `limit` as fit into `max_chars` characters of JSON text."""
        async with self._store.artifact(source, variant, fresh=fresh, on_progress=on_progress) as artifact:
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
            return await self._worker.run("page", request, Page, f"read rows of {variant.job_id}")

    async def summary(
        self,
        source: ArtifactSource,
        variant: Variant,
        *,
        expected_rows: int | None = None,
        json_schema: dict[str, Any] | None = None,
        unpack_json: bool = True,
        output_column: str = "inference_result",
        max_chars: int = 5_800,
        fresh: bool = False,
        on_progress: Progress | None = None,
    ) -> Summary:
        """The summary of all rows, at most `max_chars` characters of JSON text."""
        async with self._store.artifact(source, variant, fresh=fresh, on_progress=on_progress) as artifact:
            request = SummaryRequest(
                artifact=_ref(artifact, variant),
                expected_rows=expected_rows,
                json_schema=json_schema,
                output_column=output_column,
                unpack_json=unpack_json,
                max_chars=max_chars,
            )
            return await self._worker.run(
                "summary", request, Summary, f"summarise the results of {variant.job_id}"
            )

    async def query(
        self,
        source: ArtifactSource,
        variant: Variant,
        sql: str,
        *,
        limit: int = 50,
        max_chars: int = 9_000,
    ) -> Page:
        """The first `limit` rows that one SELECT over the table `results` yields, as many as fit.

        Raises InvalidArgumentError for SQL that cannot be run.
        """
        check_platform()
        async with self._store.artifact(source, variant) as artifact:
            request = QueryRequest(sql=sql, limit=limit, max_chars=max_chars)
            return await self._queries.run(_ref(artifact, variant), request)

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
    ) -> ExportReport:
        """Write all rows into a new file in `folder`, by the rules of `SutroClient.get_job_results`.

        Links in the path of `folder` are followed once, when it is first named, and never again.
        """
        name, form = export_name(file_name, form)
        if join_with:
            joinable_name(join_with)
        if folder not in self._folders:
            self._folders[folder] = real_path(folder)
        folder = self._folders[folder]
        async with self._store.artifact(source, variant) as artifact:
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
            doing = f"export the results of {variant.job_id}"
            try:
                return await self._worker.run("export", request, ExportReport, doing)
            except BaseException as error:
                # A worker that was stopped half way could not tidy up itself.
                discard(folder, request.temporary)
                if isinstance(error, WorkerError):
                    advice = "No file was written: try Parquet, or without inputs and join_with"
                    raise WorkerError(doing, error.happened, advice) from None
                raise


@asynccontextmanager
async def results_engine() -> AsyncGenerator[ResultsEngine]:
    """An engine with a private folder and a worker, both gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="sutro-mcp-", ignore_cleanup_errors=True) as folder:
        worker = Worker()
        try:
            yield ResultsEngine(ArtifactStore(Path(folder)), worker)
        finally:
            await worker.aclose()


def _ref(artifact: FetchedArtifact, variant: Variant) -> ArtifactRef:
    return ArtifactRef(
        path=str(artifact.path),
        format=artifact.format,
        job_id=variant.job_id,
        include_inputs=variant.include_inputs,
        include_cumulative_logprobs=variant.include_cumulative_logprobs,
    )
