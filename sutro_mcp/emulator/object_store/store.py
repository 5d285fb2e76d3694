"""The object store on its own origin: GET and HEAD of signed URLs, with ranges and validators.

Knows artifacts and signatures, never API keys: a request that carries one is refused, as the real stores do
(`sutro-api.md` §2.2, §6.7).
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sutro_mcp.emulator.account import Account
from sutro_mcp.emulator.stored_job import Job

from .artifact_files import Artifact, Artifacts, Options
from .range_header import UnsatisfiableError, requested_range
from .signing import Signer

BUCKET = "sutro-emulator-results"
_CHUNK = 256 * 1024
_SLICE = 0.05  # seconds between two looks at whether the server is closing


class Store:
    """An ASGI app. `latency` (seconds per request) and `bytes_per_second` make it a slow network."""

    def __init__(self, account: Account, artifacts: Artifacts, origin: str) -> None:
        self.origin = origin
        self.latency = 0.0
        self.bytes_per_second: float | None = None
        self._account = account
        self._artifacts = artifacts
        self._signer = Signer()
        self._issued: dict[str, tuple[Job, Options]] = {}

    def urls(self, job: Job, options: Options, expires_in: int) -> dict[str, str]:
        """The signed addresses of the job's artifact, one for each method."""
        path = f"/{BUCKET}/{key_of(job, options)}"
        self._issued[path] = (job, options)
        url, now = self.origin + quote(path, safe="/~"), self._account.now()
        return {
            method.lower(): f"{url}?{self._signer.query(method, path, now, expires_in)}"
            for method in ("GET", "HEAD")
        }

    def job_at(self, raw_path: str) -> Job | None:
        """The job whose artifact this path names."""
        found = self._issued.get(unquote(raw_path))
        return found and found[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)
        response = await self._answer(Request(scope))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw_path = str(request.scope["raw_path"], "ascii")
        if "authorization" in request.headers:
            return _refuse(request, 400, "InvalidArgument", "Only one auth mechanism allowed.")
        if request.method not in ("GET", "HEAD"):
            return _refuse(request, 405, "MethodNotAllowed", "The method is not allowed here.")
        refusal = self._signer.refusal(request.method, raw_path, request.query_params, self._account.now())
        if refusal is not None:
            return _refuse(request, 403, *refusal)
        found = self._issued.get(unquote(raw_path))
        if found is None or found[0].results_expired:
            return _refuse(request, 404, "NoSuchKey", "The specified key does not exist.")
        job, options = found
        artifact = await run_in_threadpool(self._artifacts.parquet, job, options)
        return self._serve(request, artifact, job.completed or job.created)

    def _serve(self, request: Request, artifact: Artifact, changed: datetime) -> Response:
        variant = self._account.variant
        size = len(artifact.body)
        modified = format_datetime(changed.replace(microsecond=0), usegmt=True)
        headers = {"Last-Modified": modified, "Content-Type": "application/octet-stream"}
        if variant.store_etag:
            headers["ETag"] = artifact.etag
        if variant.store_ranges:
            headers["Accept-Ranges"] = "bytes"
        wanted = request.headers.get("if-match")
        if wanted is not None and wanted != "*" and artifact.etag not in map(str.strip, wanted.split(",")):
            return _refuse(request, 412, "PreconditionFailed", "At least one precondition did not hold.")
        if request.method == "HEAD":
            return Response(headers=headers | {"Content-Length": str(size)})
        start, stop, status = 0, size, 200
        validator = request.headers.get("if-range")
        known = validator is None or validator in (headers.get("ETag"), modified)
        if variant.store_ranges and known:
            try:
                part = requested_range(request.headers.get("range"), size)
            except UnsatisfiableError:
                refusal = _refuse(request, 416, "InvalidRange", "The requested range is not satisfiable.")
                refusal.headers["Content-Range"] = f"bytes */{size}"
                return refusal
            if part is not None:
                (start, stop), status = part, 206
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        headers["Content-Length"] = str(stop - start)
        return StreamingResponse(self._body(artifact.body, start, stop), status, headers)

    async def _body(self, body: bytes, start: int, stop: int) -> AsyncIterator[bytes]:
        speed = self.bytes_per_second
        step = _CHUNK if speed is None else max(1, int(speed * _SLICE))
        for offset in range(start, stop, step):
            if speed is not None:
                await asyncio.sleep(_SLICE)
            if self._account.closing:
                return
            yield body[offset : min(offset + step, stop)]


def key_of(job: Job, options: Options) -> str:
    """The object's key in the bucket."""
    return f"results/{job.job_id}/{options.filename(job.job_id)}"


def _refuse(request: Request, status: int, code: str, message: str) -> Response:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        f"<Resource>{escape(request.url.path)}</Resource></Error>"
    )
    return Response(b"" if request.method == "HEAD" else xml, status, media_type="application/xml")
