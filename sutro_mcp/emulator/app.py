"""The emulator assembled: one ASGI app for two origins, a record of every request, and the tests' handles.

Routes, state and data live in their own modules; here they only meet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sutro_mcp.emulator.demo_jobs.seed import seed
from sutro_mcp.emulator.endpoints.job_endpoints import job_routes
from sutro_mcp.emulator.endpoints.result_endpoints import result_routes
from sutro_mcp.emulator.endpoints.stream_endpoint import stream_routes
from sutro_mcp.emulator.endpoints.submission_endpoints import submit_routes
from sutro_mcp.emulator.object_store.artifact_files import Artifacts
from sutro_mcp.emulator.object_store.store import Store

from .account import Account
from .api_errors import ApiError
from .api_variants import ApiVariant
from .faults import FaultScript, perform
from .job_factory import create_job
from .job_pace import Pace
from .stored_job import Job
from .wire_format import json_response

DEMO_KEY = "sk_demo_emulator"


@dataclass
class SeenRequest:
    """One request as it arrived; `status` and `body_bytes` grow while it is answered."""

    method: str
    path: str  # as sent: percent escapes kept, no query
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    origin: Literal["api", "store"]
    status: int = 0
    body_bytes: int = 0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Emulator:
    """The Sutro API of one account, and its object store, in memory."""

    def __init__(
        self,
        *,
        api_key: str = DEMO_KEY,
        api_origin: str = "http://127.0.0.1:8787",
        store_origin: str = "http://127.0.0.1:8788",
        seed_jobs: bool = True,
        variant: ApiVariant = ApiVariant(),  # noqa: B008 - frozen
        pace: Pace = Pace(),  # noqa: B008 - frozen
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.api_key = api_key
        self.api_origin = api_origin
        self.store_origin = store_origin
        self.requests: list[SeenRequest] = []
        self.faults = FaultScript()
        self.account = Account(api_key=api_key, variant=variant, pace=pace, now=now)
        self.artifacts = Artifacts(variant)
        self.store = Store(self.account, self.artifacts, store_origin)
        self.app: ASGIApp = self._serve
        self._api = _api(self.account, self.artifacts, self.store)
        self._store_host = _host(store_origin)
        if seed_jobs:
            seed(self.account)

    def add_job(self, **fields: Any) -> str:
        """Store a job for a test and return its id; `create_job` says which fields there are."""
        job = create_job(now=self.account.now(), number=len(self.account), **fields)
        self.account.add(job)
        return job.job_id

    def job(self, job_id: str) -> Job:
        """The stored job itself, for a test to change; KeyError if there is none."""
        try:
            return self.account.get(job_id)
        except ApiError:
            raise KeyError(job_id) from None

    def find(self, name: str) -> str:
        """The id of the newest job of that name; KeyError if there is none."""
        return self.account.find(name).job_id

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin: Literal["api", "store"] = "store" if headers.get("host", "") == self._store_host else "api"
        raw_path = str(scope["raw_path"], "ascii")
        query = QueryParams(scope["query_string"])
        seen = SeenRequest(scope["method"], raw_path, dict(query), dict(headers.items()), origin)
        self.requests.append(seen)

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            else:
                seen.body_bytes += len(message.get("body", b""))
            await send(message)

        app = self.store if origin == "store" else self._api
        path = raw_path if origin == "store" else _tail(raw_path)
        fault = self.faults.take(seen.method, path, origin)
        if fault is None:
            await app(scope, receive, record)
            return
        if fault.new_artifact and (job := self.store.job_at(raw_path)) is not None:
            self.artifacts.replace(job)
        await perform(fault, app, scope, receive, record)


def _api(account: Account, artifacts: Artifacts, store: Store) -> ASGIApp:
    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101 - registered for this class alone
        key = "detail" if error.status == 422 else account.variant.error_key
        return json_response({key: error.detail}, error.status)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
        sent_path = unquote(str(request.scope["raw_path"], "ascii"), errors="replace")
        what = "Method not allowed" if error.status_code == 405 else "The emulator has no such endpoint"
        return json_response(
            {"detail": f"{what}: {request.method} {sent_path}"}, error.status_code, error.headers
        )

    router = Starlette(
        routes=[
            *job_routes(account),
            *result_routes(account, artifacts, store),
            *stream_routes(account),
            *submit_routes(account),
        ],
        exception_handlers={ApiError: refused, HTTPException: unrouted},
    )
    router.router.redirect_slashes = False
    prefix = account.variant.prefix

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        under_v1 = path == "/v1" or path.startswith("/v1/")
        # A path of the other generation goes to the router unchanged, which does not know it.
        if prefix == "both" or (prefix == "v1") == under_v1:
            path = _tail(path)
        elif prefix == "v1":
            path = f"/{path}"
        await router({**scope, "path": path}, receive, send)

    return api


def _tail(path: str) -> str:
    """The path below the base, without the slash some clients append."""
    return path.removeprefix("/v1").rstrip("/") if path.startswith("/v1/") else path.rstrip("/")


def _host(origin: str) -> str:
    parts = urlsplit(origin)
    return parts.netloc.removesuffix(":443" if parts.scheme == "https" else ":80")
