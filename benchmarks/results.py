"""Costs of pages, summaries, SQL, comparisons and exports, beside what one would write without us.

Each operation runs in a fresh server (or SDK) process with an empty cache, after a small job that loads all
libraries, over a link of 30 ms and 50 MB/s. Times and memory are compared in pairs, one after the other;
ratios are medians. Bytes and requests are what the deployment counted, so they are exact. Sections of
RESULTS.md that a run does not measure stay as they are.

    scripts/bench results                            every kind, 10 thousand (text) and 1 million rows
    scripts/bench results --rows 10M --kinds nested  one kind, 10 million rows
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _data
import _page
from _processes import Meter, Usage, children, settled
from _questions import QUESTIONS, TWO_JOBS
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from scripts import bootstrap  # noqa: E402 - makes the SDK's environment

LATENCY_MS, MEGABYTES_PER_SECOND = 30, 50
GROUP_ROWS = 1_048_576  # pyarrow's default: one group for a million rows
ROWS = {"10k": 10_000, "1M": 1_000_000, "10M": 10_000_000}
MB = 1e6


@dataclass(frozen=True)
class Asked:
    """Requests to the deployment during one operation."""

    api: int
    store: int
    head: int
    credentials: int
    bytes: int


@dataclass(frozen=True)
class Run:
    """One operation, once."""

    usage: Usage
    asked: Asked
    text: str


class Deployment:
    """The deployment's process."""

    def __init__(self, process: asyncio.subprocess.Process, hello: dict[str, Any]) -> None:
        self._process = process
        self.jobs: dict[str, str] = hello["jobs"]
        self.environment = {"SUTRO_API_URL": hello["api"], "SUTRO_API_KEY": hello["key"]}

    async def asked(self) -> Asked:
        """Requests since the last time."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        return Asked(**json.loads(await self._process.stdout.readline()))


@asynccontextmanager
async def deployment(artifacts: dict[str, Path]) -> AsyncGenerator[Deployment]:
    paths = json.dumps({name: str(path) for name, path in artifacts.items()})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "_deployment.py"),
        *(str(LATENCY_MS), str(MEGABYTES_PER_SECOND), paths),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    try:
        yield Deployment(process, json.loads(await process.stdout.readline()))
    finally:
        process.kill()
        await process.wait()


class Server:
    """Our server with a client, and the means to measure it."""

    def __init__(self, client: Client, pid: int, there: Deployment) -> None:
        self._client = client
        self._pid = pid
        self._there = there

    async def read(self, job: str, **arguments: Any) -> Run:
        """`get_job_results` of a job by its name."""
        return await self.call("get_job_results", job_id=self._there.jobs[job], **arguments)

    async def idle(self) -> None:
        """Return when nothing goes on in the background."""
        await asyncio.to_thread(settled, self._pid)

    async def call(self, tool: str, **arguments: Any) -> Run:
        """One tool call, again until it no longer says that the work goes on."""
        await self._there.asked()
        meter = Meter(self._pid)
        while True:
            result = await self._client.call_tool(tool, arguments)
            text = "".join(block.text for block in result.content if isinstance(block, TextContent))
            if not (result.is_error and "goes on in the background" in text):
                break
        return Run(meter.read(), await self._there.asked(), text)


@asynccontextmanager
async def server(there: Deployment, kept: str) -> AsyncGenerator[Server]:
    """A fresh server that keeps what it fetches in `kept`, warmed by a small job."""
    before = set(children(os.getpid()))
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "sutro_mcp", "serve"],
        env={
            **os.environ,
            **there.environment,
            "SUTRO_MCP_CACHE_DIR": f"{kept}/cache",
            "SUTRO_MCP_EXPORT_DIR": f"{kept}/exports",
        },
    )
    async with Client(parameters, read_timeout_seconds=600) as client:
        (pid,) = set(children(os.getpid())) - before
        fresh = Server(client, pid, there)
        for view in ("rows", "summary"):
            await fresh.read("small", view=view)
        yield fresh


async def sdk(there: Deployment, operation: str, job: str) -> Run:
    """One operation with the official SDK, in a process of its own."""
    await there.asked()
    python = bootstrap.environment("judge", bootstrap.CACHE / "judge")
    with tempfile.TemporaryDirectory(prefix="sutro-bench-") as home:
        process = await asyncio.create_subprocess_exec(
            python,
            *(str(Path(__file__).parent / "_sdk.py"), operation, there.jobs[job], there.jobs["small"]),
            env={**os.environ, **there.environment, "HOME": home},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        out, _ = await process.communicate()
    found = json.loads(out.splitlines()[-1])
    return Run(Usage(found["memory"], found["cpu"], found["wall"]), await there.asked(), str(found["value"]))


async def alone(there: Deployment, operation: str, job: str, *arguments: Path | str) -> Run:
    """A yardstick of plain polars, DuckDB or httpx, in a process of its own."""
    await there.asked()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(Path(__file__).parent / "_yardsticks.py"), operation, there.jobs[job], *map(str, arguments)),
        env={**os.environ, **there.environment},
        stdout=subprocess.PIPE,
    )
    out, _ = await process.communicate()
    found = json.loads(out.splitlines()[-1])
    return Run(Usage(found["memory"], found["cpu"], found["wall"]), await there.asked(), "")


async def ours(there: Deployment, job: str, tool: str = "get_job_results", **arguments: Any) -> Run:
    """One call on a fresh server with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="sutro-bench-") as kept:
        return await with_cache(there, kept, job, tool, **arguments)


async def with_cache(
    there: Deployment, kept: str, job: str, tool: str = "get_job_results", **arguments: Any
) -> Run:
    """One call on a fresh server whose cache is in `kept`."""
    async with server(there, kept) as fresh:
        return await fresh.call(tool, job_id=there.jobs[job], **arguments)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratios(ours: Sequence[Run], theirs: Sequence[Run]) -> tuple[float, float, float]:
    """Ours to theirs, run by run: time, memory, CPU."""
    pairs = [(a.usage, b.usage) for a, b in zip(ours, theirs, strict=True)]
    return (
        median([a.wall / b.wall for a, b in pairs]),
        median([a.memory / max(b.memory, 1) for a, b in pairs]),
        median([a.cpu / max(b.cpu, 0.01) for a, b in pairs]),
    )


class Report:
    """The table that is printed, and kept in RESULTS.md."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)

    def exact(self, what: str, run: Run, artifact: int) -> None:
        asked = run.asked
        self.say(
            f"| {what} | {asked.api} + {asked.store} | {asked.head} | {asked.credentials} "
            f"| {asked.bytes / MB:.2f} | {asked.bytes / artifact:.2%} | {run.usage.memory / MB:.0f} |"
        )

    def compared(self, what: str, against: str, ours: Sequence[Run], theirs: Sequence[Run]) -> None:
        time, memory, cpu = ratios(ours, theirs)
        self.say(f"| {what} | {against} | {time:.3f} | {memory:.3f} | {cpu:.2f} | {len(ours)} |")


async def text_results(
    report: Report, there: Deployment, job: str, rows: int, artifact: Path, rounds: int
) -> None:
    """Everything about one artifact of text."""
    size = artifact.stat().st_size  # noqa: ASYNC240 - nothing else runs meanwhile
    deep = rows * 7 // 10
    report.say(f"\n## {job}: {rows:,} rows, {size / MB:.1f} MB\n")
    report.say("| what | requests (API + store) | HEAD | with key | MB | of the artifact | MB of memory |")
    report.say("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="sutro-bench-") as kept:
        async with server(there, kept) as fresh:
            report.exact("first page", await fresh.read(job, view="rows"), size)
            report.exact("next page", await fresh.read(job, view="rows", offset=20), size)
            cached = [await fresh.read(job, view="rows", offset=40 + n) for n in range(20)]
            report.exact("deep page, then", await fresh.read(job, view="rows", offset=deep), size)
            report.exact("summary, then", await fresh.read(job), size)
            report.exact("second summary", await fresh.read(job), size)
        report.exact("summary in the next process", await with_cache(there, kept, job), size)
    report.exact("deep page, cold", await ours(there, job, view="rows", offset=deep), size)
    report.exact("summary, cold", await ours(there, job), size)
    sql = "SELECT LENGTH(inference_result) > 300 AS long, COUNT(*) AS n FROM results GROUP BY 1"
    queried = await ours(there, job, "query_job_results", sql=sql)
    report.exact("SQL, cold", queried, size)
    exported = await ours(there, job, "export_job_results", file_name="all.csv")
    report.exact("export as CSV, cold", exported, size)
    report.say("")
    cpu = sum(run.usage.cpu for run in cached) / len(cached) * 1000
    report.say(f"A cached page costs {cpu:.1f} ms of CPU in server and worker.")
    for name, run in {"SQL": queried, "Export": exported}.items():
        if run.text.startswith("Cannot"):
            report.say(f"\n{name}: {run.text}")
    await side_by_side(report, there, job, artifact, rounds, has_json=rows <= ROWS["1M"])


async def side_by_side(
    report: Report, there: Deployment, job: str, artifact: Path, rounds: int, *, has_json: bool
) -> None:
    """Ours beside what somebody would write without us, one after the other."""
    report.say("\n| ours | against | time | memory | CPU | runs |\n| --- | --- | --- | --- | --- | --- |")
    runs: dict[str, list[Run]] = {}

    async def run(name: str, made: Awaitable[Run]) -> None:
        runs.setdefault(name, []).append(await made)

    for _ in range(rounds):
        await run("page", ours(there, job, view="rows"))
        await run("status", ours(there, job, "get_job_status"))
        with tempfile.TemporaryDirectory(prefix="sutro-bench-") as kept:
            await run("summary", with_cache(there, kept, job))
            await run("download", alone(there, "download", job, artifact))
            await run("on disk", with_cache(there, kept, job))
        await run("decode", alone(there, "decode", job, artifact))
        await run("SDK download", sdk(there, "download", job))
        if has_json:
            await run("SDK page", sdk(there, "first_page", job))
            await run("SDK summary", sdk(there, "summary", job))
    report.compared("first page", "one API call of ours", runs["page"], runs["status"])
    if has_json:
        report.compared("first page", "SDK get_job_results", runs["page"], runs["SDK page"])
        report.compared("summary", "SDK get_job_results and polars", runs["summary"], runs["SDK summary"])
    report.compared("first page", "SDK download_job_results and polars", runs["page"], runs["SDK download"])
    report.compared("summary", "bare download to disk", runs["summary"], runs["download"])
    report.compared("summary of what is on disk", "decoding alone (polars)", runs["on disk"], runs["decode"])


async def json_results(
    report: Report, there: Deployment, job: str, rows: int, artifact: Path, rounds: int
) -> None:
    """Questions, a summary and a comparison of one artifact of objects."""
    size = artifact.stat().st_size  # noqa: ASYNC240 - nothing else runs meanwhile
    kind = job.rstrip("0123456789kM")
    sql, by_hand = QUESTIONS[kind]
    job_id = there.jobs[job]
    ask: dict[str, Any] = {"tool": "query_job_results", "job_id": job_id, "sql": sql}
    both: dict[str, Any] = {**ask, "sql": TWO_JOBS[kind], "with_jobs": [f"before={job_id}"]}
    compare: dict[str, Any] = {"tool": "compare_job_results", "job_id": job_id, "other_job_id": job_id}
    runs: dict[str, list[Run]] = {}

    async def run(name: str, made: Awaitable[Run]) -> None:
        runs.setdefault(name, []).append(await made)

    for _ in range(rounds):
        await run("by hand", alone(there, "question", job, artifact, by_hand))
        # Of more it would take all memory.
        if rows <= ROWS["1M"]:
            await run("describe", alone(there, "describe", job, artifact))
        with tempfile.TemporaryDirectory(prefix="sutro-bench-") as kept:
            async with server(there, kept) as fresh:
                for name, call in (("first", ask), ("again", ask), ("two jobs", both), ("compare", compare)):
                    await run(name, fresh.call(**call))
                    await fresh.idle()
        await run("summary", ours(there, job))
    report.say(f"\n## {job}: {rows:,} rows, {size / MB:.1f} MB\n")
    report.say("| what | requests (API + store) | MB | CPU s | against | CPU | runs |")
    report.say("| --- | --- | --- | --- | --- | --- | --- |")
    hand, polars = "DuckDB, json_extract on the file", "polars, json_decode and describe"
    for name, what, other, against in (
        ("first", "first question, with the download", "by hand", hand),
        ("again", "the same question again", "by hand", hand),
        # `scripts/bench comparison` has the same by hand.
        ("two jobs", "a question over two jobs", "", ""),
        ("compare", "comparison of two jobs", "", ""),
        ("summary", "summary, with the download", "describe", polars),
    ):
        one, asked = runs[name], runs[name][0].asked
        cpu = median([each.usage.cpu for each in one])
        ratio = f"{ratios(one, runs[other])[2]:.2f}" if other in runs else ""
        report.say(
            f"| {what} | {asked.api} + {asked.store} | {asked.bytes / MB:.2f} | {cpu:.2f} | {against} "
            f"| {ratio} | {len(one)} |"
        )
        if one[0].text.startswith("Cannot"):
            report.say(f"| ({one[0].text[:200]}) | | | | | | |")


def kept_sections() -> dict[str, str]:
    """The sections that an earlier run wrote, by the name of the artifact."""
    page = _page.PAGE.read_text("utf-8").partition("# Results, measured")[2].partition("\n# ")[0]
    return {section.partition(":")[0]: section.rstrip() for section in page.split("\n## ")[1:]}


async def main(kinds: list[str], sizes: list[str], rounds: int) -> None:
    folder = Path(tempfile.gettempdir()) / "sutro-mcp-benchmarks"
    folder.mkdir(exist_ok=True)
    jobs = {f"{kind}{size}": (kind, ROWS[size]) for kind in kinds for size in sizes}
    if "text" in kinds and "1M" in sizes:
        jobs = {"text10k": ("text", ROWS["10k"]), **jobs}
    artifacts = {name: folder / f"{name}.parquet" for name in ("small", *jobs)}
    for name, path in artifacts.items():
        if not path.exists():
            _data.write(path, *jobs.get(name, ("text", 100)), GROUP_ROWS)
    sections = kept_sections()
    for name, (kind, rows) in jobs.items():
        report = Report()
        measure = text_results if kind == "text" else json_results
        async with deployment({each: artifacts[each] for each in ("small", name)}) as there:
            await measure(report, there, name, rows, artifacts[name], rounds)
        sections[name] = "\n".join(report.lines).strip().removeprefix("## ")
    link = f"Link: {LATENCY_MS} ms, {MEGABYTES_PER_SECOND} MB/s. {os.cpu_count()} cores."
    _page.write("results", "\n\n".join([link, *(f"## {each}" for each in sections.values())]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What large results cost.")
    parser.add_argument("--kinds", nargs="+", choices=list(_data.KINDS), default=list(_data.KINDS))
    parser.add_argument("--rows", nargs="+", choices=["1M", "10M"], default=["1M"])
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each ratio")
    given = parser.parse_args()
    asyncio.run(main(given.kinds, given.rows, given.rounds))
