"""Costs of comparing two runs, beside the same figures by DuckDB's join of the two files, written by hand.

Both start from files on disk, each in a fresh process; ours knows their fields already. Ratios are medians.

    scripts/bench comparison [--rows N] [--by inputs]
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import _data
import duckdb
import polars as pl
from _processes import Meter, Usage
from _usage import measured

from sutro_mcp.results.request_models import CompareRequest, Comparison, LocalArtifact
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.supervisor import QueryRunner
from sutro_mcp.results_spec import ResultsSpec

RUNS = 3
# Every seventh row has another output in the later run.
CHANGED = 7
FIELDS = {"label": "VARCHAR", "score": "DOUBLE", "reason": "VARCHAR", "tags": "VARCHAR[]"}


def write(folder: Path, rows: int) -> list[Path]:
    """The files of two runs over the same inputs."""
    outputs = _data.reasoned(rows).get_column("outputs")
    others = _data.reasoned(rows, seed=8).get_column("outputs")
    frame = pl.DataFrame({"outputs": outputs, "others": others}).with_row_index("row")
    later = pl.when(pl.col("row") % CHANGED == 0).then("others").otherwise("outputs")
    paths = [folder / "before.parquet", folder / "after.parquet"]
    for path, column in zip(paths, (pl.col("outputs"), later), strict=True):
        frame.select(outputs=column, inputs=pl.format("input number {}", "row")).write_parquet(path)
    return paths


async def ours(paths: list[Path], by: str) -> Usage:
    """One comparison in the sandbox of a query."""
    artifacts = [
        LocalArtifact(path=str(path), format="parquet", spec=ResultsSpec(path.stem, include_inputs=True))
        for path in paths
    ]
    names = ["before", "after"]
    tables = dict(zip(names, map(prepare, artifacts), strict=True))
    meter = Meter(os.getpid())
    request = CompareRequest(by=by)
    found = await QueryRunner().run(tables, request, Comparison)
    usage = meter.read()
    assert found.compared_rows
    return usage


def by_hand(before: str, after: str, by: str) -> None:
    """The same figures by somebody who knows the fields, without a limit of memory."""
    key = "inputs" if by == "inputs" else "file_row_number"

    def side(path: str) -> str:
        cast = {name: "_string" if kind == "VARCHAR" else "" for name, kind in FIELDS.items()}
        fields = (
            f"json_extract{cast[name]}(json, '$.{name}')::{kind} AS {name}" for name, kind in FIELDS.items()
        )
        # A few rows are cut off, and hold no JSON.
        valid = "CASE WHEN json_valid(outputs) THEN outputs END AS json"
        rows = f"SELECT {valid}, inputs, file_row_number FROM read_parquet('{path}', file_row_number=true)"
        return f"SELECT {', '.join(fields)}, inputs, file_row_number FROM ({rows})"

    connection = duckdb.connect(config={"threads": 1})
    values = ", ".join(f"b.{name} AS before_{name}, a.{name} AS after_{name}" for name in FIELDS)
    connection.execute(
        f"CREATE TEMP TABLE pairs AS SELECT b.file_row_number AS row, b.inputs = a.inputs AS same, {values} "
        f"FROM ({side(before)}) b JOIN ({side(after)}) a USING ({key})"
    ).fetchall()
    pairs = [(f"before_{name}", f"after_{name}") for name in FIELDS]
    differ = ", ".join(f"count(*) FILTER ({one} IS DISTINCT FROM {other})" for one, other in pairs)
    change = "after_score - before_score"
    connection.execute(
        f"SELECT count(*), count(*) FILTER (same), {differ}, avg({change}), stddev_samp({change}) FROM pairs"
    ).fetchall()
    for one, other in pairs:
        connection.execute(
            f"SELECT {one}, {other}, count(*) AS n, min(row) FROM pairs WHERE {one} IS DISTINCT FROM {other} "
            "GROUP BY ALL ORDER BY n DESC LIMIT 8"
        ).fetchall()


async def hand(paths: list[Path], by: str) -> Usage:
    """One run of `by_hand` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--by", by, "--by-hand", *map(str, paths)), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    found = json.loads(out)
    return Usage(found["memory"], found["cpu"], found["wall"])


async def main(rows: int, by: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sutro-bench-") as folder:
        paths = write(Path(folder), rows)
        size = sum(path.stat().st_size for path in paths) / 1e6
        print(f"{rows:,} rows in each of two runs, {size:.1f} MB, by {by}\n")
        print("| | CPU, s | time, s | MB |\n| --- | --- | --- | --- |")
        pairs = [(await ours(paths, by), await hand(paths, by)) for _ in range(RUNS)]
        for name, runs in zip(
            ("compare_job_results", "DuckDB by hand"), zip(*pairs, strict=True), strict=True
        ):
            middle = [
                statistics.median(each)
                for each in zip(*((r.cpu, r.wall, r.memory) for r in runs), strict=True)
            ]
            print(f"| {name} | {middle[0]:.2f} | {middle[1]:.2f} | {middle[2] / 1e6:.0f} |")
        ratio = statistics.median(one.cpu / other.cpu for one, other in pairs)
        print(f"\nCPU against DuckDB by hand: {ratio:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--by", default="row", choices=["row", "inputs"])
    parser.add_argument("--by-hand", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.by_hand:
        before, after = asked.by_hand
        print(json.dumps(measured(lambda: by_hand(before, after, asked.by))))
    else:
        asyncio.run(main(asked.rows, asked.by))
