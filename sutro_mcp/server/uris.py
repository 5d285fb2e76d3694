"""URIs of jobs: their form, and which of them can be watched.

A job has four resources: its details, its status, its results page by page, and the summary of these.
"""

import re
from urllib.parse import unquote

from sutro_mcp.api import Status

from .answers import Answer

JOBS = "sutro://jobs"
JOB = JOBS + "/{job_id}"
STATUS = JOB + "/status"
RESULTS = JOB + "/results"
SUMMARY = RESULTS + "/summary"
JOBS_PAGE = "ui://sutro-mcp/jobs.html"

_OF_A_JOB = re.compile(JOBS + r"/([^/?#]+)(?:/(status|results/summary|results))?")


class JobUris(Answer):
    """The same job as resources."""

    job: str
    status: str | None = None
    results: str | None = None
    summary: str | None = None

    @classmethod
    def of(cls, job_id: str, status: Status) -> "JobUris":
        """The resources worth reading of `job_id`, which is an id that can stand in a path, in this state."""
        has_results = status is Status.SUCCEEDED
        return cls(
            job=JOB.format(job_id=job_id),
            status=None if status.is_terminal else STATUS.format(job_id=job_id),
            results=RESULTS.format(job_id=job_id) if has_results else None,
            summary=SUMMARY.format(job_id=job_id) if has_results else None,
        )


def page_uri(job_id: str, offset: int, limit: int, *, include_inputs: bool) -> str:
    """A page of results, with all its columns."""
    inputs = "&include_inputs=true" if include_inputs else ""
    return f"{RESULTS.format(job_id=job_id)}?offset={offset}&limit={limit}{inputs}"


def uri_to_follow(job_id: str, status: Status) -> str:
    """The resource to attach of a job in this state: its results, why it has none, or its status to watch."""
    uris = JobUris.of(job_id, status)
    return uris.summary or uris.status or uris.job


def watchable_job(uri: str) -> str | None:
    """The id of the job whose changes change this resource; None where there is nothing to watch."""
    match = _OF_A_JOB.fullmatch(uri)
    return unquote(match[1]) if match else None


def is_of_summary(uri: str) -> bool:
    """Whether all rows have to be read for the resource."""
    match = _OF_A_JOB.match(uri)
    return match is not None and match[2] == "results/summary"


def is_of_results(uri: str) -> bool:
    """Whether the resource is there only once the job has ended."""
    match = _OF_A_JOB.match(uri)
    return match is not None and (match[2] or "").startswith("results")
