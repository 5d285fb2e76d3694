"""The three routes to a job's results, and their refusals (`sutro-api.md` §6.5 to 6.7)."""

from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from sutro_mcp.emulator.account import Account
from sutro_mcp.emulator.api_errors import ApiError, invalid
from sutro_mcp.emulator.object_store.artifact_files import Artifacts, Options
from sutro_mcp.emulator.object_store.store import BUCKET, Store, key_of
from sutro_mcp.emulator.stored_job import SUCCEEDED, Job
from sutro_mcp.emulator.wire_format import json_response

from .guarded_route import route
from .request_parsing import boolean, flag, integer, json_object

_DEFAULT_LIFETIME = 3600
_LONGEST_LIFETIME = 604_800


def result_routes(account: Account, artifacts: Artifacts, store: Store) -> list[BaseRoute]:
    """The routes of this API variant, which may lack any of them."""
    results = ResultEndpoints(account, artifacts, store)
    routes: list[BaseRoute] = []
    if account.variant.post_results:
        routes.append(route(account, "/job-results", results.post, "POST"))
    if account.variant.get_results:
        routes.append(route(account, "/jobs/{job_id}/results", results.get, "GET"))
    if account.variant.results_url:
        routes.append(route(account, "/jobs/{job_id}/results-url", results.url, "GET"))
    return routes


class ResultEndpoints:
    """Results exist only after SUCCEEDED, and not for ever."""

    def __init__(self, account: Account, artifacts: Artifacts, store: Store) -> None:
        self._account = account
        self._artifacts = artifacts
        self._store = store

    async def post(self, request: Request) -> Response:
        """POST /job-results: everything as JSON, wrapped (§6.5)."""
        body = await json_object(request)
        job_id = body.get("job_id")
        if not isinstance(job_id, str):
            raise invalid("body", "job_id", "Input should be a valid string", "string_type")
        options = Options(flag(body, "include_inputs"), flag(body, "include_cumulative_logprobs"))
        job = self._finished(job_id, self._account.variant.unready_status)
        artifact = await run_in_threadpool(self._artifacts.wrapped_json, job, options)
        return Response(artifact.body, media_type="application/json")

    async def get(self, request: Request) -> Response:
        """GET /jobs/{job_id}/results as json, csv or parquet (§6.6)."""
        form, options = self._format(request), _options(request)
        job = self._finished(request.path_params["job_id"], self._account.variant.unready_status)
        build, media_type, suffix = {
            "json": (self._artifacts.json, "application/json", ""),
            "csv": (self._artifacts.zipped_csv, "application/zip", ".zip"),
            "parquet": (self._artifacts.parquet, "application/octet-stream", ".parquet"),
        }[form]
        artifact = await run_in_threadpool(build, job, options)
        headers = (
            {"Content-Disposition": f'attachment; filename="{quote(job.job_id)}{suffix}"'} if suffix else None
        )
        return Response(artifact.body, 200, headers, media_type)

    async def url(self, request: Request) -> Response:
        """GET /jobs/{job_id}/results-url: where the Parquet artifact can be fetched for a while (§6.7)."""
        if request.query_params.get("format", "parquet") != "parquet":
            raise ApiError(400, "Unsupported format. Only 'parquet' is available here.")
        lifetime = integer(request, "expires_in_seconds", 1, _LONGEST_LIFETIME) or _DEFAULT_LIFETIME
        options = _options(request)
        job = self._finished(request.path_params["job_id"], 409)
        artifact = await run_in_threadpool(self._artifacts.parquet, job, options)
        return json_response(
            {
                "job_id": job.job_id,
                "format": "parquet",
                "include_inputs": options.include_inputs,
                "include_cumulative_logprobs": options.include_cumulative_logprobs,
                "expires_in_seconds": lifetime,
                "artifact": {
                    "bucket": BUCKET,
                    "key": key_of(job, options),
                    "filename": options.filename(job.job_id),
                    "size_bytes": len(artifact.body),
                },
                "urls": self._store.urls(job, options, lifetime),
            }
        )

    def _format(self, request: Request) -> str:
        accepted = self._account.variant.format_query
        names = ("format", "result_format") if accepted == "either" else (accepted,)
        given = [request.query_params[name] for name in names if name in request.query_params]
        if not given:
            raise invalid("query", names[0], "Field required", "missing")
        if given[0] not in ("json", "csv", "parquet"):
            raise ApiError(400, "Unsupported format. Use 'json', 'csv' or 'parquet'.")
        return given[0]

    def _finished(self, job_id: str, unready: int) -> Job:
        """The job, if its results can be had; reading results does not move a job on."""
        job = self._account.look(self._account.get(job_id), read=False)
        if job.status != SUCCEEDED:
            raise ApiError(unready, f"Results of job {job_id} are not available: the job is {job.status}.")
        if job.dry_run:
            raise ApiError(404, f"Job {job_id} is a cost estimate and has no results.")
        if job.results_expired:
            raise ApiError(
                self._account.variant.expired_status,
                f"Results of job {job_id} are no longer available: their retention period is over.",
            )
        job.results_reads += 1
        if job.results_reads <= self._account.variant.results_lag:
            raise ApiError(409, f"Results of job {job_id} are not available yet. Try again in a few seconds.")
        return job


def _options(request: Request) -> Options:
    return Options(boolean(request, "include_inputs"), boolean(request, "include_cumulative_logprobs"))
