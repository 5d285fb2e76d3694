"""Facts that a job tells of its results, for a summary that checks them: between `api` and `results`."""

from typing import TYPE_CHECKING, cast

from sutro_mcp.api import Status
from sutro_mcp.results import ExpectedResults

if TYPE_CHECKING:
    from sutro_mcp.api import ApiClient  # loads the HTTP library


async def expected_results(client: "ApiClient", job_id: str) -> ExpectedResults:
    """The rows and the schema that the job names, as far as they can be relied on."""
    job = await client.get_job(job_id)
    return ExpectedResults(
        num_rows=job.num_rows if job.status is Status.SUCCEEDED else None,
        json_schema=job.json_schema if _is_shallow(job.json_schema) else None,
    )


def _is_shallow(value: object, depth: int = 50) -> bool:
    """Whether JSON is nested less than `depth` deep: deeper nesting breaks readers of JSON."""
    if isinstance(value, dict):
        value = list(cast("dict[str, object]", value).values())
    if not isinstance(value, list):
        return True
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in cast("list[object]", value))
