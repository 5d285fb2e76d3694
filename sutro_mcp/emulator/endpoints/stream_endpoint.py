"""GET /stream-job-progress: one JSON object per line while a job runs (`sutro-api.md` §6.8).

The stream reports; it never decides how a job ends. Every line group is one look at the job, so with
`Pace.polls` a stream moves its job like any other reader.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from sutro_mcp.emulator.account import Account
from sutro_mcp.emulator.stored_job import TERMINAL, Job
from sutro_mcp.emulator.wire_format import json_bytes

from .guarded_route import route


def stream_routes(account: Account) -> list[BaseRoute]:

    async def stream(request: Request) -> Response:
        job = account.get(request.path_params["job_id"])
        return StreamingResponse(_lines(account, job), media_type="application/x-ndjson")

    return [route(account, "/stream-job-progress/{job_id}", stream, "GET")]


async def _lines(account: Account, job: Job) -> AsyncIterator[bytes]:
    yield _line("heartbeat")
    while not account.closing:
        before = _place(job)
        account.look(job, read=True)
        if job.started is not None:
            yield _line("progress", job.rows_done)
            yield _line("tokens", _tokens(account, job))
        # A job that does not move (it stands still, or its clock does) would keep the stream open for ever.
        if job.status in TERMINAL or _place(job) == before:
            return
        yield _line("heartbeat")
        await asyncio.sleep(account.pace.tick)


def _place(job: Job) -> tuple[object, ...]:
    return job.status, job.journey, job.cancel_reads, job.first_seen


def _tokens(account: Account, job: Job) -> dict[str, Any]:
    input_tokens, output_tokens = job.tokens
    started = job.started or job.created
    seconds = max(1.0, ((job.completed or account.now()) - started).total_seconds())
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens_processed_per_second": round((input_tokens + output_tokens) / seconds, 1),
    }


def _line(kind: str, result: Any = None) -> bytes:
    body = {"update_type": kind} if result is None else {"update_type": kind, "result": result}
    return json_bytes(body) + b"\n"
