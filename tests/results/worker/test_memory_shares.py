"""The memory that a container's files promise, and what is made of it; the container is a folder."""

import sys
from pathlib import Path

import anyio
import pytest
from inline_snapshot import snapshot

from sutro_mcp.check import check
from sutro_mcp.errors import ConfigurationError, WorkerError
from sutro_mcp.results import Page, Summary
from sutro_mcp.results.request_models import PageRequest, QueryRequest, QueryRows, SummaryRequest
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.memory_shares import MIB, MemoryShares, memory_shares
from sutro_mcp.results.worker.server_processes import Processes
from tests.results.support import objects

NONE = "9223372036854771712"
CAP_512 = str(512 * MIB)
V1, V2 = "4:memory:", "0::"


def container(folder: Path, groups: str, files: dict[str, str]) -> Path:
    """The files of a system that a process finds with these groups and limits."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (f"{V2}/", {"memory.max": CAP_512}),
        (f"{V2}/kubepods/pod/one", {"kubepods/memory.max": CAP_512, "kubepods/pod/one/memory.max": "max"}),
        (f"{V2}/a/b", {"memory.max": str(2**40), "a/memory.max": CAP_512, "a/b/memory.max": str(2**31)}),
        (f"{V2}/outside/the/container", {"memory.max": CAP_512}),
        (f"{V1}/docker/one", {"memory/memory.limit_in_bytes": CAP_512}),
        (f"{V1}/one\n{V2}/", {"memory/one/memory.limit_in_bytes": CAP_512, "memory.max": "max"}),
        (
            "3:cpu,memory:/a",
            {"memory/memory.limit_in_bytes": NONE, "memory/a/memory.limit_in_bytes": CAP_512},
        ),
    ],
    ids=["own", "above", "least", "renamed", "version 1", "hybrid", "with cpu"],
)
def test_the_least_limit_of_the_groups_of_a_process_counts(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    """In either version, and whether or not the container sees the names outside."""
    root = container(tmp_path, groups, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert memory_shares(root).limit == 512 * MIB


@pytest.mark.parametrize("limit", ["max", NONE, "", "many"])
def test_without_a_limit_nothing_is_shared_out(tmp_path: Path, limit: str) -> None:
    """Nor where the system has no such files."""
    assert memory_shares(tmp_path) == MemoryShares()
    names = ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"]
    root = container(tmp_path, f"{V1}/\n{V2}/", dict.fromkeys(names, limit))
    assert memory_shares(root) == MemoryShares()


@pytest.mark.parametrize("limit", [384, 512, 1535, 1536, 3072, 64 * 1024])
def test_all_processes_together_fit_into_the_container(tmp_path: Path, limit: int) -> None:
    """With a hundred megabytes for the server, and in each as much as reading a page takes."""
    root = container(tmp_path, f"{V2}/", {"sys/fs/cgroup/memory.max": str(limit * MIB)})
    shares = memory_shares(root)
    assert shares.reader is not None
    assert shares.query is not None
    together = (shares.reader + shares.query) * (1 if shares.one_by_one else 2)
    assert together <= (limit - 96) * MIB
    assert shares.reader >= 160 * MIB
    assert 70 * MIB <= shares.query <= 512 * MIB


def test_check_says_the_shares_and_refuses_too_small_a_container(tmp_path: Path) -> None:
    """As the server does when it starts."""
    said: list[str] = []
    root = container(tmp_path, f"{V2}/", {"sys/fs/cgroup/memory.max": CAP_512})
    env = {"SUTRO_MCP_DEMO": "true", "SUTRO_MCP_EXPORT_DIR": str(tmp_path / "exports")}
    facts = anyio.run(check, env, said.append, None, None, root)
    assert facts["ok"]
    assert next(line for line in said if line.startswith("Memory")) == snapshot(
        "Memory: of the 512 MiB that this container may use, one process that reads results gets 291, and one"
        " for SQL 124."
    )
    (root / "sys/fs/cgroup/memory.max").write_text(str(256 * MIB))
    facts = anyio.run(check, env, None, None, None, root)
    assert not facts["ok"]
    assert facts["error"] == snapshot(
        "Cannot read results in this container: it may use 256 MiB of memory, and 384 are the least. "
        "Raise its memory limit, to 512 MiB for a person and 2 GiB for a team."
    )
    with pytest.raises(ConfigurationError):
        memory_shares(root)


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the caps")
async def test_half_a_gigabyte_is_enough_for_pages_summaries_and_sql(tmp_path: Path) -> None:
    """In the shares of such a container: what polars and DuckDB reserve is ten times as much, and is not held
    against them. A query that needs more is told so by DuckDB, and the next one is answered."""
    root = container(tmp_path, f"{V2}/", {"sys/fs/cgroup/memory.max": CAP_512})
    artifact = objects(tmp_path, *({"label": "ab"[n % 2], "note": f"note {n} " * 4} for n in range(20_000)))
    processes = Processes(memory_shares(root))
    table = {"results": prepare(artifact)}
    greedy = QueryRequest(sql="SELECT count(DISTINCT repeat('x', 1000) || range) FROM range(1000000)")
    try:
        with anyio.fail_after(120):
            page = await processes.pages.run(artifact, PageRequest(limit=2), Page)
            summary = await processes.long.run(artifact, SummaryRequest(), Summary)
            with pytest.raises(Exception, match=r"memory") as refused:
                await processes.queries.run(table, greedy, QueryRows)
            count = await processes.queries.run(
                table, QueryRequest(sql="SELECT count(*) n FROM results"), QueryRows
            )
    finally:
        await processes.pages.aclose()
    assert not isinstance(refused.value, WorkerError)
    assert (len(page.rows), summary.row_count, count.rows) == (2, 20_000, [[20_000]])
    assert processes.long is processes.pages
