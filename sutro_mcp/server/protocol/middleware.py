"""Middleware around every request and notification: seven functions, the outermost first in `MIDDLEWARE`.

The SDK shows clients the text of any exception, lets one that is no `Exception` (a panic in a native library)
take the connection along, answers any cursor with the first page, promises notices that nobody sends, and
keeps working for an HTTP client that has hung up.
"""

import logging
import time
from functools import partial
from typing import Any, cast

import anyio
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import require_client_extension
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, SERVER_INFO_META_KEY
from pydantic import ValidationError

from sutro_mcp.server.context import acting_for, principal_in
from sutro_mcp.untrusted_text import shorten, visible

from .icons import icons
from .scrubbing import scrub_error, scrub_result

logger = logging.getLogger(__name__)

Request = ServerRequestContext[Any, Any]

TASKS_EXTENSION = "io.modelcontextprotocol/tasks"
HTTP_REQUEST = "sutro_mcp.http_request"
"""The key in an ASGI scope under which a transport leaves the HTTP request, with its `work`."""

_SHOWN = 60
_ONE_PAGE = ("tools/list", "prompts/list", "resources/templates/list")
_ICONS_SINCE = "2025-11-25"


async def know_the_caller(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Tell all code below for whom it works: a session's tasks do not inherit that from the request."""
    if ctx.request is None:
        return await call_next(ctx)
    with acting_for(principal_in(ctx.request.scope)):
        return await call_next(ctx)


async def contain_and_scrub(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Let nothing out but scrubbed results and errors; log each call without its arguments."""
    began = time.perf_counter()
    outcome = "failed"
    try:
        result = await call_next(ctx)
        outcome = "done"
    except MCPError as error:
        raise MCPError.from_error_data(scrub_error(error.error)) from None
    except ValidationError:
        raise  # the SDK answers with a fixed text
    except BaseException as error:
        if not is_failure(error):
            outcome = "stopped"
            raise
        logger.error("%s failed", ctx.method, exc_info=error)
        raise MCPError(
            code=INTERNAL_ERROR, message="An error in sutro-mcp itself. Its log (stderr) says more."
        ) from None
    finally:
        ms = round((time.perf_counter() - began) * 1000)
        logger.info(
            "%s %s in %d ms", _called(ctx), outcome, ms, extra={"call": partial(_fields, ctx, outcome, ms)}
        )
    return scrub_result(result) if isinstance(result, dict) else result


async def refuse_undeclared_tasks(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Give news of tasks to hosts only that declared to know tasks, as the specification has it."""
    wanted = (ctx.params or {}).get("notifications")
    if ctx.method == "subscriptions/listen" and isinstance(wanted, dict) and "taskIds" in wanted:
        require_client_extension(ctx, TASKS_EXTENSION)
    return await call_next(ctx)


async def show_icons(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Add the icons to what opens a connection; as server info they would come with every result of 2026."""
    result = await call_next(ctx)
    info: object = None
    if isinstance(result, dict) and ctx.method == "server/discover":
        info = result.get("_meta", {}).get(SERVER_INFO_META_KEY)
    elif isinstance(result, dict) and ctx.method == "initialize":
        info = result["protocolVersion"] >= _ICONS_SINCE and result.get("serverInfo")
    if isinstance(info, dict):
        cast("dict[str, Any]", info)["icons"] = icons()
    return result


async def promise_no_list_changes(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Take back the SDK's promise to tell of changed lists: they do not change here."""
    result = await call_next(ctx)
    if ctx.method == "server/discover" and isinstance(result, dict):
        for capability in result["capabilities"].values():
            capability.pop("listChanged", None)
    return result


async def refuse_cursors(ctx: Request, call_next: CallNext) -> HandlerResult:
    """Refuse a second page of a list that has one; the SDK would give the first again without end."""
    # A notification hears nothing, and must not fill the log.
    is_request = ctx.request_id is not None
    if is_request and ctx.method in _ONE_PAGE and ctx.params and ctx.params.get("cursor"):
        raise MCPError(INVALID_PARAMS, f"{ctx.method} has one page only. Ask again without a cursor.")
    return await call_next(ctx)


async def drop_with_the_client(ctx: Request, call_next: CallNext) -> HandlerResult:
    """End what is done for an HTTP request when its client hangs up; the 2025 protocol would go on."""
    request = ctx.request.scope.get(HTTP_REQUEST) if ctx.request is not None else None
    return await call_next(ctx) if request is None else await request.work(lambda: call_next(ctx))


MIDDLEWARE = (
    know_the_caller,
    contain_and_scrub,
    refuse_undeclared_tasks,
    show_icons,
    promise_no_list_changes,
    refuse_cursors,
    drop_with_the_client,
)


def is_failure(error: BaseException) -> bool:
    """Whether `error` belongs to one call, rather than being a request to stop that must pass."""
    stops = (anyio.get_cancelled_exc_class(), KeyboardInterrupt, SystemExit, GeneratorExit)
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).subgroup(stops) is None
    return not isinstance(error, stops)


def _called(ctx: Request) -> str:
    """Method and tool, never the arguments."""
    tool = _tool(ctx)
    return _brief(ctx.method if tool is None else f"{ctx.method} {tool}") or ""


def _fields(ctx: Request, outcome: str, ms: int) -> dict[str, object]:
    """The same for a log with fields."""
    info = ctx.session.client_params and ctx.session.client_params.client_info
    return {
        "request_id": _brief(ctx.request_id),
        "method": _brief(ctx.method),
        "tool": _brief(_tool(ctx)),
        "client": _brief(info and info.name),
        "era": ctx.protocol_version,
        "outcome": outcome,
        "ms": ms,
    }


def _tool(ctx: Request) -> object:
    return (ctx.params or {}).get("name") if ctx.method == "tools/call" else None


def _brief(word: object) -> str | None:
    """A word of a caller's, for a log."""
    return None if word is None else shorten(visible(str(word)), _SHOWN)[0]
