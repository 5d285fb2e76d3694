"""An event loop whose time passes at once: what would wait for minutes is tested without waiting.

For tests that use no sockets and no threads: as soon as nothing is left to do but wait, it is later.
"""

import asyncio
import selectors

import anyio
import pytest


class _Impatient(selectors.SelectSelector):
    """Never waits, and adds up how long it should have waited."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.waited += timeout
        return ready


class QuickLoop(asyncio.SelectorEventLoop):
    """`time()` starts at zero and is moved by waiting alone."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.waited


QUICK = pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": QuickLoop})], ids=["quick"])
"""For the tests of a module."""


async def pass_time(seconds: float) -> None:
    """Let `seconds` pass by the loop's clock, with all that waits for an earlier time."""
    await anyio.sleep(seconds)
