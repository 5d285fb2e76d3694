"""`SutroClient` for programs without `async`: the same methods, which block until they have an answer.

The client lives in an event loop of a thread of its own, so this also works where a loop runs already, as in
a notebook.
"""

import atexit
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from sutro_mcp.errors import ConfigurationError

from .sutro_client import SutroClient

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[SutroClient, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[BlockingSutroClient, P], T]":
    @wraps(method)
    def run(self: "BlockingSutroClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        portal, client = self.opened
        return portal.call(partial(method, client, *args, **kwargs))

    return run


def _iterated(
    method: Callable[Concatenate[SutroClient, P], AsyncGenerator[T]],
) -> "Callable[Concatenate[BlockingSutroClient, P], Iterator[T]]":
    @wraps(method)
    def run(self: "BlockingSutroClient", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        portal, client = self.opened
        items = method(client, *args, **kwargs)

        async def following() -> list[T]:
            async for item in items:
                return [item]
            return []

        try:
            while found := portal.call(following):
                yield from found
        finally:
            portal.call(items.aclose)

    return run


class BlockingSutroClient:
    """A `SutroClient` whose methods block. Made by `SutroClient.sync`; use it in a `with` block.

    Methods, arguments and errors are those of `SutroClient`. `on_progress` is called in another thread.
    """

    def __init__(self, make: Callable[[], SutroClient]) -> None:
        self._make = make
        self._stack = ExitStack()
        self._opened: tuple[BlockingPortal, SutroClient] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            made = portal.call(self._make)
            self._opened = portal, stack.enter_context(portal.wrap_async_context_manager(made))
            self._stack = stack.pop_all()
        # A program may end without leaving. Later than this, its end would wait for a loop that has stopped.
        atexit.register(self._stack.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = None
        atexit.unregister(self._stack.close)
        self._stack.__exit__(kind, error, trace)

    @property
    def opened(self) -> tuple[BlockingPortal, SutroClient]:
        """The loop and the client. Raises ConfigurationError outside the `with` block."""
        if self._opened is None:
            raise ConfigurationError(
                "use Sutro", "the client is not open", "Use it inside `with SutroClient.sync() as sutro:`"
            )
        return self._opened

    list_jobs = _blocking(SutroClient.list_jobs)
    list_jobs_page = _blocking(SutroClient.list_jobs_page)
    iter_jobs = _iterated(SutroClient.iter_jobs)
    find_jobs = _blocking(SutroClient.find_jobs)
    summarize_jobs = _blocking(SutroClient.summarize_jobs)
    get_job = _blocking(SutroClient.get_job)
    get_job_status = _blocking(SutroClient.get_job_status)
    cancel_job = _blocking(SutroClient.cancel_job)
    wait = _blocking(SutroClient.wait)
    stream_job_progress = _iterated(SutroClient.stream_job_progress)
    summarize = _blocking(SutroClient.summarize)
    page = _blocking(SutroClient.page)
    query = _blocking(SutroClient.query)
    compare = _blocking(SutroClient.compare)
    export = _blocking(SutroClient.export)
    get_job_results = _blocking(SutroClient.get_job_results)
    download_job_results = _blocking(SutroClient.download_job_results)
    check_auth = _blocking(SutroClient.check_auth)
    get_quotas = _blocking(SutroClient.get_quotas)
