"""The process of one query: loads the artifact, gives up every right, then hears the SQL and answers it.

It speaks the worker's frames (`__main__`): an artifact comes in, `{"answer": null}` says that it is loaded
and the rights are gone; then the request comes in and its page goes out. The SQL is not even in this process
while it could still open something.
"""

import json
import os
import struct
import sys
from typing import BinaryIO

from sutro_mcp.errors import SutroError
from sutro_mcp.results.worker.protocol import StoppedError
from sutro_mcp.results.worker.sandbox import apply_limits, cap_memory, end_with_parent

from .request_models import LocalArtifact, QueryRequest


def main() -> None:
    """Keep the pipe for frames: whatever a library prints goes to stderr."""
    cap_memory()
    end_with_parent()
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)
        answer_one(sys.stdin.buffer, sink)


def answer_one(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer the one query that comes in on `source`."""
    try:
        # Imported here, so that a library which cannot be loaded is an answer too.
        from sutro_mcp.results.sql.polars_engine import run_query, warm_up
        from sutro_mcp.results.sql.table import load_table

        table = load_table(LocalArtifact.model_validate_json(_receive(source)))
        warm_up()
        apply_limits()
        _send(sink, b'{"answer":null}')
        page = run_query(table, QueryRequest.model_validate_json(_receive(source)))
        _send(sink, b'{"answer":' + page.model_dump_json().encode() + b"}")
    except SutroError as error:
        parts = [error.doing, error.happened, error.next_step]
        _send(sink, json.dumps({"error": {"type": type(error).__name__, "parts": parts}}).encode())
    except (KeyboardInterrupt, SystemExit):
        raise
    except StoppedError:
        _send(sink, b'{"stopped":true}')
    except BaseException as error:  # a panic in polars derives from BaseException
        _send(sink, json.dumps({"crash": type(error).__name__}).encode())


def _receive(source: BinaryIO) -> bytes:
    (size,) = struct.unpack(">I", source.read(4))
    return source.read(size)


def _send(sink: BinaryIO, reply: bytes) -> None:
    sink.write(struct.pack(">I", len(reply)) + reply)
    sink.flush()


if __name__ == "__main__":
    main()
