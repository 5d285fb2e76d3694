"""Three ways to the results of a job, tried in order, and what it means when none of them works.

`results-url` (a signed link to Parquet) is documented to refuse unfinished jobs. The other two are not, so
the job is looked up before they are used. A route that a deployment does not seem to have is asked last from
then on; that it is absent, rather than out of results, is known once another route has delivered.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from sutro_mcp.api.bodies import chunks, content_length
from sutro_mcp.api.http import Http
from sutro_mcp.api.models import Job, Status, read_count, read_object, read_text
from sutro_mcp.api.network_errors import deadline
from sutro_mcp.api.routes import GET_RESULTS, POST_RESULTS, RESULTS_URL, Route
from sutro_mcp.api.status_errors import GoneError, RouteUnknownError
from sutro_mcp.api.urls import check_artifact_url
from sutro_mcp.errors import (
    IncompleteReplyError,
    JobNotFoundError,
    NoResultsError,
    RejectedError,
    ResultsGoneError,
    ResultsNotReadyError,
    UnexpectedReplyError,
    counted,
)
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.untrusted import quote

from .download import Download, OnBytes
from .part_file import Format, PartFile
from .presigned_url import SIZE_CAP, Offer, SignedUrl
from .ranges import RemoteArtifact

RouteName = Literal["results-url", "get-results", "post-results"]

_NAMES: dict[Route, RouteName] = {
    RESULTS_URL: "results-url",
    GET_RESULTS: "get-results",
    POST_RESULTS: "post-results",
}
_LINK_SECONDS = 600
_EXTENSIONS: dict[Format, str] = {"parquet": "parquet", "json": "json", "csv": "csv.zip"}


@dataclass(frozen=True)
class DownloadedFile:
    """The results of a job as one private file, as they came: `csv` is a ZIP archive of a CSV."""

    path: Path
    format: Format
    size: int
    etag: str | None
    route: RouteName


class Results:
    """Fetches results for one deployment and remembers which routes it lacks."""

    def __init__(self, http: Http, get_job: Callable[[str], Awaitable[Job]]) -> None:
        self._http = http
        self._get_job = get_job
        self._absent: set[Route] = set()
        self._fetchers = {
            RESULTS_URL: self._from_link,
            GET_RESULTS: self._from_get,
            POST_RESULTS: self._from_post,
        }

    async def fetch(self, spec: ResultsSpec, directory: Path, on_bytes: OnBytes | None) -> DownloadedFile:
        """The results as a new file in `directory`."""
        with deadline(self._http.results_timeout, spec.doing):
            part = PartFile.fresh(directory, spec.doing)
            try:
                route = await self._first(spec, part, on_bytes, tuple(_NAMES))
                found = part.recognise()
                path = part.path.with_suffix(f".{_EXTENSIONS[found]}")
                await part.publish(path)
            except BaseException:
                part.discard()
                raise
        return DownloadedFile(path, found, part.size, part.etag, _NAMES[route])

    async def save(self, spec: ResultsSpec, destination: Path) -> Path:
        """The results as Parquet at `destination`, going on where an earlier call stopped."""
        with deadline(self._http.results_timeout, spec.doing):
            part = PartFile(destination.with_name(destination.name + ".part"), spec.doing, resumable=True)
            try:
                await self._first(spec, part, None, (RESULTS_URL, GET_RESULTS))
                if part.recognise() != "parquet":
                    raise _unexpected(spec.doing, "the deployment offers these results, but not as Parquet")
                await part.publish(destination)
            except BaseException as error:
                worthless = isinstance(error, UnexpectedReplyError)
                resumable = not worthless or isinstance(error, IncompleteReplyError)
                part.close() if part.etag and resumable else part.discard()
                raise
        return destination

    async def _first(
        self, spec: ResultsSpec, part: PartFile, on_bytes: OnBytes | None, routes: tuple[Route, ...]
    ) -> Route:
        """Fills `part` from the first route that delivers, and says which one did."""
        finished = gone = False
        lacking: list[Route] = []
        # One that seemed absent is asked last: before anything is called gone, all have been asked.
        for route in sorted(routes, key=lambda route: route in self._absent):
            if route is not RESULTS_URL and not finished:
                await self._require_success(spec)
                finished = True
            try:
                await self._fetchers[route](spec, part, on_bytes)
            except (JobNotFoundError, RouteUnknownError, GoneError):
                if not finished:
                    await self._require_success(spec)
                    finished = True
                gone = True
                lacking.append(route)
            except RejectedError as error:
                await self._require_lacking(spec, error)
                lacking.append(route)
            else:
                self._absent.update(lacking)
                self._absent.discard(route)
                return route
        if gone:
            raise ResultsGoneError(
                spec.doing,
                "the job succeeded but the deployment has no results of it",
                "Results are kept for 90 days by default; a cost estimate never has any",
            )
        raise _unexpected(spec.doing, "the deployment offers none of the known ways to fetch results")

    async def _require_success(self, spec: ResultsSpec) -> None:
        """Looks the job up and raises unless it succeeded."""
        job = await self._get_job(spec.job_id)
        if job.status is Status.SUCCEEDED:
            return
        if job.status is Status.FAILED:
            reason = job.failure_reason
            why = f"; the reason given is {quote(reason.message)}" if reason else "; no reason is given"
            raise NoResultsError(spec.doing, f"the job FAILED{why}", "Call get_job for its details")
        if job.status is Status.CANCELLED:
            raise NoResultsError(
                spec.doing, "the job was CANCELLED and has no results", "Call list_jobs to find another job"
            )
        rows = f" ({counted(job.num_rows, 'row')})" if job.num_rows is not None else ""
        raise ResultsNotReadyError(
            spec.doing,
            f"the job has not finished, its status is {job.status}{rows}",
            "Call wait_for_job to follow it",
        )

    async def open(self, spec: ResultsSpec) -> RemoteArtifact | None:
        """The artifact of a link, for reading in parts; None where another route has to be tried."""
        if RESULTS_URL in self._absent:
            return None
        try:
            offer = await self._link(spec)
        except (JobNotFoundError, RouteUnknownError, GoneError):
            return None
        except RejectedError as error:
            await self._require_lacking(spec, error)
            self._absent.add(RESULTS_URL)
            return None
        if not offer.size or offer.size > SIZE_CAP:
            return None
        return RemoteArtifact(self._http, lambda: self._link(spec), offer, offer.size, spec.job_id)

    async def _require_lacking(self, spec: ResultsSpec, error: RejectedError) -> None:
        """Raises unless `error` says that the deployment has no such route."""
        if error.status == 409:
            await self._require_success(spec)
            raise _not_published(spec) from error
        if error.status not in (405, 501):
            raise error

    async def _link(self, spec: ResultsSpec) -> Offer:
        doing = spec.doing
        api_on_loopback = self._http.connection.on_loopback

        def read(reply: dict[str, object]) -> Offer:
            if reply.get("job_id", spec.job_id) != spec.job_id:
                raise _unexpected(doing, "the deployment answered for another job")
            if reply.get("format", "parquet") != "parquet":
                raise _unexpected(doing, "the deployment offers another format than Parquet")
            link = read_text((read_object(reply.get("urls")) or {}).get("get"))
            if not link:
                raise _unexpected(doing, "the deployment sent no download link")
            url = check_artifact_url(link, doing, api_on_loopback=api_on_loopback)
            size = read_count((read_object(reply.get("artifact")) or {}).get("size_bytes"))
            lifetime = read_count(reply.get("expires_in_seconds"))
            return Offer(SignedUrl(url), size, _LINK_SECONDS if lifetime is None else lifetime)

        params = _params(spec) | {"expires_in_seconds": str(_LINK_SECONDS)}
        return await self._http.json(RESULTS_URL, doing, read, job_id=spec.job_id, params=params)

    async def _from_link(self, spec: ResultsSpec, part: PartFile, on_bytes: OnBytes | None) -> None:
        await Download(self._http, lambda: self._link(spec), part, spec.doing, on_bytes).run()
        if part.recognise() != "parquet":
            raise _unexpected(spec.doing, "the artifact is not Parquet")

    async def _from_get(self, spec: ResultsSpec, part: PartFile, on_bytes: OnBytes | None) -> None:
        # The parameter that selects the format was renamed between generations; both are sent.
        params = _params(spec) | {"result_format": "parquet"}
        consume = _into(part, spec.doing, GET_RESULTS, on_bytes)
        await self._http.exchange(GET_RESULTS, spec.doing, consume, job_id=spec.job_id, params=params)

    async def _from_post(self, spec: ResultsSpec, part: PartFile, on_bytes: OnBytes | None) -> None:
        consume = _into(part, spec.doing, POST_RESULTS, on_bytes)
        body = {"job_id": spec.job_id, **spec.options}
        await self._http.exchange(POST_RESULTS, spec.doing, consume, body=body)


def _into(
    part: PartFile, doing: str, route: Route, on_bytes: OnBytes | None
) -> Callable[[httpx.Response], Awaitable[None]]:
    """A consumer that puts a body into `part`, from the start at each attempt."""

    async def consume(response: httpx.Response) -> None:
        part.restart()
        packed = "content-encoding" in response.headers
        total = None if packed else content_length(response, doing)
        async for data in chunks(response, doing, route.cap):
            part.write(data)
            if on_bytes:
                on_bytes(part.size, total)

    return consume


def _params(spec: ResultsSpec) -> dict[str, str]:
    return {"format": "parquet"} | {name: str(value).lower() for name, value in spec.options.items()}


def _not_published(spec: ResultsSpec) -> ResultsNotReadyError:
    return ResultsNotReadyError(
        spec.doing,
        "the job has finished and its results are being published",
        "Try again shortly; this takes up to about 100 seconds",
    )


def _unexpected(doing: str, happened: str) -> UnexpectedReplyError:
    return UnexpectedReplyError(doing, happened, "Call again; if it stays, report it")
