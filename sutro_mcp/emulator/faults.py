"""Scripted misbehaviour: errors of the service and of the edge before it, broken and slow bodies.

A script is consulted once per request and wraps only the request it hits. It may not change jobs; the one
exception is `Fault.changed_artifact`, which is what it is for.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .api_errors import GONE, ConnectionDroppedError
from .wire_format import json_bytes

_SLICE = 0.05  # seconds between two pieces of a trickling body
_EDGE_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>api | {status}: {reason}</title></head><body>"
    "<h1>{reason} <span>Error code {status}</span></h1><p>The edge could not get an answer.</p></body></html>"
)
_REASONS = {502: "Bad gateway", 503: "Service temporarily unavailable", 504: "Gateway time-out"}
_EXPIRED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
)


@dataclass(frozen=True)
class Fault:
    """One way to go wrong, created by one of the methods below.

    With `status` it replaces the answer; without, the real answer is made and then spoiled.
    """

    status: int | None = None
    body: bytes = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    drop_after: int | None = None  # cut the connection after so many bytes of the body
    truncate_after: int | None = None  # end the body after so many bytes as if it were whole
    delay: float = 0.0  # seconds before anything is answered
    bytes_per_second: float | None = None
    new_artifact: bool = False

    @classmethod
    def json(
        cls, status: int, detail: Any, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> "Fault":
        """An error of the service: {"detail": ..., and whatever else is given}."""
        return cls(status, json_bytes({"detail": detail, **more}), headers=headers or {})

    @classmethod
    def html(cls, status: int) -> "Fault":
        """An error page of the edge, 502 or 524 for instance."""
        page = _EDGE_PAGE.format(status=status, reason=_REASONS.get(status, "A timeout occurred"))
        return cls(status, page.encode(), "text/html; charset=UTF-8")

    @classmethod
    def rate_limited(cls, retry_after: float | str = 1) -> "Fault":
        """429 with Retry-After: seconds, or any text to be sent as it is."""
        headers = {"Retry-After": str(retry_after)}
        more = {"code": "rate_limited", "request_id": "req_emulated"}
        return cls.json(429, "Rate limit exceeded.", headers=headers, **more)

    @classmethod
    def gone(cls) -> "Fault":
        """410 with the service's text about single-tenant deployments (§2.1)."""
        return cls.json(410, GONE)

    @classmethod
    def not_ready(cls) -> "Fault":
        """409, as results that lag behind SUCCEEDED answer (C28)."""
        return cls.json(409, "Results are not available yet. Try again in a few seconds.")

    @classmethod
    def expired(cls) -> "Fault":
        """The store's 403 for a URL whose time is over."""
        return cls(403, _EXPIRED.encode(), "application/xml")

    @classmethod
    def raw(
        cls,
        body: bytes,
        *,
        status: int = 200,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> "Fault":
        """Exactly this body: malformed JSON, a stream with a bad line, a success of the wrong shape."""
        return cls(status, body, media_type, headers or {})

    @classmethod
    def dropped(cls, after: int = 0) -> "Fault":
        """The connection is cut after `after` bytes of the real body; Content-Length promised more."""
        return cls(drop_after=after)

    @classmethod
    def truncated(cls, after: int) -> "Fault":
        """The real body ends cleanly after `after` bytes, without a Content-Length to compare it with."""
        return cls(truncate_after=after)

    @classmethod
    def slow(cls, delay: float = 0.0, bytes_per_second: float | None = None) -> "Fault":
        """The real answer, late or trickling."""
        return cls(delay=delay, bytes_per_second=bytes_per_second)

    @classmethod
    def changed_artifact(cls) -> "Fault":
        """Just before the store answers this request, its object is replaced: other bytes, other ETag."""
        return cls(new_artifact=True)


@dataclass
class _Entry:
    fault: Fault
    method: str | None
    path: str
    origin: Literal["api", "store"] | None
    times: int | None
    skip: int


class FaultScript:
    """Faults to come, in the order they were added."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str = "*",
        origin: Literal["api", "store"] | None = None,
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Let `fault` hit the next `times` matching requests (None: all), after sparing `skip` of them.

        `path` is a glob on the path without /v1, `/job-status/*` for instance.
        """
        self._entries.append(_Entry(fault, method, path, origin, times, skip))

    def clear(self) -> None:
        self._entries.clear()

    def take(self, method: str, path: str, origin: str) -> Fault | None:
        """The fault for this request, counted as used; None in the usual case."""
        for entry in self._entries:
            if (
                entry.method in (None, method)
                and entry.origin in (None, origin)
                and fnmatchcase(path, entry.path)
            ):
                if entry.skip:
                    entry.skip -= 1
                    continue
                if entry.times is not None:
                    entry.times -= 1
                    if entry.times <= 0:
                        self._entries.remove(entry)
                return entry.fault
        return None


async def perform(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.status is not None:
        await Response(fault.body, fault.status, fault.headers, fault.media_type)(scope, receive, send)
    else:
        await app(scope, receive, _Spoiler(fault, send))


class _Spoiler:
    """Stands between the real app and the server for one response."""

    def __init__(self, fault: Fault, send: Send) -> None:
        self._fault = fault
        self._send = send
        self._sent = 0
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._fault.truncate_after is not None:
                kept = [(name, value) for name, value in message["headers"] if name != b"content-length"]
                message = {**message, "headers": kept}
            await self._send(message)
        elif not self._ended:
            await self._body(message)

    async def _body(self, message: Message) -> None:
        fault = self._fault
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        limit = fault.drop_after if fault.drop_after is not None else fault.truncate_after
        if limit is not None and self._sent + len(body) >= limit:
            body, more = body[: limit - self._sent], False
            self._ended = True
            if fault.drop_after is not None:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
                raise ConnectionDroppedError("the emulator was told to cut this connection")
        if fault.bytes_per_second is not None:
            step = max(1, int(fault.bytes_per_second * _SLICE))
            while len(body) > step:
                await self._send({"type": "http.response.body", "body": body[:step], "more_body": True})
                await asyncio.sleep(_SLICE)
                body = body[step:]
        self._sent += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
