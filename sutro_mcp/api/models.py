"""Models of what the API says, read tolerantly: a missing, unknown or ill-typed field costs only itself.

A reply without what it is about is an `UnexpectedReplyError`. The deployments of three years differ in names,
cases and shapes; all of them are read into these types. Nothing here is for showing: texts are as the API
sent them.
"""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sutro_mcp.errors import UnexpectedReplyError

from .job_ids import is_issued

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{0,9}))? ?(?:[Zz]|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_NUMBER = re.compile(r"\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)
EMPTY_PAGES = 20
"""So many pages without a job in a row pass for a list without end."""

# Larger than any count that can be meant, and all that other JSON readers can hold.
_COUNT_LIMIT = 2**63


class Status(StrEnum):
    """Where a job stands, in the eight words of the API."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final. CANCELLING is not: the work may still end first."""
        return self in (Status.SUCCEEDED, Status.CANCELLED, Status.FAILED)

    @classmethod
    def read(cls, value: object) -> "Status":
        """The status that a word of any generation means; UNKNOWN for anything else."""
        word = value.strip().upper() if isinstance(value, str) else ""
        word = _STATUS_ALIASES.get(word, word)
        return cls(word) if word in cls.__members__ else cls.UNKNOWN


_STATUS_ALIASES = {
    "PENDING": "QUEUED",
    "SUBMITTED": "QUEUED",
    "COMPLETED": "SUCCEEDED",
    "CANCELED": "CANCELLED",
    "CANCELING": "CANCELLING",
}


def read_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_count(value: object) -> int | None:
    """A whole number from zero on, or None. `5.0` is one: frames with gaps write counts so."""
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None


def read_amount(value: object) -> float | None:
    """A finite number from zero on, or None."""
    number = _number(value)
    return None if number is None else float(number)


def _number(value: object) -> int | float | None:
    """A number within limits, also written as text: JSON of decimals often is."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if set(value) & set(".eE") else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _COUNT_LIMIT:
        return None
    return value


def read_object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def read_time(value: object) -> datetime | None:
    """An ISO 8601 moment in UTC, or None. No zone means UTC; digits beyond microseconds are dropped."""
    match = _TIMESTAMP.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    date, clock, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}.{(fraction or '')[:6]:0<6}")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        return moment.replace(tzinfo=timezone(-offset if sign == "-" else offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


Text = Annotated[str | None, BeforeValidator(read_text)]
Count = Annotated[int | None, BeforeValidator(read_count)]
Amount = Annotated[float | None, BeforeValidator(read_amount)]
Object = Annotated[dict[str, object] | None, BeforeValidator(read_object)]
Time = Annotated[datetime | None, BeforeValidator(read_time)]


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Failure(_Reply):
    """Why a job failed."""

    message: str
    additional_context: str | None = None

    @classmethod
    def read(cls, value: object, sibling: object = None) -> "Failure | None":
        """From a string, an object, or anything else; `sibling` is the context found beside the reason."""
        if isinstance(value, Failure):
            return value
        context = _as_text(sibling)
        fields = read_object(value)
        if fields:
            context = _as_text(fields.get("additional_context")) or context
            named = (_as_text(fields.get(name)) for name in ("message", "detail", "error"))
            value = next((text for text in named if text), fields)
        message = _as_text(value)
        return cls(message=message, additional_context=context) if message else None


def _as_text(value: object) -> str | None:
    """A string as it is, other JSON compactly, nothing for empty values."""
    if isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else None


def _named(*names: str) -> Any:
    """A field that has another name in each generation of the API."""
    return Field(validation_alias=AliasChoices(*names))


class Job(_Reply):
    """One job as list-jobs and jobs/{id} describe it. None means null, missing, or unreadable.

    `unreadable`: those of rows, tokens and cost that the reply gives, but not as numbers from zero on.
    """

    job_id: Annotated[str, Field(min_length=1, strict=True)]
    status: Annotated[Status, BeforeValidator(Status.read)] = Status.UNKNOWN
    model: Text = None
    name: Text = None
    description: Text = None
    system_prompt: Text = None
    job_priority: Annotated[Count, _named("job_priority", "priority")] = None
    datetime_created: Annotated[Time, _named("datetime_created", "created_at")] = None
    datetime_started: Annotated[Time, _named("datetime_started", "started_at")] = None
    datetime_completed: Annotated[Time, _named("datetime_completed", "completed_at")] = None
    datetime_added: Time = None
    json_schema: Object = None
    sampling_params: Object = None
    dataset_id: Text = None
    input_tokens: Count = None
    output_tokens: Count = None
    num_rows: Annotated[Count, _named("num_rows", "input_count")] = None
    job_cost: Amount = None
    cost_estimate: Amount = None
    failure_reason: Annotated[Failure | None, BeforeValidator(Failure.read)] = None
    run_type: Text = None
    unreadable: Annotated[frozenset[str], Field(exclude=True)] = frozenset()

    @property
    def is_cost_estimate(self) -> bool:
        """Whether it ran to say what a job would cost. Without a `run_type`, its figures tell."""
        if self.run_type is not None:
            return self.run_type.upper() != "FULL"
        return self.status is Status.SUCCEEDED and self.cost_estimate is not None and not self.job_cost


# The names that each has had.
_FIGURES = {
    "num_rows": ("num_rows", "input_count"),
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "job_cost": ("job_cost",),
}


class JobPage(_Reply):
    """Some jobs, newest first, and the cursor of the next page if there is one."""

    jobs: tuple[Job, ...]
    next_cursor: Text = None
    message: Text = None


class JobStatus(_Reply):
    """Where a job stands; `raw_status` is the deployment's own word for it."""

    job_id: str
    status: Status
    raw_status: str | None = None
    message: str | None = None
    failure: Failure | None = None


class CancelReply(_Reply):
    """Whether the deployment accepted the request to cancel. Accepted does not mean done."""

    accepted: bool
    message: str | None = None


class Quota(_Reply):
    """The quota of one priority."""

    priority: Count = None
    row_quota: Count = None
    token_quota: Count = None


class AuthReply(_Reply):
    """Whether the key was accepted, and by which check: `auth/check` does not reach the Batch service."""

    authenticated: bool
    endpoint: Literal["auth/check", "try-authentication"]


class JobProgress(_Reply):
    """One line of a job's progress stream. Numbers are totals so far, not increments."""

    kind: Literal["progress", "tokens", "heartbeat"]
    rows_done: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens_per_second: float | None = None

    @classmethod
    def read(cls, line: dict[str, object]) -> "JobProgress | None":
        """The event, or None for an update of a kind or shape that is not known."""
        kind, result = line.get("update_type"), line.get("result")
        if kind == "heartbeat":
            return cls(kind="heartbeat")
        if kind == "progress" and (rows := read_count(result)) is not None:
            return cls(kind="progress", rows_done=rows)
        if kind == "tokens" and (tokens := read_object(result)) is not None:
            return cls(
                kind="tokens",
                input_tokens=read_count(tokens.get("input_tokens")),
                output_tokens=read_count(tokens.get("output_tokens")),
                tokens_per_second=read_amount(tokens.get("total_tokens_processed_per_second")),
            )
        return None


def read_list(reply: dict[str, object], name: str, doing: str) -> list[object]:
    """The list under `name`; a reply without it is an error."""
    value = reply.get(name)
    if not isinstance(value, list):
        raise UnexpectedReplyError(doing, f"the reply has no list of {name}")
    return cast("list[object]", value)


def read_page(reply: dict[str, object]) -> JobPage:
    jobs = tuple(read_job(job, "list jobs") for job in read_list(reply, "jobs", "list jobs"))
    return JobPage(
        jobs=jobs, next_cursor=read_text(reply.get("next_cursor")), message=read_text(reply.get("message"))
    )


def read_job(value: object, doing: str) -> Job:
    fields = read_object(value) or {}
    try:
        job = Job.model_validate({**fields, "unreadable": frozenset()})
    except ValidationError:
        raise UnexpectedReplyError(
            doing, "the reply describes a job without an id, or not as an object"
        ) from None
    unreadable = [
        name
        for name, keys in _FIGURES.items()
        if getattr(job, name) is None and any(fields.get(key) not in (None, "") for key in keys)
    ]
    return job.model_copy(update={"unreadable": frozenset(unreadable)})


def read_status(reply: dict[str, object], job_id: str, doing: str) -> JobStatus:
    """Where `job_id` stands, said as a word or as a map from ids to words."""
    if "job_status" not in reply:
        raise UnexpectedReplyError(doing, "the reply has no job_status")
    word = reply["job_status"]
    by_job = read_object(word)
    if by_job is not None:
        only = next(iter(by_job)) if len(by_job) == 1 else job_id
        if only != job_id and is_issued(only):
            raise UnexpectedReplyError(doing, "the deployment answered for another job")
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
