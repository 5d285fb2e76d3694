"""From spawning the server to its first answer, beside a server of one tool on the bare MCP SDK.

The two take turns, and who begins changes from pair to pair, so that what else
the machine does falls on both. The ratio is the median of the pairs' ratios. CPU time is what the server
itself used until it answered, and says more on a busy machine (Linux only).

    scripts/bench startup [--pairs 20]
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

BARE = [sys.executable, str(Path(__file__).with_name("_bare_server.py"))]
OURS = [sys.executable, "-m", "sutro_mcp"]
LIMIT = 1.10

_VERSION = "2026-07-28"
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "0"},
}
# What hosts open with. The second holds all schemas, of nine tools here and of one there.
OPENINGS = {
    "initialize (2025-11-25)": (
        "initialize",
        {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "0"},
        },
    ),
    "tools/list (2026-07-28)": ("tools/list", {"_meta": _ENVELOPE}),
}


@dataclass(frozen=True)
class Start:
    """One start: seconds on the clock and of the CPU."""

    wall: float
    cpu: float


def start(command: list[str], opening: str) -> Start:
    """Spawn `command`, send its first request and wait for the answer."""
    method, params = OPENINGS[opening]
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    requests, replies = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
    requests.write(request + "\n")
    requests.flush()
    reply = replies.readline()
    wall = time.perf_counter() - began
    if "result" not in json.loads(reply):
        raise SystemExit(f"{command[-1]} answered {reply}")
    cpu = cpu_seconds(process.pid)
    requests.close()
    replies.close()
    process.wait()
    return Start(wall, cpu)


def cpu_seconds(pid: int) -> float:
    """CPU that the threads of a process have used so far; not a number where the kernel does not say."""
    times = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(line.split()[0]) for line in times) / 1e9 if times else math.nan


def compare(opening: str, pairs: int) -> None:
    """Print the two beside each other."""
    ours: list[Start] = []
    bare: list[Start] = []
    for number in range(-1, pairs):  # the first pair warms up what the machine caches
        order = [(OURS, ours), (BARE, bare)]
        for command, times in order if number % 2 else reversed(order):
            times.append(start(command, opening))
    del ours[0], bare[0]
    print(f"\n{opening}, {pairs} pairs   sutro-mcp   bare SDK   ratio (median; quartiles)")
    for what in ("wall", "cpu"):
        a = [getattr(one, what) for one in ours]
        b = [getattr(one, what) for one in bare]
        low, ratio, high = statistics.quantiles([x / y for x, y in zip(a, b, strict=True)], n=4)
        print(
            f"  {what:4} seconds, median {statistics.median(a):18.3f} {statistics.median(b):10.3f}"
            f"   {ratio:.3f} ({low:.3f} to {high:.3f})"
        )


def main() -> None:
    """Compare both openings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20)
    pairs = max(2, parser.parse_args().pairs)
    python = sys.version.partition(" ")[0]
    print(f"Spawn to first answer on Python {python}; the aim is a ratio of {LIMIT:.2f} at most.")
    for opening in OPENINGS:
        compare(opening, pairs)


if __name__ == "__main__":
    main()
