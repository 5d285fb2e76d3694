"""From spawning the server to its first answer, beside a server of one tool on the bare MCP SDK.

The two take turns, and who begins changes from pair to pair, so that what else the machine does falls on
both. The ratio is the median of the pairs' ratios. CPU time is that of the server and its children until the
answer, and says more on a busy machine (Linux only). The last opening goes on to a tool call without a key.

    scripts/bench startup [--pairs 20]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import _page
from _processes import children

BARE = [sys.executable, str(Path(__file__).with_name("_bare_server.py"))]
OURS = [sys.executable, "-m", "sutro_mcp"]
LIMIT = 0.35

_VERSION = "2026-07-28"
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "0"},
}
_INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "0"},
}
Request = tuple[str, dict[str, Any]]
# What hosts open with; a list holds all schemas, of all our tools here and of one there.
OPENINGS: dict[str, list[Request]] = {
    "initialize (2025-11-25)": [("initialize", _INITIALIZE)],
    "server/discover (2026-07-28)": [("server/discover", {"_meta": _ENVELOPE})],
    "tools/list (2026-07-28)": [("tools/list", {"_meta": _ENVELOPE})],
    "initialize, then tools/call": [("initialize", _INITIALIZE), ("tools/call", {})],
}
_CALLS = {OURS[-1]: {"name": "list_jobs"}, BARE[-1]: {"name": "echo", "arguments": {"text": "x"}}}


@dataclass(frozen=True)
class Start:
    """One start: seconds on the clock and of the CPU, and memory afterwards in MB."""

    wall: float
    cpu: float
    memory: float


def start(command: list[str], opening: str) -> Start:
    """Spawn `command`, send the requests of an opening and wait for the answers."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    requests, replies = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
    for number, (method, params) in enumerate(OPENINGS[opening]):
        asked = params or _CALLS[command[-1]]
        requests.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": asked}) + "\n")
        requests.flush()
        reply = replies.readline()
        if "result" not in json.loads(reply):
            raise SystemExit(f"{command[-1]} answered {reply}")
    wall = time.perf_counter() - began
    cpu = sum(cpu_seconds(pid) for pid in (process.pid, *children(process.pid)))
    memory = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096 / 1e6
    requests.close()
    replies.close()
    process.wait()
    return Start(wall, cpu, memory)


def cpu_seconds(pid: int) -> float:
    """CPU seconds that all threads of a process have used so far: the clock that Linux keeps for it."""
    return time.clock_gettime((~pid << 3) | 2)


def compare(opening: str, pairs: int) -> list[str]:
    """The lines of the table for the two beside each other."""
    ours: list[Start] = []
    bare: list[Start] = []
    for number in range(-1, pairs):  # the first pair warms up what the machine caches
        order = [(OURS, ours), (BARE, bare)]
        for command, times in order if number % 2 else reversed(order):
            times.append(start(command, opening))
    del ours[0], bare[0]
    lines: list[str] = []
    for what in ("wall", "cpu"):
        a = [getattr(one, what) for one in ours]
        b = [getattr(one, what) for one in bare]
        low, ratio, high = statistics.quantiles([x / y for x, y in zip(a, b, strict=True)], n=4)
        lines.append(
            f"| {opening} | {what} | {statistics.median(a):.3f} | {statistics.median(b):.3f} "
            f"| {ratio:.3f} | {low:.3f} to {high:.3f} |"
        )
    if len(OPENINGS[opening]) > 1:
        held = (statistics.median(one.memory for one in times) for times in (ours, bare))
        lines.append(f"| memory after that, MB | | {next(held):.0f} | {next(held):.0f} | | |")
    return lines


def main() -> None:
    """Compare all openings, and write the table down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20)
    pairs = max(2, parser.parse_args().pairs)
    python = sys.version.partition(" ")[0]
    lines = [
        f"Spawn to answer on Python {python}, seconds, medians of {pairs} pairs. The aim for the CPU until",
        f"the first answer is a ratio of at most {LIMIT:.2f}.",
        "",
        "| what | | sutro-mcp | bare SDK | ratio | quartiles |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for opening in OPENINGS:
        lines += compare(opening, pairs)
    _page.write("startup", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
