"""From the JSON of a reply to what it says: which shapes are accepted, and which are an error."""

import re
from typing import cast

from pydantic import ValidationError

from sutro_mcp.errors import UnexpectedReplyError

from .models import Failure, Job, JobPage, JobStatus, Status, read_object, read_text

# What the service itself issues. Documentation and emulators use other ids as well.
_REAL_ID = re.compile(r"job-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REPORT = "Call again; if it stays, report it"


def read_list(reply: dict[str, object], name: str, doing: str) -> list[object]:
    """The list under `name`; a reply without it is an error."""
    value = reply.get(name)
    if not isinstance(value, list):
        raise UnexpectedReplyError(doing, f"the reply has no list of {name}", _REPORT)
    return cast("list[object]", value)


def read_page(reply: dict[str, object]) -> JobPage:
    """Jobs, and where the next ones are."""
    jobs = tuple(read_job(job, "list jobs") for job in read_list(reply, "jobs", "list jobs"))
    return JobPage(
        jobs=jobs, next_cursor=read_text(reply.get("next_cursor")), message=read_text(reply.get("message"))
    )


def read_job(value: object, doing: str) -> Job:
    """A job object."""
    try:
        return Job.model_validate(value)
    except ValidationError:
        raise UnexpectedReplyError(
            doing, "the reply describes a job without an id, or not as an object", _REPORT
        ) from None


def read_status(reply: dict[str, object], job_id: str, doing: str) -> JobStatus:
    """Where `job_id` stands, said as a word or as a map from ids to words."""
    if "job_status" not in reply:
        raise UnexpectedReplyError(doing, "the reply has no job_status", _REPORT)
    word = reply["job_status"]
    by_job = read_object(word)
    if by_job is not None:
        only = next(iter(by_job)) if len(by_job) == 1 else job_id
        if only != job_id and _REAL_ID.fullmatch(only):
            raise UnexpectedReplyError(doing, "the deployment answered for another job", _REPORT)
        word = by_job.get(job_id, by_job.get(only))
    metadata = read_object(reply.get("metadata")) or {}
    return JobStatus(
        job_id=job_id,
        status=Status.read(word),
        raw_status=read_text(word),
        message=read_text(reply.get("message")),
        failure=Failure.read(metadata.get("failure_reason"), metadata.get("additional_context")),
    )


def is_authenticated(reply: dict[str, object]) -> bool:
    """Whether the reply says so in the one way that counts."""
    return reply.get("authenticated") is True
