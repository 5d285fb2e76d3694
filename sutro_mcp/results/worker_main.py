"""Child processes, in which a crash of polars or hostile SQL cannot touch the server.

`reader` makes pages, summaries and exports until its stdin ends. `query` opens what it may read, gives up
every right, and only then hears the SQL: it is not even in the process while that could still open something.
Both end soon after their parent, so they never outlive the server, busy or not.
"""

import gc
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel

from sutro_mcp.errors import WorkerError
from sutro_mcp.results.worker.protocol import Channel, Pipe, reply_of
from sutro_mcp.results.worker.sandbox import apply_limits, cap_memory, end_with_parent

from .request_models import Loaded, LoadRequest, LocalArtifact, Request

Tasks = Mapping[type[Request], Callable[[LocalArtifact, Any, Channel], BaseModel]]


def reader_tasks() -> Tasks:
    """The tasks of the reused process. Loads polars."""
    from .export.export import make_export
    from .request_models import (
        ExportRequest,
        NarrowRequest,
        PageRequest,
        PrepareRequest,
        SqlTable,
        SummaryRequest,
    )
    from .rows.page import make_page
    from .summary.summariser import make_summary

    def prepare(artifact: LocalArtifact, _request: PrepareRequest, _channel: Channel) -> SqlTable:
        # Most readers are never asked for this, and can do without DuckDB.
        from .sql.profile_file import prepare

        return prepare(artifact)

    def narrow(artifact: LocalArtifact, _request: NarrowRequest, _channel: Channel) -> SqlTable:
        from .sql.narrow_table import make_narrow
        from .sql.profile_file import prepare

        return make_narrow(prepare(artifact))

    return {
        PageRequest: make_page,
        SummaryRequest: make_summary,
        ExportRequest: make_export,
        PrepareRequest: prepare,
        NarrowRequest: narrow,
    }


def query_tasks() -> Tasks:
    """The tasks of the process of one query. Loads DuckDB."""
    from .comparison.comparison import compare
    from .request_models import CompareRequest, Comparison, QueryRequest, QueryRows, WriteRequest, YieldedRows
    from .sql.duckdb_engine import LoadedTables, load, run
    from .sql.select_to_parquet import MOST_BYTES, new_output, write_parquet

    loaded: list[LoadedTables] = []

    def load_tables(_artifact: LocalArtifact, request: LoadRequest, _channel: Channel) -> Loaded:
        output = None if request.output is None else new_output(request.output)
        tables = load(request.tables, output)
        if not request.lock_alone:
            apply_limits(request.cpu_seconds, 0 if output is None else MOST_BYTES)
        loaded.append(tables)
        return Loaded()

    def ready(artifact: LocalArtifact, request: Request) -> LoadedTables:
        if not loaded:
            # Started for one that died before it heard the SQL, which is not at fault.
            raise WorkerError(request.doing(artifact.spec), "its process ended early", "Call again")
        return loaded[0]

    def query(artifact: LocalArtifact, request: QueryRequest, _channel: Channel) -> QueryRows:
        return run(ready(artifact, request), request)

    def make_comparison(artifact: LocalArtifact, request: CompareRequest, channel: Channel) -> Comparison:
        return compare(ready(artifact, request), request, channel)

    def write(artifact: LocalArtifact, request: WriteRequest, _channel: Channel) -> YieldedRows:
        return write_parquet(ready(artifact, request), request)

    return {
        LoadRequest: load_tables,
        QueryRequest: query,
        WriteRequest: write,
        CompareRequest: make_comparison,
    }


KINDS: dict[str, Callable[[], Tasks]] = {"reader": reader_tasks, "query": query_tasks}


def serve(pipe: Pipe, tasks: Tasks) -> None:
    """Answer requests until they end."""
    while (message := pipe.receive()) is not None:
        pipe.send(reply_of(partial(_work, tasks, message, pipe)))


def _work(tasks: Tasks, message: dict[str, Any], pipe: Pipe) -> BaseModel:
    request, task = {each.__name__: (each, task) for each, task in tasks.items()}[message["task"]]
    artifact = LocalArtifact.model_validate(message["artifact"])
    return task(artifact, request.model_validate(message["request"]), pipe)


def main(kind: str, share: str = "") -> None:
    """Keep stdout for the conversation: what a library prints goes to stderr."""
    cap_memory(int(share) if share else None)
    end_with_parent()
    if kind == "query":
        # One question leaves no garbage worth looking for.
        gc.disable()
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)
        # Loaded before the first request, so that a process which is started ahead of need is ready.
        serve(Pipe(sys.stdin.buffer, sink), KINDS[kind]())


if __name__ == "__main__":
    main(*sys.argv[1:])
