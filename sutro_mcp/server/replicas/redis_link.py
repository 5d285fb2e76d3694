"""The connection of one replica to Redis: scripts, leases that are kept up, and news of the others.

There are hashes and job ids in it; no key, no name and no cell. While it is down every script fails at once,
and its callers do without.
"""

import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sutro_mcp.errors import ConfigurationError
from sutro_mcp.file_access import read_regular
from sutro_mcp.redaction import protect

logger = logging.getLogger(__name__)

# The last is what anyone with access to Redis can have the client raise, by values of the wrong form.
_FAILURES = (RedisError, OSError, ValueError)

PREFIX = "smcp:1:"
_CHANNEL = f"{PREFIX}ev"
_CONNECT_SECONDS = 0.5
_PAUSE_SECONDS = 5.0
_SAID_SECONDS = 60.0
_RENEW_SECONDS = 5.0


class RedisDownError(Exception):
    """Redis does not answer, or did not a moment ago."""


class RedisLink:
    """Serve it with `run`; it works, as if Redis were down, before that as well."""

    def __init__(self, url: str, *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        """After a failure it is not tried again for `pause_seconds`. Raises ValueError for a wrong `url`."""
        protect(self, url)
        self.replica = token_hex(8)
        """A name of this process, and of no other."""
        self.is_up = False
        self.on_news: Callable[[str], None] = lambda _: None
        """Called with what another replica has told."""
        self.renew: Callable[[], Awaitable[None]] | None = None
        """Called every 5 seconds."""
        self._pause_seconds = pause_seconds
        self._down_until = float("-inf")
        self._said = float("-inf")
        self._redis = cast("Any", Redis).from_url(
            url,
            protocol=2,
            decode_responses=True,
            encoding_errors="replace",
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_CONNECT_SECONDS,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 0),
        )

    @classmethod
    def from_file(cls, file: Path) -> "RedisLink":
        """A link to the URL in `file`. Raises ConfigurationError when there is none."""
        try:
            return cls(read_regular(file.expanduser().resolve(), 4096).decode().strip())
        except (OSError, ValueError) as error:
            why = (
                os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it holds no URL"
            )
            raise ConfigurationError(
                "share work with other replicas",
                f"the file named by SUTRO_MCP_REDIS_URL_FILE cannot be used ({why.lower()})",
                "Put one line into it, as in rediss://user:password@host:6379/0",
            ) from None

    async def run(self) -> None:
        """Hear the others and keep leases up, until it is cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hear)
                tasks.start_soon(self._keep_up)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._redis.aclose()

    async def look(self) -> tuple[str, float, str]:
        """Its version, the milliseconds that it takes, and its eviction policy. Raises RedisDownError."""
        try:
            server = await self._ask(lambda: self._redis.info("server"))
            began = time.perf_counter()
            memory = await self._ask(lambda: self._redis.info("memory"))
            took = (time.perf_counter() - began) * 1000
            return str(server["redis_version"]), took, str(memory["maxmemory_policy"])
        finally:
            await self._redis.aclose()

    async def script(self, text: str, keys: list[str], *arguments: str | int | float) -> Any:
        """The result of a Lua script. Raises RedisDownError."""
        named = [PREFIX + key for key in keys]
        return await self._ask(lambda: self._redis.eval(text, len(named), *named, *arguments))

    async def tell(self, news: str) -> None:
        """Tell all replicas something short. Raises RedisDownError."""
        await self._ask(lambda: self._redis.publish(_CHANNEL, f"{self.replica} {news}"))

    async def _ask(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        if time.monotonic() < self._down_until:
            raise RedisDownError
        try:
            answer = await ask()
        except _FAILURES as error:
            self._fail(error)
            raise RedisDownError from error
        self.is_up = True
        return answer

    def _fail(self, error: Exception) -> None:
        now = time.monotonic()
        self.is_up, self._down_until = False, now + self._pause_seconds
        if now - self._said >= _SAID_SECONDS:
            self._said = now
            logger.warning("Redis does not answer (%s); replicas do without it", type(error).__name__)

    async def _hear(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(_CHANNEL)
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=10)
                        if message is not None:
                            self._take(str(message["data"]))
            except _FAILURES as error:
                self._fail(error)
            await anyio.sleep(self._pause_seconds)

    def _take(self, message: str) -> None:
        replica, _, news = message.partition(" ")
        if replica != self.replica:
            self.on_news(news)

    async def _keep_up(self) -> None:
        while True:
            if self.renew is not None:
                await self.renew()
            await anyio.sleep(_RENEW_SECONDS)
