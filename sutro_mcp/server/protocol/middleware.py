"""What every message passes on its way out, whatever made it and whatever the transport.

A lone surrogate would end a stdio server: no JSON writer can encode it. A secret may stand in any text
that a deployment sends, in successful replies too. An exception that is no `Exception`, such as a panic in a
native library, would take the connection along.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import anyio
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import INTERNAL_ERROR, CallToolResult, ErrorData, TextContent
from pydantic import BaseModel, ValidationError

from sutro_mcp.redaction import redact, redact_line
from sutro_mcp.server.context import Ctx
from sutro_mcp.server.live.job_wait import Report
from sutro_mcp.untrusted import shorten, visible

logger = logging.getLogger(__name__)

_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 60
# How the SDK itself writes a model.
_WIRE: dict[str, Any] = {"by_alias": True, "mode": "json", "exclude_none": True}


def scrub(value: Any, clean: Callable[[str], str] = redact) -> Any:
    """A JSON value whose every string, keys included, can be encoded and holds no secret."""
    if isinstance(value, str):
        return clean(value if value.isascii() else _SURROGATE.sub("\ufffd", value))
    if isinstance(value, Mapping):
        return {scrub(k, clean): scrub(v, clean) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [scrub(item, clean) for item in cast("list[Any]", value)]
    return value


def scrub_result(result: CallToolResult) -> CallToolResult:
    """A tool's result, scrubbed before the SDK writes it down, which is where half a surrogate pair fails."""
    content = [
        block.model_copy(update={"text": scrub(block.text)}) if isinstance(block, TextContent) else block
        for block in result.content
    ]
    return result.model_copy(
        update={"content": content, "structured_content": scrub(result.structured_content)}
    )


def scrub_error(error: ErrorData) -> ErrorData:
    """An error whose texts can be encoded and hold no secret."""
    return ErrorData(
        code=error.code, message=scrub(error.message, redact_line), data=scrub(error.data, redact_line)
    )


def reporter(ctx: Ctx) -> Report:
    """`report_progress` of a request, with its message scrubbed."""

    async def report(progress: float, total: float | None, message: str) -> None:
        await ctx.report_progress(progress, total, scrub(message, redact_line))

    return report


def is_failure(error: BaseException) -> bool:
    """Whether `error` belongs to one call, rather than being a request to stop that must pass."""
    stops = (anyio.get_cancelled_exc_class(), KeyboardInterrupt, SystemExit, GeneratorExit)
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).subgroup(stops) is None
    return not isinstance(error, stops)


async def outbound(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """The middleware around every request and notification."""
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
        logger.debug("%s %s in %.0f ms", _called(ctx), outcome, (time.perf_counter() - began) * 1000)
    return scrub(result.model_dump(**_WIRE) if isinstance(result, BaseModel) else result)


def _called(ctx: ServerRequestContext[Any, Any]) -> str:
    """Method and tool, never the arguments."""
    name = (ctx.params or {}).get("name") if ctx.method == "tools/call" else None
    shown = ctx.method if name is None else f"{ctx.method} {name}"
    return shorten(visible(shown), _SHOWN)[0]
