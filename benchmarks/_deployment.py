"""A process that is a Sutro deployment with large results, behind a link of set latency and bandwidth.

Prints one line of JSON when it serves: `{"api", "key", "jobs": {name: job_id}}`. On each line of its input it
prints what has been asked of it since the last: `{"api", "store", "head", "credentials", "bytes"}`.
"""

import asyncio
import json
import socket
import sys
from pathlib import Path

import polars as pl
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sutro_mcp.emulator import Emulator, Pace

_SLICE = 0.02  # seconds between two packets
_MOST_JSON_ROWS = 1_000_000


class Link:
    """The deployment as seen from far away: each request waits, and all bodies share the bandwidth."""

    def __init__(self, app: ASGIApp, latency: float, bytes_per_second: float) -> None:
        self._app = app
        self._latency = latency
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._latency:
            await asyncio.sleep(self._latency)

        async def slowly(message: Message) -> None:
            body = message.get("body", b"")
            if not body or not self._rate:
                await send(message)
                return
            step = int(self._rate * _SLICE)
            for start in range(0, len(body), step):
                part = body[start : start + step]
                now = asyncio.get_running_loop().time()
                self._free_at = max(self._free_at, now) + len(part) / self._rate
                await asyncio.sleep(self._free_at - now)
                more = start + step < len(body) or message.get("more_body", False)
                await send({"type": "http.response.body", "body": part, "more_body": more})

        await self._app(scope, receive, slowly)


async def main(latency_ms: float, megabytes_per_second: float, artifacts: dict[str, str]) -> None:
    with _listening() as api, _listening() as store:
        emulator = Emulator(api_origin=_origin(api), store_origin=_origin(store), pace=Pace())
        jobs = {name: _add(emulator, name, Path(path)) for name, path in artifacts.items()}
        app = Link(emulator.app, latency_ms / 1000, megabytes_per_second * 1e6)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))
        running = asyncio.create_task(server.serve([api, store]))
        _say({"api": _origin(api), "key": emulator.api_key, "jobs": jobs})
        while await asyncio.to_thread(sys.stdin.readline):
            seen, emulator.requests[:] = list(emulator.requests), []
            _say(
                {
                    "api": sum(each.origin == "api" for each in seen),
                    "store": sum(each.origin == "store" for each in seen),
                    "head": sum(each.method == "HEAD" for each in seen),
                    "credentials": sum(
                        each.origin == "store" and "authorization" in each.headers for each in seen
                    ),
                    "bytes": sum(each.body_bytes for each in seen),
                }
            )
        server.should_exit = True
        await running


def _add(emulator: Emulator, name: str, path: Path) -> str:
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()

    # The SDK is served JSON; of more rows than this it would be several gigabytes.
    outputs = (
        pl.read_parquet(path).get_column("outputs").to_list()
        if name.startswith("text") and rows <= _MOST_JSON_ROWS
        else []
    )
    return emulator.add_job(
        name=name, status="SUCCEEDED", num_rows=rows, outputs=outputs, parquet=path.read_bytes()
    )


def _listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener


def _origin(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _say(message: object) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])))
