"""Supervises the process of one query: starts it, feeds it, and ends it whatever happens.

A query cannot share the worker: SQL is written by a model that may be misled, so it runs where nothing can be
opened (`query_main`), and such a process is good for one query only. One runs at a time: each may take four
threads and some gigabytes.
"""

import importlib.util
import json
import os
import signal
import struct
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from subprocess import DEVNULL, PIPE
from typing import Any, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import BaseModel

from sutro_mcp import errors

from ._models import ArtifactRef, Page, QueryRequest
from ._rights import unconfined

# The same secrets to keep and the same ways to break as those of the worker.
from ._worker import _BROKEN, _environment, _reason  # pyright: ignore[reportPrivateUsage]

_MAX_REPLY = 1024 * 1024
_LOADING = "Use get_job_results: the results may be too large for SQL, or damaged"
_RUNNING = "It may need too much memory or time: filter or aggregate, and join only ON equal columns"


class QueryRunner:
    """Runs queries one after another, each in a process of its own that is gone with the answer."""

    def __init__(self, *, load_seconds: float = 120.0, query_seconds: float = 8.0) -> None:
        """The longest that loading the artifact and running the SQL may take."""
        self._load_seconds = load_seconds
        self._query_seconds = query_seconds
        self._turn = anyio.Lock()

    async def run(self, artifact: ArtifactRef, request: QueryRequest) -> Page:
        """The page. Raises what the query raises, or WorkerError when its process fails."""
        check_platform()
        async with self._turn, _process(f"query the results of {artifact.job_id}") as process:
            await process.ask(artifact, self._load_seconds, _LOADING)
            return Page.model_validate(await process.ask(request, self._query_seconds, _RUNNING))


def check_platform() -> None:
    """Raises ConfigurationError where a process cannot give up its rights."""
    if importlib.util.find_spec("resource") is None:
        raise unconfined()


class _Confined:
    """One process, and the conversation with it."""

    def __init__(self, process: Process, doing: str) -> None:
        self._process = process
        self._doing = doing
        self._requests = cast("ByteSendStream", process.stdin)
        self._replies = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))

    async def ask(self, request: BaseModel, seconds: float, advice: str) -> Any:
        """The answer to `request` within `seconds`, or a WorkerError with `advice`."""
        try:
            with anyio.fail_after(seconds):
                reply = await self._exchange(request.model_dump_json().encode())
        except TimeoutError:
            happened = f"it took more than {seconds:g} seconds"
            raise errors.WorkerError(self._doing, happened, advice) from None
        except _BROKEN:
            # A process that dies can tell how.
            with anyio.move_on_after(1):
                await self._process.wait()
            happened = f"its process stopped ({_reason(self._process.returncode)})"
            raise errors.WorkerError(self._doing, happened, advice) from None
        if "answer" in reply:
            return reply["answer"]
        if "error" in reply:
            kind = cast("type[errors.SutroError]", getattr(errors, reply["error"]["type"]))
            raise kind(*reply["error"]["parts"])
        raise errors.WorkerError(self._doing, f"its process failed ({reply['crash']})", advice)

    async def _exchange(self, raw: bytes) -> dict[str, Any]:
        await self._requests.send(struct.pack(">I", len(raw)) + raw)
        (size,) = struct.unpack(">I", await self._replies.receive_exactly(4))
        if size > _MAX_REPLY:
            raise ValueError("oversized reply")
        return json.loads(await self._replies.receive_exactly(size))


@asynccontextmanager
async def _process(doing: str) -> AsyncGenerator[_Confined]:
    """A process that ends with the block, and whatever it may have started with it."""
    try:
        process = await anyio.open_process(
            [sys.executable, "-E", "-P", "-m", "sutro_mcp.results.query_main"],
            stdin=PIPE,
            stdout=PIPE,
            # A panic prints what it met, which may be a cell: not for a log.
            stderr=DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
    except OSError:
        raise errors.WorkerError(doing, "its process could not be started", _LOADING) from None
    try:
        yield _Confined(process, doing)
    finally:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.aclose()
