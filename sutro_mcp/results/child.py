"""The worker process: reads artifacts where a crash of polars cannot take the server with it.

It speaks frames over its own stdin and stdout: four bytes of length, then JSON. A request is
`{"task", "request"}`, a reply `{"answer"}` or `{"error": {"type", "parts"}}` with an error of
`sutro_mcp.errors`; anything else that goes wrong is `{"crash": class name}` with the traceback on stderr.
Before its reply it may say `{"want": spans}` (answered by true or false: it then replies `{"stopped"}`),
`{"ahead": spans}` and `{"rows": [done, total]}`. The process ends when its stdin does or its
parent is gone, so it never outlives the server, busy or not.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from sutro_mcp.errors import SutroError
from sutro_mcp.results.worker.protocol import Channel, Pipe, StoppedError
from sutro_mcp.results.worker.sandbox import cap_memory, end_with_parent

Task = Callable[[Any, Channel], BaseModel]


def serve(pipe: Pipe) -> None:
    """Answer requests until they end."""
    # Here, so that a process that is started ahead of need loads them ahead, too.
    from .tasks import TASKS

    while (message := pipe.receive()) is not None:
        pipe.send(_answer(TASKS, message, pipe))


def _answer(tasks: Mapping[str, Task], message: dict[str, Any], pipe: Pipe) -> bytes:
    try:
        answer = tasks[message["task"]](message["request"], pipe)
        return b'{"answer":' + answer.model_dump_json().encode() + b"}"
    except SutroError as error:
        parts = [error.doing, error.happened, error.next_step]
        return json.dumps({"error": {"type": type(error).__name__, "parts": parts}}).encode()
    except (KeyboardInterrupt, SystemExit):
        raise
    except StoppedError:
        return b'{"stopped":true}'
    except BaseException as error:  # a panic in polars derives from BaseException
        traceback.print_exc()
        return json.dumps({"crash": type(error).__name__}).encode()


def main() -> None:
    """Keep the pipe for frames: whatever a library prints goes to stderr."""
    cap_memory()
    end_with_parent()
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)
        serve(Pipe(sys.stdin.buffer, sink))


if __name__ == "__main__":
    main()
