"""Three ways to the results of a job, tried in order, and what it means when none of them works.

`results-url` (a signed link to Parquet) is documented to refuse unfinished jobs. The other two are not, so
the job is looked up before they are used. A route that a deployment does not seem to have is asked last from
then on; that it is absent, rather than out of results, is known once another route has delivered.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx

from sutro_mcp import errors
from sutro_mcp.api.bodies import chunks, content_length
from sutro_mcp.api.http_client import ApiRequest, Http
from sutro_mcp.api.models import Job, Status, read_count, read_object, read_text
from sutro_mcp.api.network_errors import deadline
from sutro_mcp.api.retries import retrying
from sutro_mcp.api.routes import GET_RESULTS, POST_RESULTS, RESULTS_URL, Route
from sutro_mcp.api.status_errors import GoneError, RouteUnknownError
from sutro_mcp.errors import counted
from sutro_mcp.results_spec import ResultsSpec
from sutro_mcp.untrusted_text import quote

from .part_file import Format, OnBytes, PartFile
from .presigned_url import SIZE_CAP, PresignedUrl, RenewingUrl, check_artifact_url, check_identity, refusal
from .ranges import RemoteArtifact

_LINK_SECONDS = 600
_EXTENSIONS: dict[Format, str] = {"parquet": "parquet", "json": "json", "csv": "csv.zip"}


@dataclass(frozen=True)
class DownloadedFile:
    """The results of a job as one private file, as they came: `csv` is a ZIP archive of a CSV."""

    path: Path
    format: Format
    size: int
    etag: str | None
    route: str


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
            part = PartFile.fresh(directory, spec.doing, on_bytes)
            try:
                route = await self._first(spec, part, (RESULTS_URL, GET_RESULTS, POST_RESULTS))
                found = part.recognise()
                path = part.path.with_suffix(f".{_EXTENSIONS[found]}")
                await part.publish(path)
            except BaseException:
                part.discard()
                raise
        return DownloadedFile(path, found, part.size, part.etag, route.name)

    async def save(self, spec: ResultsSpec, destination: Path) -> Path:
        """The results as Parquet at `destination`, going on where an earlier call stopped."""
        with deadline(self._http.results_timeout, spec.doing):
            part = PartFile(destination.with_name(destination.name + ".part"), spec.doing, resumable=True)
            try:
                await self._first(spec, part, (RESULTS_URL, GET_RESULTS))
                if part.recognise() != "parquet":
                    raise errors.UnexpectedReplyError(
                        spec.doing, "the deployment offers these results, but not as Parquet"
                    )
                await part.publish(destination)
            except BaseException as error:
                worthless = isinstance(error, errors.UnexpectedReplyError)
                resumable = not worthless or isinstance(error, errors.IncompleteReplyError)
                part.close() if part.etag and resumable else part.discard()
                raise
        return destination

    async def _first(self, spec: ResultsSpec, part: PartFile, routes: tuple[Route, ...]) -> Route:
        """Fills `part` from the first route that delivers, and says which one did."""
        finished = gone = False
        lacking: list[Route] = []
        # One that seemed absent is asked last: before anything is called gone, all have been asked.
        for route in sorted(routes, key=lambda route: route in self._absent):
            if route is not RESULTS_URL and not finished:
                await self._require_success(spec)
                finished = True
            try:
                await self._fetchers[route](spec, part)
            except (errors.JobNotFoundError, RouteUnknownError, GoneError):
                if not finished:
                    await self._require_success(spec)
                    finished = True
                gone = True
                lacking.append(route)
            except errors.RejectedError as error:
                await self._require_lacking(spec, error)
                lacking.append(route)
            else:
                self._absent.update(lacking)
                self._absent.discard(route)
                return route
        if gone:
            raise errors.ResultsGoneError(
                spec.doing,
                "the job succeeded but the deployment has no results of it",
                "Results are kept for 90 days by default; a cost estimate never has any",
            )
        raise errors.UnexpectedReplyError(
            spec.doing, "the deployment offers none of the known ways to fetch results"
        )

    async def _require_success(self, spec: ResultsSpec) -> None:
        """Looks the job up and raises unless it succeeded."""
        job = await self._get_job(spec.job_id)
        if job.status is Status.SUCCEEDED:
            return
        if job.status is Status.FAILED:
            reason = job.failure_reason
            why = f"; the reason given is {quote(reason.message)}" if reason else "; no reason is given"
            raise errors.NoResultsError(spec.doing, f"the job FAILED{why}", "Call get_job for its details")
        if job.status is Status.CANCELLED:
            raise errors.NoResultsError(
                spec.doing, "the job was CANCELLED and has no results", "Call list_jobs to find another job"
            )
        rows = f" ({counted(job.num_rows, 'row')})" if job.num_rows is not None else ""
        raise errors.ResultsNotReadyError(
            spec.doing,
            f"the job has not finished, its status is {job.status}{rows}",
            "Call wait_for_job to follow it",
        )

    async def open(self, spec: ResultsSpec) -> RemoteArtifact | None:
        """The artifact of a link, for reading in parts; None where another route has to be tried."""
        if RESULTS_URL in self._absent:
            return None
        try:
            presigned = await self._presigned(spec)
        except (errors.JobNotFoundError, RouteUnknownError, GoneError):
            return None
        except errors.RejectedError as error:
            await self._require_lacking(spec, error)
            self._absent.add(RESULTS_URL)
            return None
        size = presigned.size
        return self._remote(spec, presigned, size) if size and size <= SIZE_CAP else None

    def _remote(self, spec: ResultsSpec, presigned: PresignedUrl, size: int) -> RemoteArtifact:
        return RemoteArtifact(self._http, lambda: self._presigned(spec), presigned, size, spec.job_id)

    async def _require_lacking(self, spec: ResultsSpec, error: errors.RejectedError) -> None:
        """Raises unless `error` says that the deployment has no such route."""
        if error.status == 409:
            await self._require_success(spec)
            raise errors.ResultsNotReadyError(
                spec.doing,
                "the job has finished and its results are being published",
                "Try again shortly; this takes up to about 100 seconds",
            ) from error
        if error.status not in (405, 501):
            raise error

    async def _presigned(self, spec: ResultsSpec) -> PresignedUrl:
        doing = spec.doing
        api_on_loopback = self._http.connection.on_loopback

        def read(reply: dict[str, object]) -> PresignedUrl:
            if reply.get("job_id", spec.job_id) != spec.job_id:
                raise errors.UnexpectedReplyError(doing, "the deployment answered for another job")
            if reply.get("format", "parquet") != "parquet":
                raise errors.UnexpectedReplyError(doing, "the deployment offers another format than Parquet")
            link = read_text((read_object(reply.get("urls")) or {}).get("get"))
            if not link:
                raise errors.UnexpectedReplyError(doing, "the deployment sent no download link")
            url = check_artifact_url(link, doing, api_on_loopback=api_on_loopback)
            size = read_count((read_object(reply.get("artifact")) or {}).get("size_bytes"))
            lifetime = read_count(reply.get("expires_in_seconds"))
            return PresignedUrl(url, size, _LINK_SECONDS if lifetime is None else lifetime)

        params = _params(spec) | {"expires_in_seconds": str(_LINK_SECONDS)}
        return await self._http.json(ApiRequest(RESULTS_URL, doing, spec.job_id, params), read)

    async def _from_link(self, spec: ResultsSpec, part: PartFile) -> None:
        """Continues `part`, or starts from zero, once, where the store cannot prove what would follow."""
        try:
            await self._pour(spec, part)
        except (
            errors.ArtifactChangedError,
            errors.IncompleteReplyError,
            errors.RangesUnsupportedError,
        ) as error:
            if isinstance(error, errors.IncompleteReplyError) and (part.etag or error.given_up):
                raise
            part.restart()
            await self._pour(spec, part)
        if part.recognise() != "parquet":
            raise errors.UnexpectedReplyError(spec.doing, "the artifact is not Parquet")

    async def _pour(self, spec: ResultsSpec, part: PartFile) -> None:
        presigned = await self._presigned(spec)
        size = presigned.size
        if not size:
            await self._pour_all(spec, part, presigned)
            return
        if size > SIZE_CAP:
            raise errors.ReplyTooLargeError(
                spec.doing,
                f"the results are {size:,} bytes, more than the {SIZE_CAP:,} that are fetched",
                "Fetch them with the official SDK instead",
            )
        if part.etag is None or part.size > size:
            part.restart()
        elif part.size == size:
            # Complete already: one byte is fetched again, to learn whether it is still the same artifact.
            part.cut(size - 1)
        artifact = self._remote(spec, presigned, size)
        async with aclosing(artifact.chunks(part.size, size, part.etag)) as parts:
            async for data in parts:
                if not part.size:
                    part.restart(artifact.etag)
                part.write(data, size)

    async def _pour_all(self, spec: ResultsSpec, part: PartFile, presigned: PresignedUrl) -> None:
        """An artifact of unknown size, from the start at each attempt."""
        url = RenewingUrl(self._http, lambda: self._presigned(spec), presigned, spec.doing)
        consume = _into(part, spec.doing, SIZE_CAP, secret=True)

        async def once() -> None:
            response = await url.get({})
            try:
                if response.status_code != 200:
                    raise refusal(response.status_code, spec.doing)
                check_identity(response, spec.doing)
                await consume(response)
            finally:
                await response.aclose()

        await retrying(once, self._http.budget)

    async def _from_get(self, spec: ResultsSpec, part: PartFile) -> None:
        # The parameter that selects the format was renamed between generations; both are sent.
        params = _params(spec) | {"result_format": "parquet"}
        consume = _into(part, spec.doing, GET_RESULTS.cap)
        await self._http.exchange(ApiRequest(GET_RESULTS, spec.doing, spec.job_id, params), consume)

    async def _from_post(self, spec: ResultsSpec, part: PartFile) -> None:
        consume = _into(part, spec.doing, POST_RESULTS.cap)
        body = {"job_id": spec.job_id, **spec.options}
        await self._http.exchange(ApiRequest(POST_RESULTS, spec.doing, body=body), consume)


def _into(
    part: PartFile, doing: str, cap: int, *, secret: bool = False
) -> Callable[[httpx.Response], Awaitable[None]]:
    """A consumer that puts a body into `part`, from the start at each attempt."""

    async def consume(response: httpx.Response) -> None:
        part.restart()
        packed = "content-encoding" in response.headers
        total = None if packed else content_length(response, doing)
        async for data in chunks(response, doing, cap, secret=secret):
            part.write(data, total)

    return consume


def _params(spec: ResultsSpec) -> dict[str, str]:
    return {"format": "parquet"} | {name: str(value).lower() for name, value in spec.options.items()}
