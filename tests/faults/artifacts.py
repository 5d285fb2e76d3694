"""Artifacts with changed bytes, given to a real worker: it answers or refuses, and the next call works."""

import importlib
import io
import json
import random
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from sutro_mcp.errors import SutroError, UnexpectedReplyError, WorkerError
from sutro_mcp.results import LocalArtifact, Page, Summary
from sutro_mcp.results.request_models import PageRequest, SummaryRequest
from sutro_mcp.results.worker.supervisor import Worker
from sutro_mcp.results_spec import ResultsSpec
from tests.results.parquet.support import mutated

# Its types are unknown.
pq: Any = importlib.import_module("pyarrow.parquet")

_ROWS = 120


@dataclass
class ArtifactTally:
    """The outcome of the artifacts."""

    read: int = 0
    refused: int = 0
    deaths: int = 0
    """Workers that a file ended; each was an error for its own call alone."""
    wrong: list[str] = field(default_factory=list[str])


async def run_artifacts(seed: int, count: int) -> ArtifactTally:
    """A page or a summary of so many changed artifacts in turn."""
    dice, tally, worker = random.Random(f"artifacts {seed}"), ArtifactTally(), Worker()
    with tempfile.TemporaryDirectory(prefix="sutro-fuzz-") as folder:
        sound = [_kept(Path(folder) / f"sound-{n}.parquet", data) for n, data in enumerate(artifacts())]
        expected = [await _page(worker, ref) for ref in sound]
        try:
            for number in range(count):
                which = dice.randrange(len(sound))
                changed = _kept(Path(folder) / f"{number}.parquet", _changed(artifacts()[which], dice))
                try:
                    await (_summary if number % 2 else _page)(worker, changed)
                    tally.read += 1
                    continue
                except WorkerError:
                    tally.deaths += 1
                except UnexpectedReplyError:
                    tally.refused += 1
                except SutroError as error:
                    tally.wrong.append(f"{number}: {error}")
                if await _page(worker, sound[which]) != expected[which]:
                    tally.wrong.append(f"{number}: the next call gave something else")
        finally:
            await worker.aclose()
    return tally


@cache
def artifacts() -> list[bytes]:
    """Small ones with all that is read: JSON, text, lists, objects, dictionaries, codecs, page versions."""
    rows = range(_ROWS)
    frame = pl.DataFrame(
        {
            "outputs": [
                json.dumps({"label": f"l{i % 4}", "score": i / 7, "tags": ["a"] * (i % 3)}) for i in rows
            ],
            "text": [None if i % 9 == 0 else f"t{i % 40}" for i in rows],
            "number": [i - 60 for i in rows],
            "share": [i / 2 for i in rows],
            "list": [[1.0, 2.0][: i % 3] for i in rows],
            "struct": [{"a": i, "b": str(i)} for i in rows],
        }
    )
    made: list[bytes] = []
    for options in (
        {"compression": "zstd", "write_page_index": True},
        {"compression": "snappy", "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False},
        {"compression": "gzip"},
    ):
        sink = io.BytesIO()
        pq.write_table(frame.to_arrow(), sink, data_page_size=256, row_group_size=50, **options)
        made.append(sink.getvalue())
    sink = io.BytesIO()
    frame.write_parquet(sink, row_group_size=50, data_page_size=256)
    return [*made, sink.getvalue()]


def _changed(data: bytes, dice: random.Random) -> bytes:
    """Anywhere, or in the footer."""
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return mutated(data, dice, dice.choice((4, footer)))


def _kept(path: Path, data: bytes) -> LocalArtifact:
    path.write_bytes(data)
    return LocalArtifact(
        path=str(path), format="parquet", spec=ResultsSpec("job-1"), inode=path.stat().st_ino
    )


async def _page(worker: Worker, ref: LocalArtifact) -> Page:
    return await worker.run(ref, PageRequest(limit=_ROWS), Page)


async def _summary(worker: Worker, ref: LocalArtifact) -> Summary:
    return await worker.run(ref, SummaryRequest(), Summary, on_rows=lambda _done, _total: None)
