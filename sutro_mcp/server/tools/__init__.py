"""The catalogue: the one list of tools, in the order in which hosts show them."""

from sutro_mcp.server.define import Tool
from sutro_mcp.settings import Settings

from .cancel import cancel_job
from .jobs import get_job, get_job_status, list_jobs, summarize_jobs
from .results import get_job_results

CATALOGUE: tuple[Tool, ...] = (
    list_jobs,
    summarize_jobs,
    get_job,
    get_job_status,
    get_job_results,
    cancel_job,
)


def tools_for(settings: Settings) -> list[Tool]:
    """The tools of a server with these settings: read-only leaves out whatever is not, by its annotation."""
    return [
        tool
        for tool in CATALOGUE
        if (tool.is_read_only or not settings.read_only)
        and (tool is not cancel_job or settings.cancel != "off")
    ]
