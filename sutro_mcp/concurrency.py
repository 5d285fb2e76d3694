"""Task groups that raise what was raised, and a cache of what was used last."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

K = TypeVar("K")
V = TypeVar("V")


@asynccontextmanager
async def task_group() -> "AsyncGenerator[TaskGroup]":
    """A task group whose first error comes out as itself: anyio wraps even a single one into a group."""
    failure: Exception | None = None
    try:
        async with anyio.create_task_group() as group:
            try:
                yield group
            except Exception as error:
                failure = error
                group.cancel_scope.cancel()
    except ExceptionGroup as errors:
        failure = failure or errors.exceptions[0]
    if failure is not None:
        raise failure


@asynccontextmanager
async def background() -> "AsyncGenerator[TaskGroup]":
    """A task group for what runs beside the block, and is cancelled when the block ends."""
    async with task_group() as group:
        yield group
        group.cancel_scope.cancel()


@contextmanager
def ungrouped() -> Generator[None]:
    """Raise the first error of a task group as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        raise error from error.__cause__  # pyright: ignore[reportUnknownMemberType]


class LRU(OrderedDict[K, V]):
    """A dictionary that drops its least recently used entries: all but `capacity`, by number or `weight`.

    The newest stays, whatever it weighs. Looking an entry up by its key is using it.
    """

    def __init__(self, capacity: int, weight: Callable[[V], int] = lambda _: 1) -> None:
        super().__init__()
        self._capacity = capacity
        self._weight = weight

    def __getitem__(self, key: K) -> V:
        value = super().__getitem__(key)
        self.move_to_end(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > 1 and sum(map(self._weight, self.values())) > self._capacity:
            self.popitem(last=False)
