"""Whatever goes wrong, in whatever order: an answer is right, or it is an explicit error."""

import json
import random
from contextlib import aclosing
from pathlib import Path

import anyio
import polars as pl
import pytest

from sutro_mcp.api import ApiClient, RemoteArtifact
from sutro_mcp.api.artifact.results_download import DownloadedFile
from sutro_mcp.emulator import ApiVariant, Emulator, Fault, Pace
from sutro_mcp.errors import SutroError
from sutro_mcp.results_spec import ResultsSpec

from .wire import emulated, names_in

pytestmark = pytest.mark.anyio

FAULTS = [
    *(Fault.json(status, "no") for status in (400, 401, 403, 404, 405, 408, 409, 410, 422, 500, 501, 503)),
    *(Fault.html(status) for status in (200, 403, 404, 502, 524)),
    Fault.rate_limited(1),
    Fault.rate_limited("junk"),
    Fault.gone(),
    Fault.not_ready(),
    Fault.expired(),
    Fault.dropped(after=20),
    Fault.truncated(after=0),
    Fault.truncated(after=20),
    Fault.truncated(after=600),
    Fault.raw(b""),
    Fault.raw(b"null"),
    Fault.raw(b'{"job_status": {"other": 1, "another": 2}}'),
    Fault.raw(b"", status=302, headers={"Location": "https://elsewhere.example.com/"}),
    Fault.raw(b"", status=206),
    Fault.raw(b"{}", headers={"Content-Encoding": "br"}),
]


def outputs(artifact: DownloadedFile) -> list[str]:
    """The same rows whichever route they came by."""
    if artifact.format == "parquet":
        return pl.read_parquet(artifact.path)["outputs"].to_list()
    return json.loads(artifact.path.read_bytes())["results"]["outputs"]


async def part(artifact: RemoteArtifact, at: int) -> bytes:
    """The first or the second half."""
    half = artifact.size // 2
    async with aclosing(artifact.chunks(half * at, artifact.size if at else half)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def answers(api: ApiClient, job_id: str, directory: Path) -> dict[str, object]:
    """Facts that the calls tell about one job; those that failed are missing."""
    found: dict[str, object] = {}
    for name in ("status", "job", "list", "results", "parts"):
        try:
            if name == "status":
                found[name] = (await api.get_job_status(job_id)).status
            elif name == "job":
                found[name] = await api.get_job(job_id)
            elif name == "list":
                found[name] = [job async for job in api.iter_jobs(4)]
            elif name == "results":
                found[name] = outputs(await api.fetch_results(ResultsSpec(job_id), directory))
            elif artifact := await api.open_results(ResultsSpec(job_id)):
                found[name] = [await part(artifact, at) for at in (0, 1)]
        except SutroError:
            continue
    return found


@pytest.mark.parametrize("variant", [ApiVariant(), ApiVariant(results_url=False)], ids=["links", "no links"])
async def test_a_wrong_answer_never_looks_like_a_right_one(tmp_path: Path, variant: ApiVariant) -> None:
    """A seeded storm of up to three faults per call; nothing hangs and no partial file stays."""
    dice = random.Random(20260101)
    emulator = Emulator(variant=variant, seed_jobs=False, pace=Pace())
    job_id = [emulator.add_job(num_rows=40) for _ in range(9)][4]
    failed = right = 0
    with anyio.fail_after(60):
        async with emulated(emulator) as api:
            truth = await answers(api, job_id, tmp_path / "truth")
        assert len(truth) == (5 if variant.results_url else 4)
        for number in range(60):
            async with emulated(emulator) as api:
                for _ in range(dice.randint(0, 3)):
                    emulator.faults.add(dice.choice(FAULTS), skip=dice.randint(0, 9))
                found = await answers(api, job_id, tmp_path / str(number))
            emulator.faults.clear()
            unknown = found.get("status") == "UNKNOWN"  # the deployment's own word for not knowing
            assert found == {name: truth[name] for name in found} or unknown
            right, failed = right + len(found), failed + len(truth) - len(found)
            files = names_in(tmp_path / str(number)) if (tmp_path / str(number)).exists() else []
            assert len(files) == ("results" in found)
    assert right > failed > 0
