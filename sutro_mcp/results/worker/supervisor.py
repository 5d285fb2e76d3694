"""Supervises a worker process: starts it when needed, kills it on cancellation, silence or nonsense.

polars answers hostile files and memory exhaustion with SIGABRT, SIGSEGV or a panic, and importing it costs
every start-up half a second of CPU; so it lives in a process of its own. A dead worker is an error for the
call that met it and nothing to the next one.

While it works, a worker says which bytes of the artifact it needs next, and how far it has come.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import anyio
from pydantic import BaseModel

from sutro_mcp import errors
from sutro_mcp.results.cache.byte_ranges import ByteRange

from .process import BROKEN, Child, answer_of

Answer = TypeVar("Answer", bound=BaseModel)
OnRows = Callable[[int, int], None]

_ADVICE = "Nothing was lost: try a smaller page or fewer columns; if it stays, the results may be damaged"


class ByteSource(Protocol):
    """Where the bytes of an artifact come from."""

    async def want(self, spans: Sequence[ByteRange]) -> None: ...
    async def ahead(self, spans: Sequence[ByteRange]) -> None: ...


class Worker:
    """Runs tasks one after another in a child process. Close it with `aclose`."""

    def __init__(self, patience: float = 120.0) -> None:
        """`patience`: how long a task may be silent, in seconds, not counting waits for its bytes."""
        self._patience = patience
        self._turn = anyio.Lock()
        self._child: Child | None = None

    async def run(
        self,
        task: str,
        request: BaseModel,
        answer: type[Answer],
        doing: str,
        supply: ByteSource | None = None,
        on_rows: OnRows | None = None,
        early: Sequence[ByteRange] = (),
    ) -> Answer:
        """The answer to `request`. Raises what the task or `supply` raises, or WorkerError.

        An artifact that is whole on disk needs no `supply`. `early` are bytes that the task will want,
        fetched side by side before it says so.
        """
        raw = b'{"task":"%s","request":%s}' % (task.encode(), request.model_dump_json().encode())
        async with self._turn:
            try:
                reply = await self._converse(raw, supply, on_rows, early)
            except TimeoutError:
                await self._stop()
                raise _failed(doing, f"it took more than {self._patience:g} seconds") from None
            except BROKEN:
                end = await self._stop(patience=1)
                raise _failed(doing, f"the process that reads results stopped ({end})") from None
            except BaseException:
                # Half way through: the pipe holds half a conversation.
                await self._stop()
                raise
        if isinstance(reply, errors.SutroError):
            raise reply
        return answer.model_validate(
            answer_of(reply, _failed(doing, "the process that reads results failed"))
        )

    async def start(self) -> None:
        """Start the process ahead of need."""
        async with self._turn:
            if self._child is None:
                self._child = await Child.start("sutro_mcp.results.child")

    async def aclose(self) -> None:
        """Stop the process, if any."""
        await self._stop()

    async def _converse(
        self, raw: bytes, supply: ByteSource | None, on_rows: OnRows | None, early: Sequence[ByteRange]
    ) -> dict[str, Any] | errors.SutroError:
        """The last word of the worker, or why it could not be given what it needed."""
        child = await self._running()
        outcome: dict[str, Any] | errors.SutroError | Exception | None = None

        async def ahead(supply: ByteSource, spans: list[ByteRange]) -> None:
            # The worker meets what goes wrong when it wants the bytes.
            with suppress(errors.SutroError):
                await supply.ahead(spans)

        async with anyio.create_task_group() as group:
            if supply is not None:
                for span in early:
                    group.start_soon(ahead, supply, [span])
            # Kept and raised outside: what leaves a task group comes as a group.
            try:
                with anyio.fail_after(self._patience):
                    await child.send(raw)
                failure: errors.SutroError | None = None
                while outcome is None:
                    with anyio.fail_after(self._patience):
                        message = await child.receive()
                    if "want" in message and supply is not None:
                        try:
                            await supply.want(_spans(message["want"]))
                        except errors.SutroError as error:
                            failure = error
                        await child.send(b"true" if failure is None else b"false")
                    elif "ahead" in message and supply is not None:
                        group.start_soon(ahead, supply, _spans(message["ahead"]))
                    elif "rows" in message:
                        if on_rows:
                            on_rows(*message["rows"])
                    else:
                        outcome = failure or message
            except Exception as error:
                outcome = error
            group.cancel_scope.cancel()
        if isinstance(outcome, Exception) and not isinstance(outcome, errors.SutroError):
            raise outcome
        assert outcome is not None  # noqa: S101 - for the type checker
        return outcome

    async def _running(self) -> Child:
        if self._child is not None and not self._child.is_running:
            await self._stop()
        if self._child is None:
            self._child = await Child.start("sutro_mcp.results.child")
        return self._child

    async def _stop(self, patience: float = 0) -> str:
        child, self._child = self._child, None
        return await child.end(patience) if child is not None else "it could not be started"


def _spans(raw: list[list[int]]) -> list[ByteRange]:
    return [(start, stop) for start, stop in raw]


def _failed(doing: str, happened: str) -> errors.WorkerError:
    return errors.WorkerError(doing, happened, _ADVICE)
