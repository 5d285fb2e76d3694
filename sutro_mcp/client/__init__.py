"""The Sutro API over HTTP. Knows nothing of MCP or Parquet, and is the only importer of httpx."""

from ._client import ApiClient
from ._credentials import ApiKey, Connection, resolve_connection
from ._models import (
    AuthReply,
    CancelReply,
    Failure,
    Job,
    JobPage,
    JobStatus,
    ProgressEvent,
    Quota,
    Status,
)
from ._paging import EMPTY_PAGES
from ._ranges import RemoteArtifact
from ._results import Artifact
from ._urls import job_segment

__all__ = [
    "EMPTY_PAGES",
    "ApiClient",
    "ApiKey",
    "Artifact",
    "AuthReply",
    "CancelReply",
    "Connection",
    "Failure",
    "Job",
    "JobPage",
    "JobStatus",
    "ProgressEvent",
    "Quota",
    "RemoteArtifact",
    "Status",
    "job_segment",
    "resolve_connection",
]
