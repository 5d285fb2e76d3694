"""Job ids: which ones may be sent, and which ones the service itself issues."""

import re
from urllib.parse import quote

from sutro_mcp.errors import InvalidArgumentError

CANCEL_WORD = "job-cancel"

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
# Documentation and emulators use other ids as well.
_ISSUED = re.compile(r"job-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def job_segment(job_id: str) -> str:
    """`job_id` as one path segment. The only way an id enters a path.

    Ids that could be read as another request (`..`, slashes, escapes, the cancel word) raise
    `InvalidArgumentError` before anything is sent.
    """
    if not is_addressable(job_id):
        raise InvalidArgumentError(
            "use this job id",
            "it is not one to 128 letters, digits, hyphens and underscores as Sutro's ids are",
            "Copy the job_id from an answer of list_jobs",
        )
    return quote(job_id, safe="")


def is_addressable(job_id: str) -> bool:
    """Whether the id can stand in a path or URI: a deployment may list jobs with any id."""
    return _JOB_ID.fullmatch(job_id) is not None and CANCEL_WORD not in job_id.lower()


def is_issued(job_id: str) -> bool:
    """Whether the id has the form in which the service issues them."""
    return _ISSUED.fullmatch(job_id) is not None
