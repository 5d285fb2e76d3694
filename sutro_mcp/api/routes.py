"""Every request this package can send. What is not in this table is never sent."""

from dataclasses import dataclass
from typing import Literal

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Route:
    """One method and path template of the API, with the policy for sending it."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    retried: bool = True
    """Whether the request may be repeated: true for everything that only reads."""
    slow: bool = False
    """Whether the deployment may take minutes: results are assembled on first demand."""
    cap: int = 8 * _MIB
    """The largest body that is read, in bytes."""

    @property
    def about_job(self) -> bool:
        """Whether a 404 can be about a job."""
        return "{job_id}" in self.path or self == POST_RESULTS


LIST_JOBS = Route("list-jobs", "GET", "/list-jobs", cap=64 * _MIB)
GET_JOB = Route("get-job", "GET", "/jobs/{job_id}")
JOB_STATUS = Route("job-status", "GET", "/job-status/{job_id}")
# Cancel is a GET with a side effect in every official SDK; the older documentation says POST.
CANCEL_JOB = Route("cancel-job", "GET", "/job-cancel/{job_id}", retried=False)
CANCEL_JOB_POST = Route("cancel-job-post", "POST", "/job-cancel/{job_id}", retried=False)
RESULTS_URL = Route("results-url", "GET", "/jobs/{job_id}/results-url", slow=True)
GET_RESULTS = Route("get-results", "GET", "/jobs/{job_id}/results", slow=True, cap=8192 * _MIB)
# A read in spite of its method.
POST_RESULTS = Route("post-results", "POST", "/job-results", slow=True, cap=8192 * _MIB)
STREAM_PROGRESS = Route("stream-job-progress", "GET", "/stream-job-progress/{job_id}", slow=True)
AUTH_CHECK = Route("auth-check", "GET", "/auth/check")
TRY_AUTHENTICATION = Route("try-authentication", "GET", "/try-authentication")
GET_QUOTAS = Route("get-quotas", "GET", "/get-quotas")

TABLE = frozenset(route for route in globals().values() if isinstance(route, Route))
MAY_CANCEL = frozenset({CANCEL_JOB, CANCEL_JOB_POST})
