"""The worker process: reads artifacts where a crash of polars cannot take the server with it.

It speaks frames over its own stdin and stdout: four bytes of length, then JSON. A request is
`{"task", "request"}`, a reply `{"answer"}` or `{"error": {"type", "parts"}}` with an error of
`sutro_mcp.errors`; anything else that goes wrong is `{"crash": class name}` with the traceback on stderr.
The process ends when its stdin does or its parent is gone, so it never outlives the server, busy or not.
"""

import json
import os
import struct
import sys
import threading
import time
import traceback
from typing import BinaryIO

from sutro_mcp.errors import SutroError

_PARENT_POLL_SECONDS = 1.0


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer requests from `source` on `sink` until `source` ends."""
    while len(head := source.read(4)) == 4:
        raw = source.read(struct.unpack(">I", head)[0])
        reply = _answer(json.loads(raw))
        sink.write(struct.pack(">I", len(reply)) + reply)
        sink.flush()


def _answer(message: dict[str, str]) -> bytes:
    # Imported with the first request, so that the process can be started ahead of need.
    from ._tasks import TASKS

    try:
        return b'{"answer":' + TASKS[message["task"]](message["request"]).model_dump_json().encode() + b"}"
    except SutroError as error:
        parts = [error.doing, error.happened, error.next_step]
        return json.dumps({"error": {"type": type(error).__name__, "parts": parts}}).encode()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in polars derives from BaseException
        traceback.print_exc()
        return json.dumps({"crash": type(error).__name__}).encode()


def main() -> None:
    """Keep the pipe for frames: whatever a library prints goes to stderr."""
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, sink)


def _leave_with(parent: int) -> None:
    # A server that was killed cannot say so, and a busy worker does not read.
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
