"""Jobs, quotas and auth checks: parse the request, ask the account, shape the answer.

Sources: `sutro-api.md` §6.1 to 6.4, 6.12 and 6.13. Results have a module of their own.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from sutro_mcp.emulator.account import QUOTAS, Account
from sutro_mcp.emulator.api_errors import ApiError
from sutro_mcp.emulator.wire_format import job_object, json_response, status_body

from .guarded_route import route
from .request_parsing import integer


def job_routes(account: Account) -> list[BaseRoute]:
    """The routes of this API variant."""
    jobs = JobEndpoints(account)
    variant = account.variant
    methods = {"both": ("GET", "POST"), "get": ("GET",), "post": ("POST",)}[variant.cancel_methods]
    routes: list[BaseRoute] = [
        route(account, "/list-jobs", jobs.list_jobs, "GET"),
        route(account, "/jobs/{job_id}", jobs.fetch, "GET"),
        route(account, "/job-status/{job_id}", jobs.status, "GET"),
        route(account, "/job-cancel/{job_id}", jobs.cancel, *methods),
        route(account, "/get-quotas", jobs.quotas, "GET"),
    ]
    checks = [path for path in ("auth/check", "try-authentication") if variant.auth_routes in ("both", path)]
    return routes + [route(account, f"/{path}", jobs.authenticate, "GET") for path in checks]


class JobEndpoints:
    """Everything about jobs except their results."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._variant = account.variant

    async def list_jobs(self, request: Request) -> Response:
        """GET /list-jobs: everything at once, or pages when `limit` is given (§6.1)."""
        limit = integer(request, "limit", 1, 100)
        if limit is None or not self._variant.paginated:
            jobs = [job_object(job, self._variant) for job in self._account.all()]
            return json_response({"message": "Jobs retrieved successfully.", "jobs": jobs})
        page, cursor = self._account.page(limit, request.query_params.get("cursor"))
        jobs = [job_object(job, self._variant) for job in page]
        return json_response({"jobs": jobs, "next_cursor": cursor})

    async def fetch(self, request: Request) -> Response:
        """GET /jobs/{job_id} (§6.2)."""
        job = self._account.look(self._account.get(request.path_params["job_id"]), read=True)
        return json_response({"job": job_object(job, self._variant)})

    async def status(self, request: Request) -> Response:
        """GET /job-status/{job_id} (§6.3)."""
        job = self._account.look(self._account.get(request.path_params["job_id"]), read=True)
        return json_response(status_body(job, self._variant))

    async def cancel(self, request: Request) -> Response:
        """GET or POST /job-cancel/{job_id}: a request to stop, not the stop itself (§6.4)."""
        job_id = request.path_params["job_id"]
        try:
            job = self._account.get(job_id)
        except ApiError:
            if self._variant.cancel_missing == "404":
                raise
            return json_response({"cancelled": False, "message": f"Job with job_id: {job_id} not found."})
        if self._account.cancel(job):
            message = f"Cancelling job with job_id: {job_id}. Check the job status endpoint for details."
            return json_response({"cancelled": True, "message": message})
        message = f"Job with job_id: {job_id} is already {job.status} and cannot be cancelled."
        return json_response({"cancelled": False, "message": message})

    async def quotas(self, _request: Request) -> Response:
        """GET /get-quotas (§6.13)."""
        return json_response({"quotas": QUOTAS})

    async def authenticate(self, _request: Request) -> Response:
        """GET /auth/check and /try-authentication; a bad key never gets here (§6.12)."""
        return json_response({"authenticated": True})
