"""Results of jobs as pages and summaries: artifact store in front, worker process behind."""

import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ._models import ArtifactRef, Page, PageRequest, Summary, SummaryRequest
from ._store import ArtifactSource, ArtifactStore, FetchedArtifact, Progress, Variant
from ._worker import Worker


class ResultsEngine:
    """Reads artifacts of one server process. Open it with `results_engine`."""

    def __init__(self, store: ArtifactStore, worker: Worker) -> None:
        self._store = store
        self._worker = worker

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
