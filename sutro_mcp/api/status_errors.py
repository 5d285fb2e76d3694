"""From a reply that is not a success to the error that says what to do about it.

Each status has its own sentence. What the deployment said is quoted at the end, masked, shortened and never
as markup.

Two replies with the same status can mean different things:

* A 404 that speaks of a job in Sutro's shape (`{"detail": "Job … not found"}`) is an unknown job. Any other
  (markup, no JSON, a framework's "Not Found") only says that this path is unknown: `RouteUnknownError`.
  Another request then finds out whether the URL is wrong, the route missing or the job unknown.
* A 410 with the migration text, or from the central host, is about the deployment; any other 410 is about the
  one thing that was asked for.
"""

import json
import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httpx

from sutro_mcp import errors
from sutro_mcp.errors import counted
from sutro_mcp.untrusted_text import quote

from .addresses import CENTRAL_HOST, MIGRATION
from .bodies import parse_object
from .credentials import ApiKey
from .retries import retry_after

RETRY_AFTER_DEFAULT = 5.0

_CHECK = "`sutro-mcp check` tests the settings"
_MIGRATION_WORDS = ("no longer supported", "single-tenant", "sutro_api_url")


class RouteUnknownError(errors.WrongDeploymentError):
    """404, and the reply does not say that it is the job that is unknown."""


class GoneError(errors.RejectedError):
    """410 about the one thing that was asked for."""


def error_for(
    response: httpx.Response, body: bytes, doing: str, key: ApiKey, *, about_job: bool
) -> errors.SutroError:
    """The error for a reply that is not a success; `about_job` says whether the path names a job."""
    status = response.status_code
    said = _said(response, body, key)
    if status == 404 and about_job and _names_what_is_missing(body):
        return unknown_job(doing, said)
    if 200 < status < 300:
        return errors.UnexpectedReplyError(
            doing, f"the deployment answered with status {status}, which is no answer to this request"
        )
    if status == 410:
        return _gone(response, said, doing)
    if 300 <= status < 400:
        return _redirected(response, doing, key)
    if status == 429:
        return _rate_limited(response, said, doing)
    if status >= 500 and status != 501:
        return _busy(response, said, doing)
    return _plain_error(status, said, doing)


def unknown_job(doing: str, said: str = "") -> errors.JobNotFoundError:
    """The error for a job that the deployment does not know; `said` is what it said of it."""
    return errors.JobNotFoundError(
        doing,
        f"the deployment knows no such job for this key{said}",
        "Call list_jobs to see the jobs of this key",
    )


def markup_error(doing: str) -> errors.WrongDeploymentError:
    """The error for a success whose body is markup rather than JSON."""
    return errors.WrongDeploymentError(
        doing,
        "the URL answered with a web page, so it is not the API of a Sutro deployment",
        f"Set SUTRO_API_URL to the origin of your deployment; {_CHECK}",
    )


def is_markup(response: httpx.Response, start: bytes) -> bool:
    """Whether a body is HTML or XML. The body decides: some gateways label JSON as HTML."""
    first = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return first == b"<" or (first != b"{" and "html" in response.headers.get("content-type", "").lower())


def _plain_error(status: int, said: str, doing: str) -> errors.SutroError:
    if status in _PLAIN:
        kind, happened, next_step = _PLAIN[status]
        return kind(doing, f"{happened} ({status}){said}", next_step)
    happened, next_step = _REFUSALS.get(
        status, ("refused the request", "Change the arguments, or report it if they are right")
    )
    return errors.RejectedError(
        doing, f"the deployment {happened} ({status}){said}", next_step, status=status
    )


_PLAIN: dict[int, tuple[type[errors.SutroError], str, str]] = {
    401: (
        errors.AuthenticationError,
        "the deployment refused the API key",
        "Set SUTRO_API_KEY to a current key of this deployment; `sutro-mcp check` tests it",
    ),
    403: (
        errors.AccessDeniedError,
        "the API key is not allowed to do this",
        "Use a key with more rights, or ask whoever runs the deployment",
    ),
    404: (
        RouteUnknownError,
        "the deployment URL answers, but not as a Sutro deployment does",
        f"Check SUTRO_API_URL; {_CHECK}",
    ),
    408: (errors.DeadlineExceededError, "the deployment gave up waiting", "Wait a moment and call again"),
}
_REFUSALS = {
    400: ("found the request malformed", "Check the arguments of this call"),
    405: (
        "does not allow this method here",
        "Report it: this deployment works differently from the documentation",
    ),
    409: ("says that the job is not in a state for this", "Call get_job_status to see how the job stands"),
    422: ("found an argument invalid", "Correct the argument that it names"),
    501: ("does not offer this", "Report it: this deployment works differently from the documentation"),
}


def _gone(response: httpx.Response, said: str, doing: str) -> errors.SutroError:
    host = response.request.url.host
    if host == CENTRAL_HOST or any(word in said.lower() for word in _MIGRATION_WORDS):
        return errors.WrongDeploymentError(
            doing,
            f"{CENTRAL_HOST if host == CENTRAL_HOST else 'this host'} no longer serves direct Batch API "
            f"traffic (410){said}",
            MIGRATION,
        )
    return GoneError(
        doing, f"what was asked for is gone (410){said}", "Call get_job to see what is left", status=410
    )


def _redirected(response: httpx.Response, doing: str, key: ApiKey) -> errors.SutroError:
    try:
        host: str | None = urlsplit(cast("str", response.headers.get("location", ""))).hostname
    except ValueError:
        host = None
    where = f"to the host {quote(key.hide_in(host), 100)}" if host else "elsewhere"
    return errors.WrongDeploymentError(
        doing,
        f"the deployment redirects {where} ({response.status_code}); redirects are not followed with a key",
        f"Set SUTRO_API_URL to the final address; {_CHECK}",
    )


def _rate_limited(response: httpx.Response, said: str, doing: str) -> errors.SutroError:
    seconds = retry_after(response.headers) or RETRY_AFTER_DEFAULT
    return errors.RateLimitedError(
        doing,
        f"there were too many requests (429){said}",
        f"Wait {counted(seconds, 'second')} and call again",
        retry_after=seconds,
    )


def _busy(response: httpx.Response, said: str, doing: str) -> errors.SutroError:
    happened = "the deployment or a gateway in front of it failed"
    if (status := response.status_code) == 524:
        happened = "a gateway gave up waiting for the deployment"
    wait = retry_after(response.headers)
    pause = "Wait a moment" if wait is None else f"Wait {counted(wait, 'second')}"
    return errors.ServiceUnavailableError(
        doing,
        f"{happened} ({status}){said}",
        f"{pause} and call again; if it stays, report it",
        retry_after=wait,
    )


def _said(response: httpx.Response, body: bytes, key: ApiKey) -> str:
    """`; it said "…"`, or nothing if it said nothing."""
    if is_markup(response, body):
        return "; it sent a web page"
    text = _message(body)
    return f"; it said {quote(key.hide_in(text))}" if text.strip() else ""


def _message(body: bytes) -> str:
    """The text of an error's body, by the order of keys in which Sutro's generations say it."""
    fields = _fields(body)
    if fields is None:
        return body[:800].decode("utf-8", "replace")[:200]
    text = _first_text(fields) or ""
    request = fields.get("request_id")
    return f"{text} (request {request})" if isinstance(request, str) else text


def _first_text(fields: Mapping[str, object]) -> str | None:
    detail = fields.get("detail")
    if isinstance(detail, str) and detail:
        return detail
    if isinstance(detail, list) and detail:
        return "; ".join(_violation(item) for item in cast("list[object]", detail))
    for name in ("message", "error"):
        value = fields.get(name)
        if isinstance(value, str) and value:
            details = fields.get("details") if name == "error" else None
            return f"{value}: {details}" if isinstance(details, str) else value
    return None


def _violation(item: object) -> str:
    """One entry of a framework's validation error: where, and what is wrong."""
    if not isinstance(item, dict):
        return str(item)
    fields = cast("dict[str, object]", item)
    loc = fields.get("loc")
    where = ".".join(str(part) for part in cast("list[object]", loc)) if isinstance(loc, list) else ""
    what = fields.get("msg")
    return ": ".join(part for part in (where, what if isinstance(what, str) else json.dumps(item)) if part)


def _names_what_is_missing(body: bytes) -> bool:
    text = _first_text(_fields(body) or {}) or ""
    return "/" not in text and re.search(r"\bjob(_id)?\b", text, re.IGNORECASE) is not None


def _fields(body: bytes) -> dict[str, object] | None:
    try:
        return parse_object(body, "read an error reply")
    except errors.SutroError:
        return None
