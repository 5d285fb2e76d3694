"""`SutroClient`: the typed HTTP client with results as frames, for use from Python.

It composes `api` and `results`, which know nothing of each other. polars is imported when results are
first asked for.
"""

from typing import TYPE_CHECKING, Any

from sutro_mcp.api import ApiClient, resolve_connection
from sutro_mcp.results import LocalArtifact
from sutro_mcp.results.cache import ArtifactStore
from sutro_mcp.results_spec import ResultsSpec

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class SutroClient(ApiClient):
    """A client of one Sutro deployment. Use it as an async context manager.

    Key and URL are found as the official SDK (0.1.67) finds them: arguments, then `SUTRO_API_KEY` and
    `SUTRO_API_URL`, then `~/.sutro/config.json`. Raises ConfigurationError when they are not a pair.
    """

    def __init__(self, api_key: str | None = None, api_url: str | None = None, **options: Any) -> None:
        """`options` are those of `ApiClient`: `transport`, `timeout`, `results_timeout`."""
        super().__init__(resolve_connection(api_url, api_key), **options)
        self._store = ArtifactStore()

    async def aclose(self) -> None:
        """Close connections and remove fetched artifacts."""
        await super().aclose()
        self._store.close()

    async def get_job_results(
        self,
        job_id: str,
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
        with_original_df: "pl.DataFrame | pd.DataFrame | None" = None,
        output_column: str = "inference_result",
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
        import anyio.to_thread

        spec = ResultsSpec(job_id, include_inputs, include_cumulative_logprobs)
        async with self._store.artifact(self, spec, fresh=disable_cache) as artifact:
            await artifact.fetch([(0, artifact.size)])
            local = LocalArtifact(path=str(artifact.path), format=artifact.format, spec=spec)

            def read() -> "pl.DataFrame | pd.DataFrame":
                from sutro_mcp.results.rows.typed_frame import build_frame

                return build_frame(
                    local,
                    with_original_df=with_original_df,
                    output_column=output_column,
                    unpack_json=unpack_json,
                )

            return await anyio.to_thread.run_sync(read)
