"""The deployment that a command for people works with: the configured one, or the demo."""

import argparse
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TypeVar

import anyio

from sutro_mcp.concurrency import ungrouped
from sutro_mcp.library.sutro_client import SutroClient
from sutro_mcp.redaction import guard_process
from sutro_mcp.results.cache import CAPACITY
from sutro_mcp.settings import Settings, load_settings

from .demo_commands import announced, emulator_process

T = TypeVar("T")


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that the server would have in this environment. Raises ConfigurationError."""
    settings = load_settings(os.environ, demo=options.demo or None)
    guard_command(settings.log_level)
    return settings


def guard_command(level: str) -> None:
    """Guard this process, and tell a person of a retry only where they ask for more than warnings."""
    guard_process(level)
    if level == "WARNING":
        logging.getLogger("stamina").setLevel(logging.ERROR)


def with_sutro(settings: Settings, work: Callable[[SutroClient], Awaitable[T]]) -> T:
    """The result of `work` with a client that shares the server's cache."""

    async def run() -> T:
        async with _opened(settings) as sutro:
            return await work(sutro)

    with ungrouped():
        return anyio.run(run)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[SutroClient]:
    with ExitStack() as stack:
        url, key = announced(stack.enter_context(emulator_process())) if settings.demo else (None, None)
        async with SutroClient(
            key,
            url,
            cache_folder=settings.cache_folder,
            cache_max_bytes=settings.cache_max_bytes or CAPACITY,
            sql=settings.sql,
        ) as sutro:
            yield sutro
