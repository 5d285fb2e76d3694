"""Reading one step ahead of whoever works on what was read: polars decodes while polars counts."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def one_ahead(items: Iterator[T]) -> Generator[Iterator[T]]:
    """The same items; while one is worked on, a thread makes the next, and no more than that.

    What `items` raises is raised in its place. When the block ends, nothing is being made any more.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:

        def made() -> Iterator[T]:
            coming = thread.submit(next, items, None)
            while (item := coming.result()) is not None:
                coming = thread.submit(next, items, None)
                yield item

        yield made()
