"""The list of tools, in the order in which hosts show them. A tool is a file of its own and a line here."""

from .cancel_job import cancel_job
from .compare_job_results import compare_job_results
from .export_job_results import export_job_results
from .get_job import get_job
from .get_job_results import get_job_results
from .get_job_status import get_job_status
from .list_jobs import list_jobs
from .offered_tool import Tool
from .query_job_results import query_job_results
from .summarize_jobs import summarize_jobs
from .wait_for_job import wait_for_job

CATALOGUE: tuple[Tool, ...] = (
    list_jobs,
    summarize_jobs,
    get_job,
    get_job_status,
    wait_for_job,
    get_job_results,
    query_job_results,
    compare_job_results,
    export_job_results,
    cancel_job,
)
