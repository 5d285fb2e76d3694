"""Names the tests share: the type of the `connect` fixture and readers of answers."""

import io
from collections.abc import Awaitable
from typing import Any, Protocol

import httpx
import polars as pl

from sutro_mcp.emulator import Emulator


class Connect(Protocol):
    """Gives an HTTP client of an emulator."""

    def __call__(
        self, emulator: Emulator, *, key: str | None = None, base: str = "/v1", drops: bool = False
    ) -> Awaitable[httpx.AsyncClient]: ...


async def status_of(client: httpx.AsyncClient, job_id: str) -> str:
    """The word job-status answers, in the map form."""
    body: dict[str, Any] = (await client.get(f"/job-status/{job_id}")).json()
    return body["job_status"][job_id]


async def job_of(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job object of fetch-job."""
    return (await client.get(f"/jobs/{job_id}")).json()["job"]


async def urls_of(client: httpx.AsyncClient, job_id: str, **params: Any) -> dict[str, str]:
    """The signed addresses of a job's artifact."""
    return (await client.get(f"/jobs/{job_id}/results-url", params=params)).json()["urls"]


def frame(body: bytes) -> pl.DataFrame:
    """A Parquet body, read."""
    return pl.read_parquet(io.BytesIO(body))
