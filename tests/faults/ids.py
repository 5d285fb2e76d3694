"""Job ids that are none, and tools that must refuse them before anything is sent."""

import random
import re
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

from sutro_mcp.emulator import Emulator
from tests.support import talk

# Written down again here: the product's own would agree with itself.
_GOOD_ID = re.compile(r"(?!.*job-cancel)[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


async def run_ids(seed: int, count: int) -> list[str]:
    """Call every tool that takes a job with bad ids in turn; what was not refused, or sent a request."""
    tools: list[tuple[str, dict[str, Any]]] = [
        *(("get_job", {}), ("get_job_status", {}), ("wait_for_job", {}), ("cancel_job", {"confirm": True})),
        *(("get_job_results", {}), ("query_job_results", {"sql": "SELECT 1"})),
        ("export_job_results", {"file_name": "x.csv"}),
    ]
    wrong: list[str] = []
    async with talk(Emulator(seed_jobs=False)) as chat:
        for job_id, (tool, more) in zip(islice(bad_job_ids(seed), count), cycle(tools), strict=False):
            # As `job_id` comes off the wire, where half a surrogate pair does not pass.
            given = job_id.encode("utf-8", "replace").decode()
            result = await chat.result(tool, job_id=given, **more)
            if not result.is_error or chat.emulator.requests:
                wrong.append(f"{tool} {job_id!r}")
                chat.emulator.requests.clear()
    return wrong


def bad_job_ids(seed: int) -> Iterator[str]:
    """Ids that are none, for ever: escapes, other paths, other alphabets, other lengths."""
    dice = random.Random(seed)
    pieces = (
        *("..", "/", "\\", "%2e%2e", "%2f", "%00", "?", "#", "//host"),
        *("https://host/", "@", ":", ";", "&x=1"),
        *(" ", "\r\n", "\0", "\t", "\u202e", "ｊｏｂ", "йоб", "\ud83d", "💥", "*"),
        *("{job_id}", "$", "'", '"', "<"),
    )  # fmt: skip
    words = (
        *("job-", "job-1", "job-cancel", "../job-cancel/", "a", "0", "-", "_", "SUCCEEDED"),
        *("x" * 130, "x" * 9_000),
    )
    while True:
        parts = [dice.choice(words if dice.random() < 0.5 else pieces) for _ in range(dice.randint(0, 5))]
        if dice.random() < 0.3:
            parts.insert(dice.randrange(len(parts) + 1), chr(dice.randrange(1, 0xD800)))
        job_id = "".join(parts)
        if not _GOOD_ID.fullmatch(job_id):
            yield job_id
