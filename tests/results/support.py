"""Artifacts on disk, and the two tasks called in this process."""

import io
import json
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from pydantic_core import to_json

from sutro_mcp.results import ColumnSummary, ExpectedResults, LocalArtifact, Page, Summary
from sutro_mcp.results.request_models import PageRequest, SummaryRequest
from sutro_mcp.results.rows.page import make_page
from sutro_mcp.results.summary.summariser import make_summary
from sutro_mcp.results_spec import ResultsSpec

JOB_ID = "job-0f6c1d1e-6d2b-4b6f-9a77-1d2f5c3b4a59"

reads_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


def parquet(folder: Path, columns: dict[str, Any] | pl.DataFrame, **options: Any) -> LocalArtifact:
    """A Parquet artifact; `options` are flags of the artifact."""
    path = _new(folder, "parquet")
    pl.DataFrame(columns).write_parquet(path)
    return LocalArtifact(path=str(path), format="parquet", spec=ResultsSpec(JOB_ID, **options))


def outputs(folder: Path, *values: Any) -> LocalArtifact:
    """A Parquet artifact with these outputs and nothing else."""
    return parquet(folder, {"outputs": list(values)})


def objects(folder: Path, *values: Any) -> LocalArtifact:
    """A Parquet artifact whose outputs are the JSON texts of `values`."""
    return outputs(folder, *(json.dumps(value) for value in values))


def file(
    folder: Path, raw: bytes | str, kind: Literal["parquet", "json", "csv"] = "parquet"
) -> LocalArtifact:
    """An artifact of exactly these bytes."""
    path = _new(folder, kind)
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return LocalArtifact(path=str(path), format=kind, spec=ResultsSpec(JOB_ID))


def _new(folder: Path, kind: str) -> Path:
    return folder / f"{len(list(folder.iterdir())):016x}.{kind}"


def page(artifact: LocalArtifact, **options: Any) -> Page:
    """One page, made in this process."""
    return make_page(artifact, PageRequest(**options))


def every_page(artifact: LocalArtifact, **options: Any) -> list[Page]:
    """All pages, by following `next_offset`; fails if it does not advance."""
    pages = [page(artifact, **options)]
    while (offset := pages[-1].next_offset) is not None:
        assert offset == pages[-1].offset + len(pages[-1].rows) > pages[-1].offset
        pages.append(page(artifact, offset=offset, **options))
    return pages


def size(answer: Page) -> int:
    """Characters of the JSON text of what the budget covers: columns and rows."""
    return len(to_json(answer.columns).decode()) + len(to_json(answer.rows).decode())


def summary(
    artifact: LocalArtifact, expected_rows: int | None = None, json_schema: Any = None, **options: Any
) -> Summary:
    """The summary, made in this process."""
    expected = ExpectedResults(num_rows=expected_rows, json_schema=json_schema)
    return make_summary(artifact, SummaryRequest(expected=expected, **options))


def column(answer: Summary, name: str) -> ColumnSummary:
    """The only column of that name."""
    (found,) = [each for each in answer.columns if each.name == name]
    return found


def suspicions(answer: Summary) -> dict[str, tuple[int, Sequence[int]]]:
    """How many rows of each kind, and the first of them."""
    return {item.kind: (item.count, item.rows) for item in answer.suspicious}


def children(kind: str) -> list[Path]:
    """The child processes of this process, in /proc; those that have ended do not count."""
    found: list[Path] = []
    for entry in Path("/proc").iterdir():
        try:
            while True:
                command, stat = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
                state, parent = stat.rpartition(")")[2].split()[:2]
                # A process that is being started has no command line for an instant.
                if command or state == "Z" or int(parent) != os.getpid():
                    break
        except OSError:
            continue
        if int(parent) == os.getpid() and command.endswith(
            f"\0sutro_mcp.results.worker_main\0{kind}\0".encode()
        ):
            found.append(entry)
    return found


def aborting() -> bytes:
    """A Parquet file with -1 values in its page: polars asks for 2**61 bytes and aborts the process."""
    return _altered(at=-9, value=1)


def panicking() -> bytes:
    """A Parquet file with dictionary indices of 7 bits that are not there: polars panics."""
    return _altered(at=6, value=7)


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    """No file of this process may grow past `size` bytes: the nearest thing to a full disk."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _altered(at: int, value: int) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"outputs": ["x"]}).write_parquet(buffer, compression="uncompressed", statistics=False)
    raw = bytearray(buffer.getvalue())
    # Definition levels, then the indices of the one data page; its header stands before.
    raw[raw.index(b"\x02\x00\x00\x00\x02\x01\x00\x03") + at] = value
    return bytes(raw)
