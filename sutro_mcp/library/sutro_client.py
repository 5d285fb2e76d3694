"""`SutroClient`: Sutro from Python, with the results engine of the server.

It composes `api` and `results`, which know nothing of each other. polars is imported when a frame is first
asked for.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio
import anyio.to_thread

from sutro_mcp.api import ApiClient, JobProgress, JobStatus, resolve_connection
from sutro_mcp.api.status_poller import PASSING, PROGRAM_WAITS, StatusPoller
from sutro_mcp.concurrency import background
from sutro_mcp.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidArgumentError,
    SutroError,
    counted,
)
from sutro_mcp.expected_results import expected_results
from sutro_mcp.job_list.job_search import Found, Sort, find_jobs, job_filter
from sutro_mcp.job_list.job_totals import GroupBy, JobTotals, add_up
from sutro_mcp.results import (
    CompareRequest,
    Comparison,
    ExportReport,
    ExportRequest,
    LocalArtifact,
    Page,
    PageRequest,
    Summary,
    SummaryRequest,
)
from sutro_mcp.results.cache import CAPACITY
from sutro_mcp.results.export.file_names import chosen_file
from sutro_mcp.results.results_engine import ResultsEngine, results_engine
from sutro_mcp.results.single_flight import ProgressCallback
from sutro_mcp.results.table_names import named_tables
from sutro_mcp.results_spec import ResultsSpec

from .error_words import speaks_to_programs

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from .blocking_client import BlockingSutroClient

_OUTPUT = "inference_result"
# As long as a caller of a library waits.
_EVER = math.inf


@speaks_to_programs
class SutroClient(ApiClient):
    """A client of one Sutro deployment. Use it as an async context manager, or see `sync`.

    Key and URL are found as the official SDK (0.1.67) finds them: arguments, then `SUTRO_API_KEY` and
    `SUTRO_API_URL`, then `~/.sutro/config.json`. Raises ConfigurationError when they are not a pair.

    What goes wrong with a call is raised as a `SutroError`; an argument of the wrong type raises Python's own
    errors. `on_progress` is called with the share that is done (0 to 1) and a few words about it.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_url: str | None = None,
        *,
        cache_folder: Path | None = None,
        cache_max_bytes: int = CAPACITY,
        sql: Literal["wall", "lock"] = "wall",
        **options: Any,
    ) -> None:
        """Send nothing yet.

        Fetched results are kept in `cache_folder`, at most `cache_max_bytes` of them, for the next client;
        without it they are removed when this one is closed. `sql` is where queries run: behind a process
        without rights, which only Linux has, or behind DuckDB's own lock. `options` are those of `ApiClient`:
        `timeout`, `results_timeout`, `transport`.
        """
        super().__init__(resolve_connection(api_url, api_key), **options)
        self._opened = AsyncExitStack()
        self._engine = partial(
            results_engine, cache_folder, cache_max_bytes, _EVER, lock_suffices=sql == "lock"
        )
        self._results_engine: ResultsEngine | None = None

    @classmethod
    def sync(
        cls, api_key: str | None = None, api_url: str | None = None, **options: Any
    ) -> "BlockingSutroClient":
        """The same client for programs without `async`, as a context manager; arguments as here."""
        from .blocking_client import BlockingSutroClient

        return BlockingSutroClient(partial(cls, api_key, api_url, **options))

    async def __aenter__(self) -> Self:
        self._results_engine = await self._opened.enter_async_context(self._engine())
        return self

    async def aclose(self) -> None:
        """Close connections, end child processes, and remove fetched artifacts that nobody keeps."""
        self._results_engine = None
        try:
            # Not told of an error: a task group would give it back in a group.
            await self._opened.aclose()
        finally:
            await super().aclose()

    @property
    def engine(self) -> ResultsEngine:
        """The engine of this client. Raises ConfigurationError outside its `async with` block."""
        if self._results_engine is None:
            raise ConfigurationError(
                "read results", "the client is not open", "Use it inside `async with SutroClient() as sutro:`"
            )
        return self._results_engine

    async def find_jobs(
        self,
        *,
        status: str | Sequence[str] = (),
        model: str = "",
        search: str = "",
        created_after: str = "",
        created_before: str = "",
        sort: Sort = "created",
        limit: int = 20,
    ) -> Found:
        """At most `limit` jobs, the newest first, or by `sort` the longest, dearest or largest.

        `search` is a text in name, description or id; times are ISO times (UTC) or ages like "7d". The newest
        2,000 jobs are looked at, `looked_at` says how many; `total` pass in all, if that is known. `status`
        is one word or several. Raises InvalidArgumentError for a time, a word or a limit that is none.
        """
        wanted, binding = job_filter(status, model, search, created_after, created_before)
        return await find_jobs(self, wanted, limit, "", binding, sort)

    async def summarize_jobs(
        self,
        group_by: GroupBy = "status",
        *,
        status: str | Sequence[str] = (),
        model: str = "",
        search: str = "",
        created_after: str = "",
        created_before: str = "",
    ) -> JobTotals:
        """Jobs counted, and rows, tokens, cost (USD) and failures added up, per group and in total.

        Filters are those of `find_jobs`. The newest 10,000 jobs that the dates allow are looked at.
        """
        wanted, _ = job_filter(status, model, search, created_after, created_before)
        return await add_up(self, wanted, group_by)

    async def summarize(
        self,
        job_id: str,
        *,
        unpack_json: bool = True,
        output_column: str = _OUTPUT,
        on_progress: ProgressCallback | None = None,
    ) -> Summary:
        """Count the rows of a job, the values of each field with their distribution, and rows to look at.

        All rows are read once, in bounded memory. A notebook shows the summary as a table.
        """
        request = SummaryRequest.of(unpack_json=unpack_json, output_column=output_column)
        expected = partial(expected_results, self, job_id)
        spec = ResultsSpec(job_id)
        return await self.engine.summary(self, spec, request, expected=expected, on_progress=on_progress)

    async def page(
        self,
        job_id: str,
        *,
        offset: int = 0,
        limit: int = 20,
        columns: str | Sequence[str] = (),
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
        unpack_json: bool = True,
        output_column: str = _OUTPUT,
        max_cell_chars: int = 50_000,
        max_chars: int = 5_000_000,
        on_progress: ProgressCallback | None = None,
    ) -> Page:
        """Rows from `offset` on, as they are shown: at most `limit`, and as many as fit into `max_chars`.

        Only the parts of the file that hold these rows are fetched, where the deployment allows it.
        `columns` are names, or paths into JSON like `vendor.name`; what `include_` options add is shown
        beside them. Texts are fit for a screen: characters that are invisible or reorder others are spelled
        out. `page.frame()` is a polars frame.
        """
        spec = ResultsSpec(job_id, include_inputs, include_cumulative_logprobs)
        names = [columns] if isinstance(columns, str) else list(columns)
        if names:
            names += [name for name, is_asked in spec.optional_columns.items() if is_asked]
        request = PageRequest.of(
            offset=offset,
            limit=limit,
            columns=tuple(names),
            unpack_json=unpack_json,
            output_column=output_column,
            max_cell_chars=max_cell_chars,
            max_chars=max_chars,
        )
        return await self.engine.page(self, spec, request, on_progress=on_progress)

    async def query(
        self,
        job_id: str,
        sql: str,
        *,
        with_jobs: Mapping[str, str] | None = None,
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> "pl.DataFrame":
        """All rows of one SELECT (DuckDB) over a job's results, the table `results`.

        `with_jobs` has the ids of up to three more jobs by the names of their tables. Raises
        InvalidArgumentError for such a name or SQL that cannot be used, and ConfigurationError where SQL is
        not offered (see `sql`).
        """
        if not sql:
            raise InvalidArgumentError(
                f"query the results of {job_id}",
                "sql is empty",
                "Pass one SELECT, or use export for all rows",
            )
        with TemporaryDirectory(prefix="sutro-query-") as folder:
            await self.export(
                job_id,
                Path(folder) / "rows.parquet",
                sql=sql,
                with_jobs=with_jobs,
                include_inputs=include_inputs,
                include_cumulative_logprobs=include_cumulative_logprobs,
                on_progress=on_progress,
            )

            def read() -> "pl.DataFrame":
                import polars as pl

                return pl.read_parquet(Path(folder) / "rows.parquet", memory_map=False)

            return await anyio.to_thread.run_sync(read)

    async def compare(
        self, job_id: str, other_job_id: str, *, by: str = "row", on_progress: ProgressCallback | None = None
    ) -> Comparison:
        """Changes from one run to another over all rows. Every number is exact.

        `by` says which rows belong together: "row" those with the same number, "inputs" those with the same
        input, else those with the same value in this column.
        """
        before, after = (ResultsSpec(job, include_inputs=True) for job in (job_id, other_job_id))
        request = CompareRequest.of(by=by)
        return await self.engine.compare(self, before, after, request, on_progress=on_progress)

    async def export(
        self,
        job_id: str,
        path: Path | str,
        *,
        sql: str = "",
        with_jobs: Mapping[str, str] | None = None,
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
        unpack_json: bool = True,
        output_column: str = _OUTPUT,
        overwrite: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> ExportReport:
        """Write all rows, or what `sql` yields, to a new file, which appears when it is complete.

        `with_jobs` has more tables for `sql`, as in `query`.
        The ending of `path` tells the format: .parquet, .csv or .jsonl. Cells are byte for byte what the
        model wrote. Raises InvalidArgumentError for another ending, and for a folder that others may write.
        """
        path = chosen_file(path)
        tables = named_tables(with_jobs)
        if tables and not sql:
            raise InvalidArgumentError(
                "read with_jobs", "there is no sql to read its tables", "Pass sql as well"
            )
        options = (include_inputs, include_cumulative_logprobs)
        beside = {name: ResultsSpec(job, *options) for name, job in tables.items()}
        request = ExportRequest.of(
            folder=path.absolute().parent,
            file_name=path.name,
            sql=sql,
            unpack_json=unpack_json,
            output_column=output_column,
            overwrite=overwrite,
        )
        spec = ResultsSpec(job_id, *options)
        return await self.engine.export(self, spec, request, beside=beside, on_progress=on_progress)

    async def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[JobProgress], None] | None = None,
    ) -> JobStatus:
        """The status of a job once it has ended, whether it succeeded or not.

        `on_progress` is called with what the job's stream says meanwhile, if it says anything. Raises
        DeadlineExceededError when `timeout` seconds have passed; the job goes on then. Raises
        InvalidArgumentError for a `timeout` below 0.
        """
        if timeout is not None and not timeout >= 0:
            raise InvalidArgumentError(
                f"wait for {job_id}",
                f"timeout is {timeout}",
                "Pass seconds from 0 on, or None to wait as long as it takes",
            )
        stands = await self.get_job_status(job_id)
        with anyio.move_on_after(timeout):
            poller = StatusPoller(partial(self.get_job_status, job_id), PROGRAM_WAITS)
            async with background() as tasks:
                if on_progress and not stands.status.is_terminal:
                    tasks.start_soon(self._follow, job_id, on_progress, poller)
                while not stands.status.is_terminal:
                    stands = await poller.next() or stands
        if stands.status.is_terminal:
            return stands
        raise DeadlineExceededError(
            "",
            f"{job_id} has not ended after {counted(timeout or 0, 'second')}: it was {stands.status.value}",
            "Wait again, with more time; do not submit the job anew",
        )

    async def _follow(
        self, job_id: str, on_progress: Callable[[JobProgress], None], poller: StatusPoller[JobStatus]
    ) -> None:
        """Pass the stream on while it lasts. The status is read when it ends, which is when the job does."""
        try:
            async with aclosing(self.stream_job_progress(job_id)) as events:
                async for event in events:
                    on_progress(event)
        except PASSING:
            pass
        except SutroError:
            return
        poller.hurry()

    async def get_job_results(
        self,
        job_id: str,
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
        with_original_df: "pl.DataFrame | pd.DataFrame | None" = None,
        output_column: str = _OUTPUT,
        disable_cache: bool = False,
        unpack_json: bool = True,
    ) -> "pl.DataFrame | pd.DataFrame":
        """All rows of a succeeded job's results, in input order.

        Columns: `inputs` and carried ids first, then `output_column`, then logprobs and confidence. With
        `unpack_json`, outputs that are JSON objects in every row become one column per top-level field, last.
        With `with_original_df` the results are added to that frame by position, as polars or pandas like it.
        Without `disable_cache` an artifact fetched by this client before is read again.

        Raises ResultsNotReadyError, NoResultsError, ResultsGoneError, JobNotFoundError, InvalidArgumentError
        (name conflicts, unequal row counts) and the errors of any request. Parameters as in Sutro's page "Job
        Methods".
        """
        spec = ResultsSpec(job_id, include_inputs, include_cumulative_logprobs)
        async with self.engine.store.artifact(self, spec, fresh=disable_cache) as artifact:
            await artifact.fetch([(0, artifact.size)])
            local = LocalArtifact(path=str(artifact.path), format=artifact.format, spec=spec)

            def read() -> "pl.DataFrame | pd.DataFrame":
                from sutro_mcp.results.rows.results_frame import build_frame

                return build_frame(
                    local,
                    with_original_df=with_original_df,
                    output_column=output_column,
                    unpack_json=unpack_json,
                )

            return await anyio.to_thread.run_sync(read)
