"""The catalogue: the one list of tools, in the order in which hosts show them."""

from sutro_mcp.server.tools.tool import Tool
from sutro_mcp.settings import Settings

from .cancel_job import BY_POLICY, cancel_job
from .export_job_results import export_job_results
from .get_job_results import get_job_results
from .list_jobs import get_job, get_job_status, list_jobs, summarize_jobs
from .query_job_results import query_job_results
from .wait_for_job import wait_for_job

CATALOGUE: tuple[Tool, ...] = (
    list_jobs,
    summarize_jobs,
    get_job,
    get_job_status,
    wait_for_job,
    get_job_results,
    query_job_results,
    export_job_results,
    cancel_job,
)


def description_of(tool: Tool, settings: Settings) -> str:
    """What the model reads of a tool: its docstring, unless the settings make that untrue."""
    if tool is cancel_job:
        return BY_POLICY.get(settings.cancel, tool.description)
    return tool.description


def tools_for(settings: Settings) -> list[Tool]:
    """The tools of a server with these settings.

    Read-only leaves out whatever is not, by its annotation; over HTTP nothing writes files.
    """
    return [
        tool
        for tool in CATALOGUE
        if (tool.is_read_only or not settings.read_only)
        and (settings.transport == "stdio" or not tool.writes_files)
        and (tool is not cancel_job or settings.cancel != "off")
    ]
