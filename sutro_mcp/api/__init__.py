"""The Sutro API over HTTP. Knows nothing of MCP or Parquet, and is the only importer of httpx.

What it says about jobs is here at once. What speaks HTTP comes when first asked for: loading httpx is a good
part of what a server start costs, and its first answer needs none of it.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from .job_ids import is_addressable, job_segment
from .models import EMPTY_PAGES, CancelReply, Failure, Job, JobProgress, JobStatus, Status

if TYPE_CHECKING:
    from sutro_mcp.api.artifact.ranges import RemoteArtifact

    from .client import ApiClient, ClientPool
    from .credentials import ApiKey, Connection, deployment_url, key_of_caller, resolve_connection
    from .http_client import fetch_document

# Otherwise httpx imports rich, pygments and click for a command line of its own, at twice its own cost.
cast("dict[str, Any]", sys.modules).setdefault("httpx._main", None)

_LATER = {
    "ApiClient": "client",
    "ApiKey": "credentials",
    "ClientPool": "client",
    "Connection": "credentials",
    "RemoteArtifact": "artifact.ranges",
    "deployment_url": "credentials",
    "key_of_caller": "credentials",
    "fetch_document": "http_client",
    "resolve_connection": "credentials",
}

__all__ = [
    "EMPTY_PAGES",
    "ApiClient",
    "ApiKey",
    "CancelReply",
    "ClientPool",
    "Connection",
    "Failure",
    "Job",
    "JobProgress",
    "JobStatus",
    "RemoteArtifact",
    "Status",
    "deployment_url",
    "fetch_document",
    "is_addressable",
    "job_segment",
    "key_of_caller",
    "resolve_connection",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
