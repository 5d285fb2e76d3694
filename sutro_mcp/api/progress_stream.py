"""The progress stream: one JSON object per line, of which nothing is taken for granted.

The stream may start late, skip updates, or stop before its job does; only the stored status says how a job
stands. So a line that cannot be read is skipped, and a connection that breaks or falls silent is an end.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx

from sutro_mcp.errors import ConnectionFailedError, DeadlineExceededError, IncompleteReplyError, SutroError

from .bodies import chunks, parse_object
from .models import JobProgress

LINE_CAP = 64 * 1024
_ENDLESS = 2**63


async def events(response: httpx.Response, doing: str) -> AsyncGenerator[JobProgress]:
    """The updates of a progress stream, as long as it lasts."""
    async with aclosing(_lines(response, doing)) as lines:
        async for line in lines:
            try:
                event = JobProgress.read(parse_object(line, doing))
            except SutroError:
                continue
            if event:
                yield event


async def _lines(response: httpx.Response, doing: str) -> AsyncGenerator[bytes]:
    """Complete lines, and what follows the last one. A line above the cap is dropped without being held."""
    pending, too_long = b"", False
    async with aclosing(chunks(response, doing, _ENDLESS)) as parts:
        try:
            async for part in parts:
                *whole, rest = part.split(b"\n")
                for line in whole:
                    if not too_long and len(pending) + len(line) <= LINE_CAP:
                        yield pending + line
                    pending, too_long = b"", False
                pending += rest
                if len(pending) > LINE_CAP:
                    pending, too_long = b"", True
        except (ConnectionFailedError, DeadlineExceededError, IncompleteReplyError):
            return
    if pending and not too_long:
        yield pending
