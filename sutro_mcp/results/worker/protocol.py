"""The conversation between the server and a child process that works for it, as both sides know it.

A frame is four bytes of length, then JSON. The server sends `{"task", "artifact", "request"}`; the task is
the name of the request's class. The child replies `{"answer"}`, `{"error": {"type", "parts"}}` with an error
of `sutro_mcp.errors`, `{"stopped"}` when it cannot have the bytes it needs, or `{"crash": class name}`.
Before that it may say `{"fetch": ranges}` (answered by true when these bytes of the artifact are on disk, or
by false), `{"prefetch": ranges}` (it will need them later) and `{"rows": [done, total]}`.
"""

import json
import struct
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol, cast

from pydantic import BaseModel

from sutro_mcp import errors
from sutro_mcp.results.request_models import LocalArtifact

HEAD = struct.Struct(">I")


class StoppedError(BaseException):
    """The bytes that a task needs cannot be had: the server knows why, or the file was replaced.

    Not an Exception, as nothing that handles errors of polars may handle it.
    """


class Channel(Protocol):
    """The messages of a task while it works."""

    def ask(self, message: dict[str, Any]) -> None:
        """Return when the server has done what is asked. Raises StoppedError when it could not."""
        ...

    def tell(self, message: dict[str, Any]) -> None:
        """Say something that needs no answer."""
        ...


class NullChannel:
    """For an artifact that is whole on disk, and nobody who listens."""

    def ask(self, message: dict[str, Any]) -> None:  # noqa: ARG002
        raise StoppedError

    def tell(self, message: dict[str, Any]) -> None: ...


class Pipe:
    """The child's end. One thread may ask while another one tells."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._sending = threading.Lock()

    def receive(self) -> Any:
        """The next message, or None at the end."""
        head = self._source.read(HEAD.size)
        return json.loads(self._source.read(*HEAD.unpack(head))) if len(head) == HEAD.size else None

    def send(self, raw: bytes) -> None:
        """Send one message."""
        with self._sending:
            self._sink.write(framed(raw))
            self._sink.flush()

    def ask(self, message: dict[str, Any]) -> None:
        self.tell(message)
        if self.receive() is not True:
            raise StoppedError

    def tell(self, message: dict[str, Any]) -> None:
        self.send(json.dumps(message).encode())


def framed(raw: bytes) -> bytes:
    """One message as it goes over a pipe."""
    return HEAD.pack(len(raw)) + raw


def request_for(artifact: LocalArtifact, request: BaseModel) -> bytes:
    """The message that asks for a task."""
    parts = (type(request).__name__, artifact.model_dump_json(), request.model_dump_json())
    return '{{"task":"{}","artifact":{},"request":{}}}'.format(*parts).encode()


def reply_of(work: Callable[[], BaseModel]) -> bytes:
    """The message that says what came of `work`. The traceback of a bug goes to stderr."""
    try:
        return b'{"answer":' + work().model_dump_json().encode() + b"}"
    except errors.SutroError as error:
        parts = [error.doing, error.happened, error.next_step]
        return json.dumps({"error": {"type": type(error).__name__, "parts": parts}}).encode()
    except (KeyboardInterrupt, SystemExit):
        raise
    except StoppedError:
        return b'{"stopped":true}'
    except BaseException as error:  # a panic in polars derives from BaseException
        # A process in its sandbox cannot open the source lines.
        with suppress(Exception):
            traceback.print_exc()
        return json.dumps({"crash": type(error).__name__}).encode()


def answer_in(reply: dict[str, Any], failed: errors.WorkerError) -> Any:
    """The answer in a reply. Raises the error that it holds, or `failed` when the process met a bug.

    A process that stopped because it no longer finds its file is an ArtifactChangedError.
    """
    if "answer" in reply:
        return reply["answer"]
    if "stopped" in reply:
        raise errors.ArtifactChangedError(failed.doing, "they were replaced on disk meanwhile", "Call again")
    if "error" in reply:
        kind = cast("type[errors.SutroError]", getattr(errors, reply["error"]["type"]))
        raise kind(*reply["error"]["parts"])
    raise errors.WorkerError(failed.doing, f"{failed.happened} ({reply.get('crash')})", failed.next_step)
