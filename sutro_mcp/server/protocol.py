"""MCPServer with the refusals and error texts that hosts and models can act on.

Three public methods of the SDK are overridden: it drops unknown arguments silently, shows pydantic's raw text
for bad ones, and masks every exception that is not its own ToolError.
"""

import difflib
import logging
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, cast

from mcp import MCPError
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import (
    ResourceError,
    ResourceNotFoundError,
    ToolError,
    UnexpectedResourceError,
    UnexpectedToolError,
)
from mcp.types import INVALID_PARAMS, CallToolResult, InputRequiredResult
from mcp.types import Tool as WireTool
from pydantic import AnyUrl, ValidationError

from sutro_mcp.errors import CallError, JobNotFoundError, SutroError
from sutro_mcp.untrusted import shorten, visible

from .context import AppContext
from .define import fail
from .gate import Gate
from .outbound import is_failure, scrub_result

logger = logging.getLogger(__name__)

_SHOWN_VALUE = 60
_OUR_FAULT = "{} failed because of an error in sutro-mcp itself. Its log (stderr) says more."
# Titles cost tokens and say nothing; defaults are refused by strict hosts and stand in the description;
# lengths are caps against abuse that no honest call meets.
_DROPPED_KEYS = frozenset({"title", "default", "maxLength", "maxItems"})


class SutroServer(MCPServer[AppContext]):
    """The product's server object, whatever the transport."""

    @cached_property
    def _gate(self) -> Gate:
        return Gate()

    @cached_property
    def _waits(self) -> Gate:
        """Waits have turns of their own: they take minutes, in which they do next to nothing."""
        return Gate(running=256, queued=0)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[AppContext, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; every failure that the caller can act on comes back as text of ours."""
        schemas = {tool.name: tool.input_schema for tool in await super().list_tools()}
        if name not in schemas:
            raise MCPError(code=INVALID_PARAMS, message=f"Unknown tool: {_shown(name)}")
        accepted = cast("dict[str, Any]", schemas[name].get("properties", {}))
        if unknown := [key for key in arguments if key not in accepted]:
            return fail(_unknown_argument(name, unknown[0], list(accepted)))
        required = cast("list[str]", schemas[name].get("required", []))
        # Hosts send "" or null for an optional argument that was left blank.
        given = {key: value for key, value in arguments.items() if key in required or value not in ("", None)}
        gate = self._waits if name == "wait_for_job" else self._gate
        try:
            async with gate.turn(f"call {name}"):
                result = await super().call_tool(name, given, context)
            return scrub_result(result) if isinstance(result, CallToolResult) else result
        except SutroError as error:
            return fail(str(error))
        except UnexpectedToolError as error:
            if isinstance(error.__cause__, SutroError):
                logger.info("%s: %s", name, type(error.__cause__).__name__)
                return fail(str(error.__cause__))
            logger.exception("%s failed", name)
            return fail(_OUR_FAULT.format(name))
        except ToolError as error:
            # Tools raise errors of ours only, so what is left is the SDK's about the arguments.
            return fail(_explain(name, error))
        except MCPError:
            raise
        except BaseException as error:
            # A panic in a native library is none of Exception's, and would end the connection.
            if not is_failure(error):
                raise
            logger.exception("%s failed", name)
            return fail(_OUR_FAULT.format(name))

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[AppContext, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource; every failure that the caller can act on carries text of ours."""
        try:
            async with self._gate.turn("read this resource"):
                return await super().read_resource(uri, context)
        except SutroError as error:
            raise ResourceError(str(error)) from error
        except UnexpectedResourceError as error:
            cause = error.__cause__
            if isinstance(cause, JobNotFoundError):
                raise ResourceNotFoundError(str(cause)) from cause
            if isinstance(cause, CallError):
                raise MCPError(code=INVALID_PARAMS, message=str(cause), data={"uri": str(uri)}) from cause
            if isinstance(cause, SutroError):
                raise ResourceError(str(cause)) from cause
            raise

    async def list_tools(self) -> list[WireTool]:
        """The tools with schemas reduced to what every host accepts."""
        return [
            tool.model_copy(
                update={
                    "input_schema": _portable(tool.input_schema),
                    "output_schema": _portable(tool.output_schema) if tool.output_schema else None,
                }
            )
            for tool in await super().list_tools()
        ]


def _portable(schema: Mapping[str, Any], *, is_map_of_names: bool = False) -> dict[str, Any]:
    """`schema` without generated titles and defaults; the keys of `properties` and `$defs` are names."""
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DROPPED_KEYS and not is_map_of_names:
            continue
        if isinstance(value, Mapping):
            names = key in ("properties", "$defs") and not is_map_of_names
            kept[key] = _portable(cast("Mapping[str, Any]", value), is_map_of_names=names)
        elif isinstance(value, list):
            kept[key] = [
                _portable(cast("Mapping[str, Any]", item)) if isinstance(item, Mapping) else item
                for item in cast("list[Any]", value)
            ]
        else:
            kept[key] = value
    return kept


def _unknown_argument(tool: str, given: str, accepted: list[str]) -> str:
    near = difflib.get_close_matches(given, accepted, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"Cannot call {tool}: it has no argument {_shown(given)}.{hint} It accepts: {', '.join(accepted)}."


def _explain(tool: str, error: ToolError) -> str:
    """Field, rule and the value, shortened: what is needed to call again correctly."""
    problems: list[str] = []
    for problem in cast("ValidationError", error.__cause__).errors(include_url=False)[:5]:
        if problem["type"] == "none_required":
            continue  # the other half of an optional choice
        name = ".".join(str(part) for part in problem["loc"] if "[" not in str(part))
        if problem["type"] == "missing":
            problems.append(f"{name} is required")
        else:
            problems.append(f"{name}: {problem['msg']} (got {_shown(problem['input'])})")
    return f"Cannot call {tool}: {'; '.join(problems)}. Correct the call and repeat it."


def _shown(value: Any) -> str:
    return shorten(visible(repr(value)), _SHOWN_VALUE)[0]
