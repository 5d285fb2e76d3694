"""The Sutro API as one typed method per endpoint."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import httpx

from sutro_mcp import errors
from sutro_mcp.api.artifact.part_file import OnBytes
from sutro_mcp.api.artifact.ranges import RemoteArtifact
from sutro_mcp.api.artifact.results_download import DownloadedFile, Results
from sutro_mcp.results_spec import ResultsSpec

from . import routes
from .credentials import Connection
from .http_client import ApiRequest, Http, T
from .job_ids import job_segment
from .models import (
    EMPTY_PAGES,
    AuthReply,
    CancelReply,
    Job,
    JobPage,
    JobStatus,
    Quota,
    is_authenticated,
    read_job,
    read_list,
    read_object,
    read_page,
    read_status,
    read_text,
)
from .network_errors import NEVER_SENT
from .progress_stream import JobProgress, events
from .public_transport import PublicTransport, SharedTransport, Transport
from .retries import CircuitOpenError
from .routes import Route
from .status_errors import RouteUnknownError, unknown_job

_MOST_PAGES = 10_000
# Each client limits itself; httpx would let six busy ones keep all others of a pool waiting.
_POOLED = httpx.Limits(max_connections=1000, max_keepalive_connections=100)


class ApiClient:
    """A Sutro deployment, spoken to with one key. Share one; close it when done.

    Every method raises a `SutroError` and nothing else. Reads are repeated on passing failures within
    `timeout` seconds; `results_timeout` bounds the fetching of results as a file. Parts of results
    take as long as they need while they keep coming; it bounds the patience with a store that hardly sends.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        blob_transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 30.0,
        results_timeout: float = 300.0,
    ) -> None:
        """Sends nothing yet. `transport` replaces the network, `blob_transport` that of signed URLs."""
        self.connection = connection
        self._http = Http(connection, transport, blob_transport, timeout, results_timeout)
        self._results = Results(self._http, self.get_job)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def list_jobs(self) -> list[Job]:
        """All jobs, newest first, in one request."""
        return list((await self._http.json(ApiRequest(routes.LIST_JOBS, "list jobs"), read_page)).jobs)

    async def list_jobs_page(self, limit: int = 100, cursor: str | None = None) -> JobPage:
        """Up to `limit` jobs (1 to 100), newest first, from `cursor` on."""
        if not 1 <= limit <= 100:
            raise errors.InvalidArgumentError("list jobs", "a page has 1 to 100 jobs", "Change limit")
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return await self._http.json(ApiRequest(routes.LIST_JOBS, "list jobs", params=params), read_page)

    async def iter_jobs(self, page_size: int = 100) -> AsyncGenerator[Job]:
        """All jobs, newest first, page by page, each once.

        A null, missing, empty or repeated cursor ends the list. Raises UnexpectedReplyError if nothing does.
        """
        seen_cursors: set[str] = set()
        seen_jobs: set[str] = set()
        cursor: str | None = None
        empty_pages = 0
        for _ in range(_MOST_PAGES):
            page = await self.list_jobs_page(page_size, cursor)
            empty_pages = 0 if page.jobs else empty_pages + 1
            if empty_pages == EMPTY_PAGES:
                break
            for job in page.jobs:
                # Jobs submitted meanwhile push others onto the next page.
                if job.job_id not in seen_jobs:
                    seen_jobs.add(job.job_id)
                    yield job
            cursor = page.next_cursor
            if not cursor or cursor in seen_cursors:
                return
            seen_cursors.add(cursor)
        raise errors.UnexpectedReplyError(
            "list jobs",
            f"the list did not end: there were {_MOST_PAGES:,} pages, or {EMPTY_PAGES} empty ones in a row",
            "Narrow the question, for example by date; if it stays, report it",
        )

    async def get_job(self, job_id: str) -> Job:
        """Everything the deployment says about one job."""
        doing = f"read job {_checked(job_id)}"

        def read(reply: dict[str, object]) -> Job:
            job = read_job(reply.get("job"), doing)
            if job.job_id != job_id:
                raise errors.UnexpectedReplyError(doing, "the deployment answered for another job")
            return job

        return await self._about_job(routes.GET_JOB, doing, job_id, read)

    async def get_job_status(self, job_id: str) -> JobStatus:
        """Where a job stands."""
        doing = f"read the status of {_checked(job_id)}"
        return await self._about_job(
            routes.JOB_STATUS, doing, job_id, lambda reply: read_status(reply, job_id, doing)
        )

    async def cancel_job(self, job_id: str) -> CancelReply:
        """Asks the deployment to cancel a job, once. The caller has checked that it is worth asking.

        If the reply is lost the request may have been carried out all the same: the error says so.
        """
        doing = f"cancel {_checked(job_id)}"

        def read(reply: dict[str, object]) -> CancelReply:
            cancelled = reply.get("cancelled")
            if not isinstance(cancelled, bool):
                raise errors.UnexpectedReplyError(doing, "the reply does not say whether it was accepted")
            return CancelReply(accepted=cancelled, message=read_text(reply.get("message")))

        try:
            try:
                return await self._about_job(routes.CANCEL_JOB, doing, job_id, read)
            except errors.RejectedError as error:
                if error.status != 405:
                    raise
                return await self._about_job(routes.CANCEL_JOB_POST, doing, job_id, read)
        except (
            errors.ConnectionFailedError,
            errors.DeadlineExceededError,
            errors.ServiceUnavailableError,
            errors.UnexpectedReplyError,
        ) as error:
            if isinstance(error, CircuitOpenError) or isinstance(error.__cause__, NEVER_SENT):
                raise
            raise type(error)(
                doing,
                f"{error.happened}, so the outcome is UNKNOWN: the job may or may not be cancelled",
                "Call get_job_status to see; do not assume either",
            ) from error

    @property
    def cache_identity(self) -> str:
        """The identity that results are kept under: `Connection.identity`."""
        return self.connection.identity

    async def open_results(self, spec: ResultsSpec) -> RemoteArtifact | None:
        """The results of a job for reading in parts, after one request.

        None where the deployment has no link to them, or does not say how long they are: `fetch_results`
        then tries every route, and says what is wrong if none delivers.
        """
        _checked(spec.job_id)
        return await self._results.open(spec)

    async def fetch_results(
        self, spec: ResultsSpec, directory: Path, *, on_bytes: OnBytes | None = None
    ) -> DownloadedFile:
        """The results of a job as a new private file in `directory`, by whatever route the deployment has.

        `on_bytes` is called with the bytes that have come and the total, if it is known.
        """
        _checked(spec.job_id)
        return await self._results.fetch(spec, directory, on_bytes)

    async def download_job_results(
        self,
        job_id: str,
        destination: Path,
        *,
        include_inputs: bool = False,
        include_cumulative_logprobs: bool = False,
    ) -> Path:
        """The results of a job as Parquet at `destination`, which appears only when it is complete.

        An interrupted download leaves `destination` + `.part` and `.part.etag`, and the next call goes on
        there.
        """
        spec = ResultsSpec(_checked(job_id), include_inputs, include_cumulative_logprobs)
        if await anyio.Path(destination).is_dir():
            raise errors.InvalidArgumentError(spec.doing, "the destination is a folder", "Name a file in it")
        return await self._results.save(spec, destination)

    async def stream_job_progress(self, job_id: str) -> AsyncGenerator[JobProgress]:
        """Updates of a job as they happen. Ends with the stream, which may be before the job does."""
        doing = f"follow {_checked(job_id)}"
        response = await self._http.open(ApiRequest(routes.STREAM_PROGRESS, doing, job_id))
        try:
            async for event in events(response, doing):
                yield event
        finally:
            await response.aclose()

    async def check_auth(self) -> AuthReply:
        """Whether the deployment accepts the key; a refusal by status is an `AuthenticationError`."""
        doing = "check the API key"
        try:
            accepted = await self._http.json(ApiRequest(routes.AUTH_CHECK, doing), is_authenticated)
        except RouteUnknownError:
            accepted = await self._http.json(ApiRequest(routes.TRY_AUTHENTICATION, doing), is_authenticated)
            return AuthReply(authenticated=accepted, endpoint="try-authentication")
        return AuthReply(authenticated=accepted, endpoint="auth/check")

    async def get_quotas(self) -> tuple[Quota, ...]:
        """The quota of each job priority, in the order of the deployment."""
        doing = "read quotas"

        def read(reply: dict[str, object]) -> tuple[Quota, ...]:
            entries = [read_object(entry) or {} for entry in read_list(reply, "quotas", doing)]
            # Before priorities were named, the position in the list was the priority.
            return tuple(Quota.model_validate({"priority": at} | entry) for at, entry in enumerate(entries))

        return await self._http.json(ApiRequest(routes.GET_QUOTAS, doing), read)

    async def _about_job(
        self, route: Route, doing: str, job_id: str, read: Callable[[dict[str, object]], T]
    ) -> T:
        """A reply about one job. A 404 that does not say what is missing is settled by asking for the list:
        a deployment that can list jobs is the right one, so then it is the job that is unknown.
        """
        try:
            return await self._http.json(ApiRequest(route, doing, job_id), read)
        except RouteUnknownError as unknown:
            try:
                await self.list_jobs_page(limit=1)
            except (RouteUnknownError, errors.UnexpectedReplyError):
                raise unknown from None
            raise unknown_job(doing) from unknown


def _checked(job_id: str) -> str:
    """The id, once it is known to be safe to send and to repeat in a sentence."""
    job_segment(job_id)
    return job_id


class ClientPool:
    """Makes clients for many keys, which need no closing. Close the pool after the last of them.

    They share connections: a key is put into each request and never into a connection. A TLS context and idle
    connections for each key would cost a hundred times what the rest of a client does.
    """

    def __init__(self) -> None:
        self._transports: dict[bool, tuple[SharedTransport, SharedTransport]] = {}

    def client(self, connection: Connection) -> ApiClient:
        """A client with budget, breaker and limits of its own."""
        loopback = connection.on_loopback
        if loopback not in self._transports:
            tls = httpx.create_ssl_context(trust_env=False)
            public = PublicTransport(tls, loopback=loopback)
            self._transports[loopback] = SharedTransport(Transport(tls, _POOLED)), SharedTransport(public)
        transport, blob_transport = self._transports[loopback]
        return ApiClient(connection, transport=transport, blob_transport=blob_transport)

    async def aclose(self) -> None:
        """Close all connections."""
        for transports in self._transports.values():
            for each in transports:
                await each.transport.aclose()
