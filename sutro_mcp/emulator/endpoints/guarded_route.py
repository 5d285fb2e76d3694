"""A route that asks for the API key. Refusals are the contract's (§3, §8)."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sutro_mcp.emulator.account import Account
from sutro_mcp.emulator.api_errors import GONE, ApiError

Endpoint = Callable[[Request], Awaitable[Response]]


def route(account: Account, path: str, endpoint: Endpoint, *methods: str) -> Route:
    """A route behind the API key, answering exactly these methods."""

    async def guarded(request: Request) -> Response:
        if account.variant.central_gone:
            raise ApiError(410, GONE)
        if request.headers.get("authorization") != f"Key {account.api_key}":
            raise ApiError(401, "Invalid or missing API key. Send it as 'Authorization: Key <api-key>'.")
        return await endpoint(request)

    guarded_route = Route(path, guarded, methods=methods)
    guarded_route.methods = set(methods)  # starlette adds HEAD to GET, and a HEAD must not cancel a job
    return guarded_route
