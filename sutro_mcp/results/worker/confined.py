"""Supervises the process of one query: starts it, feeds it, and ends it whatever happens.

A query cannot share the worker: SQL is written by a model that may be misled, so it runs where nothing can be
opened (`query_main`), and such a process is good for one query only. One runs at a time: each may take four
threads and some gigabytes.
"""

import importlib.util
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from pydantic import BaseModel

from sutro_mcp import errors
from sutro_mcp.results.request_models import LocalArtifact, Page, QueryRequest

from .process import BROKEN, Child, answer_of
from .sandbox import unconfined

_LOADING = "Use get_job_results: the results may be too large for SQL, or damaged"
_RUNNING = "It may need too much memory or time: filter or aggregate, and join only ON equal columns"


class QueryRunner:
    """Runs queries one after another, each in a process of its own that is gone with the answer."""

    def __init__(self, *, load_seconds: float = 120.0, query_seconds: float = 8.0) -> None:
        """The longest that loading the artifact and running the SQL may take."""
        self._load_seconds = load_seconds
        self._query_seconds = query_seconds
        self._turn = anyio.Lock()

    async def run(self, artifact: LocalArtifact, request: QueryRequest) -> Page:
        """The page. Raises what the query raises, WorkerError when its process fails, or ArtifactChangedError
        when the artifact is not there any more.
        """
        check_platform()
        doing = f"query the results of {artifact.job_id}"
        async with self._turn, _process(doing) as child:
            await _ask(child, artifact, self._load_seconds, doing, _LOADING)
            page = await _ask(child, request, self._query_seconds, doing, _RUNNING)
        return Page.model_validate(page)


def check_platform() -> None:
    """Raises ConfigurationError where a process cannot give up its rights."""
    if importlib.util.find_spec("resource") is None:
        raise unconfined()


async def _ask(child: Child, request: BaseModel, seconds: float, doing: str, advice: str) -> Any:
    """The answer to `request` within `seconds`, or a WorkerError with `advice`."""
    try:
        with anyio.fail_after(seconds):
            await child.send(request.model_dump_json().encode())
            reply = await child.receive()
    except TimeoutError:
        raise errors.WorkerError(doing, f"it took more than {seconds:g} seconds", advice) from None
    except BROKEN:
        end = await child.end(patience=1, whole_group=True)
        raise errors.WorkerError(doing, f"its process stopped ({end})", advice) from None
    return answer_of(reply, errors.WorkerError(doing, "its process failed", advice))


@asynccontextmanager
async def _process(doing: str) -> AsyncGenerator[Child]:
    """A process that ends with the block, and whatever it may have started with it."""
    try:
        # A panic prints what it met, which may be a cell: not for a log.
        child = await Child.start("sutro_mcp.results.query_main", is_alone=True)
    except OSError:
        raise errors.WorkerError(doing, "its process could not be started", _LOADING) from None
    try:
        yield child
    finally:
        await child.end(whole_group=True)
