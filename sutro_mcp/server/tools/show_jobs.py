"""Show jobs to the user, in a host that shows pages (MCP Apps).

Its answers are those of other tools, with the view that they are for: the page can draw them at once.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from mcp.types import CallToolResult, InputRequiredResult
from pydantic import ConfigDict, Field

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.server.answers import ToolAnswer, iso
from sutro_mcp.server.context import Ctx, app_of
from sutro_mcp.server.uris import JOBS_PAGE
from sutro_mcp.settings import Settings

from .cancel_job import cancel_job
from .compare_job_results import compare_job_results
from .get_job import get_job
from .list_jobs import list_jobs
from .offered_tool import tool

_SAME_AS = {"board": list_jobs, "job": get_job, "comparison": compare_job_results}


class ShownAnswer(ToolAnswer):
    """The answer of list_jobs, get_job or compare_job_results."""

    model_config = ConfigDict(extra="allow")

    view: Literal["board", "job", "comparison"]
    at: Annotated[str, Field(description="Time of this answer (UTC)")]
    cancel: Annotated[str, Field(description="SUTRO_MCP_CANCEL; off: no job can be cancelled")]


def _if_shown(settings: Settings, docstring: str) -> str | None:
    return docstring if settings.shows_views else None


def _is_comparison(arguments: Mapping[str, Any]) -> bool:
    return bool(arguments.get("compare_with"))


@tool("Show jobs", is_heavy=_is_comparison, describe=_if_shown, page=JOBS_PAGE)
async def show_jobs(
    ctx: Ctx,
    job_id: Annotated[
        str, Field(description="One job, from list_jobs (default the list)", max_length=200)
    ] = "",
    compare_with: Annotated[
        str, Field(description="Another job: what changed from job_id to it", max_length=200)
    ] = "",
) -> Annotated[CallToolResult, ShownAnswer] | InputRequiredResult:
    """Show the user a live view: their jobs, one job with progress and results, or two runs compared.

    Call it when the user asks to see, watch or browse; for facts the other tools. The user sees the
    view, so do not repeat what it shows.
    """
    if compare_with and not job_id:
        raise InvalidArgumentError("show two runs compared", "job_id is missing", "Give both job ids")
    view: Literal["board", "job", "comparison"] = (
        "comparison" if compare_with else "job" if job_id else "board"
    )
    arguments: dict[str, Any] = {"job_id": job_id} if job_id else {}
    if compare_with:
        arguments["other_job_id"] = compare_with
    result = await _SAME_AS[view].function(ctx, **arguments)
    if not isinstance(result, CallToolResult):
        return result
    settings = app_of(ctx).settings
    own = {
        "view": view,
        "at": iso(datetime.now(UTC)),
        "cancel": settings.cancel if cancel_job.description_for(settings) else "off",
    }
    return result.model_copy(update={"structured_content": own | (result.structured_content or {})})
