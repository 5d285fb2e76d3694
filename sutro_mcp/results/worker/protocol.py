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
from functools import cache
from typing import Any, BinaryIO, Generic, Protocol, TypeVar, cast

from pydantic import BaseModel

from sutro_mcp import errors
from sutro_mcp.results.byte_ranges import ByteRange
from sutro_mcp.results.request_models import LocalArtifact

Answer = TypeVar("Answer", bound=BaseModel)

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


class Failure(BaseModel):
    """An error of `sutro_mcp.errors`."""

    type: str
    parts: list[str]


class Reply(BaseModel, Generic[Answer]):
    """One message of the child, with its answer as the model that the task promises."""

    answer: Answer | None = None
    error: Failure | None = None
    stopped: bool = False
    crash: str | None = None
    fetch: list[ByteRange] | None = None
    prefetch: list[ByteRange] | None = None
    rows: tuple[int, int] | None = None

    def outcome(self, failed: errors.WorkerError) -> Answer:
        """The answer. Raises the error in its place, or `failed` when the process met a bug.

        A process that stopped because it no longer finds its file is an ArtifactChangedError.
        """
        if self.answer is not None:
            return self.answer
        if self.stopped:
            raise errors.ArtifactChangedError(
                failed.doing, "they were replaced on disk meanwhile", "Call again"
            )
        if self.error is not None:
            kind = cast("type[errors.SutroError]", getattr(errors, self.error.type))
            raise kind(*self.error.parts)
        raise errors.WorkerError(failed.doing, f"{failed.happened} ({self.crash})", failed.next_step)


@cache
def reply_with(answer: type[Answer]) -> type[Reply[Answer]]:
    """The replies to a task that promises `answer`; made once, as that takes longer than to read one."""
    return Reply[answer]
