"""The bodies themselves: malformed text, vectors, nulls, layouts, and keeping what was built."""

import io
import zipfile

import pytest
from httpx import AsyncClient

from sutro_mcp.emulator import Emulator, ParquetLayout

from .support import frame

pytestmark = pytest.mark.anyio


async def test_a_lone_surrogate_passes_as_json_and_is_replaced_elsewhere(
    emulator: Emulator, client: AsyncClient
) -> None:
    """Malformed text reaches a client escaped; Parquet and CSV cannot hold it."""
    job_id = emulator.add_job(outputs=["\ud83d", "fine", None])
    wrapped = await client.post("/job-results", json={"job_id": job_id})
    parquet = await client.get(f"/jobs/{job_id}/results?format=parquet")
    packed = await client.get(f"/jobs/{job_id}/results?format=csv")
    assert b'"\\ud83d"' in wrapped.content
    assert frame(parquet.content)["outputs"].to_list() == ["?", "fine", None]
    assert packed.status_code == 200


async def test_embeddings_are_lists_of_floats(emulator: Emulator, client: AsyncClient) -> None:
    """§7.1: arrays in JSON and Parquet, JSON text in CSV."""
    job_id = emulator.add_job(outputs=[[0.5, 1.0], [0.25, 2.0]])
    parquet = await client.get(f"/jobs/{job_id}/results?format=parquet")
    packed = await client.get(f"/jobs/{job_id}/results?format=csv")
    assert frame(parquet.content)["outputs"].to_list() == [[0.5, 1.0], [0.25, 2.0]]
    text = zipfile.ZipFile(io.BytesIO(packed.content)).read(f"{job_id}.csv").decode()
    assert text == f'{job_id}\n"[0.5, 1.0]"\n"[0.25, 2.0]"\n'


async def test_a_column_of_nulls_keeps_a_type(emulator: Emulator, client: AsyncClient) -> None:
    """Parquet has no column without one."""
    job_id = emulator.add_job(outputs=[None, None], confidence_score=[None, None])
    table = frame((await client.get(f"/jobs/{job_id}/results?format=parquet")).content)
    assert [str(dtype) for dtype in table.schema.dtypes()] == ["String", "Float64"]


async def test_the_layout_of_an_artifact_can_be_chosen(emulator: Emulator, client: AsyncClient) -> None:
    """For readers that depend on row groups, or must survive what is no Parquet at all."""
    rows = [str(number) for number in range(300)]
    coarse = emulator.add_job(outputs=rows)
    layout = ParquetLayout(compression="uncompressed", row_group_size=100, statistics=False)
    fine = emulator.add_job(outputs=rows, parquet=layout)
    broken = emulator.add_job(outputs=rows, parquet=b"PAR1 not really")
    bodies = [
        (await client.get(f"/jobs/{job_id}/results?format=parquet")).content
        for job_id in (coarse, fine, broken)
    ]
    assert frame(bodies[0])["outputs"].to_list() == frame(bodies[1])["outputs"].to_list() == rows
    assert len(bodies[1]) != len(bodies[0])
    assert bodies[2] == b"PAR1 not really"


async def test_bodies_are_kept_and_the_oldest_are_dropped(emulator: Emulator, client: AsyncClient) -> None:
    """A rebuilt body is byte for byte the same, so nobody notices."""
    ids = [emulator.add_job(num_rows=2) for _ in range(30)]
    first = [(await client.get(f"/jobs/{job_id}/results?format=parquet")).content for job_id in ids]
    again = [(await client.get(f"/jobs/{job_id}/results?format=parquet")).content for job_id in ids]
    assert first == again


async def test_rows_nobody_wrote_are_made_up(emulator: Emulator, client: AsyncClient) -> None:
    """A test that does not care about rows gets three, with log-probabilities on request."""
    job_id = emulator.add_job()
    results = (await client.get(f"/jobs/{job_id}/results?format=json&include_cumulative_logprobs=1")).json()
    assert [len(column) for column in results.values()] == [3, 3]
    assert all(-4 <= value < 0 for value in results["cumulative_logprobs"])
