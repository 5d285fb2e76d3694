"""Leaves for later processes what this one answers to a host's first questions (`early_answers`).

It is asked on a connection of its own, through every layer that a host's requests pass.
"""

import json
import logging
import os
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import anyio
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCRequest, JSONRPCResponse
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from sutro_mcp.concurrency import background

from .early_answers import Answers, kind_of_client

logger = logging.getLogger(__name__)

_LISTS: Final = ("tools/list", "resources/templates/list", "prompts/list")
# All that an answer may depend on.
_CAPABILITIES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"extensions": {EXTENSION_ID: {"mimeTypes": [APP_MIME_TYPE]}}},
)
_CLIENT: Final = {"name": "sutro-mcp", "version": "0"}
# Of other settings, and of code that is no longer there.
_KEPT: Final = 100


async def record_answers(low: Any, state: Any, path: Path) -> None:
    """Keep what `low` answers at `path`, unless it is kept already or nothing can be kept."""
    if _is_missing(path):
        _keep(await _ask_all(low, state), path)


@asynccontextmanager
async def private_connection(
    low: Any, state: Any
) -> AsyncGenerator[Callable[[JSONRPCMessage], Awaitable[SessionMessage]]]:
    """A connection that nothing else uses; what the block gets sends a request and returns the reply."""
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](8)

    async def ask(request: JSONRPCMessage) -> SessionMessage:
        await to_server.send(SessionMessage(request))
        return await from_server.receive()

    async with to_server, from_client, to_client, from_server, background() as tasks:
        tasks.start_soon(partial(serve_dual_era_loop, low, from_client, to_client, lifespan_state=state))
        yield ask


async def _ask_all(low: Any, state: Any) -> Answers:
    answers: Answers = {"": await _ask(low, state, ("ping",))}
    for can, version in product(_CAPABILITIES, HANDSHAKE_PROTOCOL_VERSIONS):
        opening = {"protocolVersion": version, "capabilities": can, "clientInfo": _CLIENT}
        methods = ("initialize", *_LISTS, "ping")
        answers[kind_of_client(version, can)] = await _ask(low, state, methods, opening)
    for can, version in product(_CAPABILITIES, MODERN_PROTOCOL_VERSIONS):
        names = {"protocolVersion": version, "clientCapabilities": can, "clientInfo": _CLIENT}
        meta = {f"io.modelcontextprotocol/{name}": value for name, value in names.items()}
        methods = ("server/discover", *_LISTS)
        answers[kind_of_client(version, can)] = await _ask(low, state, methods, each={"_meta": meta})
    return answers


async def _ask(
    low: Any,
    state: Any,
    methods: tuple[str, ...],
    first: dict[str, Any] | None = None,
    each: dict[str, Any] | None = None,
) -> dict[str, str]:
    results: dict[str, str] = {}
    async with private_connection(low, state) as ask:
        for number, method in enumerate(methods):
            params = each if number else first or each
            reply = (
                await ask(JSONRPCRequest(jsonrpc="2.0", id=number, method=method, params=params))
            ).message
            if isinstance(reply, JSONRPCResponse):
                results[method] = written(reply).partition('"result":')[2][:-1]
    return results


def written(message: JSONRPCMessage) -> str:
    """A message as the SDK writes it."""
    return message.model_dump_json(by_alias=True, exclude_unset=True)


def _is_missing(path: Path) -> bool:
    """Whether it is not there, although it can be."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.access(path.parent, os.W_OK) and not path.exists()
    return False


def _keep(answers: Answers, path: Path) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_bytes(zlib.compress(json.dumps(answers).encode()))
        part.replace(path)
        found = sorted(path.parent.glob("*.answers"), key=lambda file: file.stat().st_mtime)
        for file in found[:-_KEPT]:
            file.unlink(missing_ok=True)
    except OSError as error:
        logger.info("the answers to a host's first questions are not kept: %s", error.strerror)
        with suppress(OSError):
            part.unlink()
