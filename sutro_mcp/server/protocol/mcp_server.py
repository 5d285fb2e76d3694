"""MCPServer with the refusals and error texts that hosts and models can act on.

Public methods of the SDK are overridden: it drops unknown arguments and query parameters silently, shows
pydantic's raw text for bad ones, repeats any URI as it came, and masks every exception that is not its own.
"""

import logging
import sys
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import parse_qsl

import anyio
from mcp import MCPError, types
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import (
    ResourceNotFoundError,
    ToolError,
    UnexpectedResourceError,
    UnexpectedToolError,
)
from pydantic import AnyUrl, BaseModel

from sutro_mcp.errors import CallError, InvalidArgumentError, JobNotFoundError, SutroError
from sutro_mcp.server.context import AppContext
from sutro_mcp.server.uris import is_of_summary
from sutro_mcp.untrusted_text import shorten, visible

from .argument_errors import explain, shown, unknown_argument
from .concurrency_limit import ConcurrencyLimit
from .middleware import is_failure
from .rate_limit import RateLimits
from .tool_schemas import portable, portable_answer

if TYPE_CHECKING:
    # Over stdio they are not loaded.
    from sutro_mcp.server.operations.audit import Audit
    from sutro_mcp.server.replicas.job_leases import JobLeases

logger = logging.getLogger(__name__)

Params = TypeVar("Params", bound=BaseModel)
Result = TypeVar("Result", bound=types.CallToolResult | types.InputRequiredResult)
Output = Literal["both", "text", "structured"]
IsHeavy = Callable[[Mapping[str, Any]], bool]

_SHOWN_URI = 200
# What versions before 2026 say of a resource that is not there; 2026 says INVALID_PARAMS.
RESOURCE_NOT_FOUND = -32002
_FIRST_MODERN = "2026"
# Requests that the SDK answers before it looks for a handler.
_OPENING = ("initialize", "ping", "server/discover")
_OWN_FAULT = "failed because of an error in sutro-mcp itself. Its log (stderr) says more."


@contextmanager
def without_rich() -> Generator[None]:
    """Let the SDK, which logs through rich where that is installed, not find it: it takes long to import."""
    modules = cast("dict[str, Any]", sys.modules)
    found = {"rich.console": modules["rich.console"]} if "rich.console" in modules else {}
    modules["rich.console"] = None
    try:
        yield
    finally:
        del modules["rich.console"]
        modules.update(found)


class SutroServer(MCPServer[AppContext]):
    """The product's server object, whatever the transport."""

    output: Output = "both"
    """The channels that answers of tools come in."""
    leases: "JobLeases | None" = None
    """Which replica reads a watched job; None where there is no telling."""
    run_beside: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Runs while the server is served."""
    app: AppContext | None = None
    """What handlers share, while it is served."""
    audit: "Audit | None" = None
    """Where it is written who cancelled what; None where nothing is told of that."""
    keys_age: Callable[[], float | None] | None = None
    """The seconds since the issuer's keys were fetched; None where there is no issuer."""

    @cached_property
    def ending(self) -> anyio.Event:
        """Set when the server will stop: calls that wait for news say what they know."""
        return anyio.Event()

    @cached_property
    def at_end(self) -> list[Callable[[], None]]:
        """Called then: each ends something else that waits."""
        return []

    def end_waits(self) -> None:
        """End whatever waits, before the transport ends."""
        self.ending.set()
        for end in self.at_end:
            end()

    def serves(self, method: str, tool: object = None) -> bool:
        """Whether there is such a method and, if one is named, such a tool: both are words of the caller."""
        if tool is not None and not any(tool == known.name for known in self._tool_manager.list_tools()):
            return False
        return method in _OPENING or self._lowlevel_server.get_request_handler(method) is not None

    cancelling: Collection[str] = ()
    """The names of tools that change something."""

    @cached_property
    def calls(self) -> ConcurrencyLimit:
        """The limit of calls at once, but for those in `limits`."""
        return ConcurrencyLimit()

    @cached_property
    def limits(self) -> dict[str, ConcurrencyLimit]:
        """Limits of tools whose calls do not count with those of the others, by the tool's name."""
        return {}

    def handle(
        self,
        method: str,
        params: type[Params],
        handler: Callable[[ServerRequestContext[AppContext, Any], Params], Awaitable[HandlerResult]],
    ) -> None:
        """Answer a request that the SDK's high-level class has no place for, or answers too simply."""
        self._lowlevel_server.add_request_handler(method, params, handler)

    rates: RateLimits | None = None
    """How often each caller may call; None where callers are not told apart."""

    @cached_property
    def heavy(self) -> dict[str, IsHeavy]:
        """Which calls of a tool count as heavy, by the tool's name."""
        return {}

    async def _admit(self, doing: str, *, heavy: bool) -> None:
        if self.rates is not None:
            await self.rates.admit(doing, ("heavy", "call") if heavy else ("call",))

    @asynccontextmanager
    async def admitted(self, doing: str) -> AsyncGenerator[None]:
        """Count what asks Sutro without being a call as one, where callers are told apart, and hold a slot.

        Raises TemporaryError when the caller has to come back later.
        """
        if self.rates is None:
            yield
            return
        await self._admit(doing, heavy=False)
        async with self.calls.slot(doing):
            yield

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[AppContext, Any] | None = None
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Call a tool; every failure that the caller can act on comes back as text of ours."""
        schemas = {tool.name: tool.input_schema for tool in await super().list_tools()}
        if name not in schemas:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {shown(name)}")
        accepted = cast("dict[str, Any]", schemas[name].get("properties", {}))
        if unknown := [key for key in arguments if key not in accepted]:
            return _failed(unknown_argument(f"call {name}", unknown[0], list(accepted)))
        required = cast("list[str]", schemas[name].get("required", []))
        # Hosts send "" or null for an optional argument that was left blank.
        given = {key: value for key, value in arguments.items() if key in required or value not in ("", None)}
        limit = self.limits.get(name, self.calls)
        is_heavy = name in self.heavy and self.heavy[name](given)
        try:
            await self._admit(f"call {name}", heavy=is_heavy)
            async with limit.slot(f"call {name}"):
                return in_channels(self.output, await super().call_tool(name, given, context))
        except BaseException as error:
            # Not only Exception: a panic in a native library is none, and would end the connection.
            if isinstance(error, MCPError) or not is_failure(error):
                raise
            return _failed(_text_of(name, error))

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[AppContext, Any] | None = None
    ) -> Iterable[ReadResourceContents] | types.InputRequiredResult:
        """Read a resource; every failure that the caller can act on carries text of ours."""
        given = str(uri)
        is_modern = context is not None and (context.protocol_version or "") >= _FIRST_MODERN
        not_found = types.INVALID_PARAMS if is_modern else RESOURCE_NOT_FOUND
        try:
            self._check_query(given)
            await self._admit("read this resource", heavy=is_of_summary(given))
            async with self.calls.slot("read this resource"):
                return await super().read_resource(uri, context)
        except ResourceNotFoundError as error:
            name = shorten(visible(given), _SHOWN_URI)[0]
            message = f"Unknown resource: {name}. resources/templates/list has the forms that exist."
            raise MCPError(not_found, message, {"uri": visible(given)}) from error
        except UnexpectedResourceError as error:
            cause = error.__cause__
            if isinstance(cause, SutroError):
                raise refusal(cause, given, not_found) from cause
            logger.exception("reading a resource failed")
            message = f"Reading this resource {_OWN_FAULT}"
            raise MCPError(types.INTERNAL_ERROR, message, {"uri": visible(given)}) from error
        except SutroError as error:
            raise refusal(error, given) from error

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[AppContext, Any] | None = None,
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """Get a prompt; a wrong name or argument is refused as such, and not as an error of ours."""
        prompts = {prompt.name: prompt for prompt in await self.list_prompts()}
        if name not in prompts:
            known = ", ".join(prompts)
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {shown(name)}. There are: {known}.")
        accepted = {argument.name: bool(argument.required) for argument in prompts[name].arguments or []}
        # Hosts send "" for an optional argument that was left blank.
        given = {key: value for key, value in (arguments or {}).items() if value != ""}
        if unknown := [key for key in given if key not in accepted]:
            raise MCPError(types.INVALID_PARAMS, unknown_argument(f"use {name}", unknown[0], list(accepted)))
        if missing := [key for key, required in accepted.items() if required and key not in given]:
            raise MCPError(types.INVALID_PARAMS, f"Cannot use {name}: {missing[0]} is required.")
        try:
            return await super().get_prompt(name, given, context)
        except ValueError as error:
            # The SDK wraps what a prompt raises twice.
            cause = error.__cause__ and error.__cause__.__cause__
            if isinstance(cause, SutroError):
                raise MCPError(types.INVALID_PARAMS, str(cause)) from cause
            logger.exception("%s failed", name)
            raise MCPError(types.INTERNAL_ERROR, f"{name} {_OWN_FAULT}") from error

    async def list_tools(self) -> list[types.Tool]:
        """The tools with schemas reduced to what every host accepts."""
        return [
            tool.model_copy(
                update={
                    "input_schema": portable(tool.input_schema),
                    "output_schema": (
                        portable_answer(tool.output_schema)
                        if tool.output_schema and self.output != "text"
                        else None
                    ),
                }
            )
            for tool in await super().list_tools()
        ]

    def _check_query(self, uri: str) -> None:
        """Raise InvalidArgumentError for a parameter that the resource does not have, or has twice."""
        path, _, query = uri.partition("?")
        given = [key for key, _ in parse_qsl(query, keep_blank_values=True)]
        for template in self._resource_manager.list_templates():
            if template.parsed_template.match(path) is None:
                continue
            accepted = template.parsed_template.query_variable_names
            for key in given:
                if key not in accepted or given.count(key) > 1:
                    what = "is given twice" if key in accepted else "does not exist"
                    raise InvalidArgumentError(
                        "read this resource",
                        f"its parameter {shown(key)} {what}",
                        f"It accepts: {', '.join(sorted(accepted)) or 'none'}",
                    )
            return


def _text_of(tool: str, error: BaseException) -> str:
    """The text for the caller of a failed tool. Tools raise errors of ours only; the SDK wraps them."""
    if isinstance(error, UnexpectedToolError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, SutroError):
        logger.info("%s: %s", tool, type(error).__name__)
        return str(error)
    if isinstance(error, ToolError) and not isinstance(error, UnexpectedToolError):
        return explain(tool, error)
    logger.error("%s failed", tool, exc_info=error)
    return f"{tool} {_OWN_FAULT}"


def in_channels(output: Output, result: Result) -> Result:
    """`result` with the one channel, or the first line of the text, that a host is to get."""
    if not isinstance(result, types.CallToolResult):
        return result
    if output == "text":
        return result.model_copy(update={"structured_content": None})
    if output == "structured" and result.structured_content is not None:
        (block,) = cast("list[types.TextContent]", result.content)
        line = block.model_copy(update={"text": block.text.partition("\n")[0]})
        return result.model_copy(update={"content": [line]})
    return result


def _failed(text: str) -> types.CallToolResult:
    """A tool error. It carries no structured content: hosts drop it, and schemas would refuse it."""
    return types.CallToolResult(is_error=True, content=[types.TextContent(type="text", text=text)])


def refusal(error: SutroError, uri: str, not_found: int = types.INVALID_PARAMS) -> MCPError:
    """`error` about a resource in the protocol's terms; `not_found` is the code for an unknown job."""
    code = types.INVALID_PARAMS if isinstance(error, CallError) else types.INTERNAL_ERROR
    return MCPError(
        not_found if isinstance(error, JobNotFoundError) else code, str(error), {"uri": visible(uri)}
    )
