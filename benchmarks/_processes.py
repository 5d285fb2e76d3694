"""Memory and CPU of a process and everything below it, from /proc."""

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Peak memory in bytes, CPU and wall time in seconds, between two marks."""

    memory: int
    cpu: float
    wall: float


class Meter:
    """Measures `root` and the processes below it from now on: growth over what they hold at this moment."""

    def __init__(self, root: int) -> None:
        self._root = root
        for pid in _tree(root):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        self._before = sum(_status(pid, "VmRSS") for pid in _tree(root))
        self._most = self._before
        self._cpu = _cpu(root)
        self._start = time.perf_counter()
        self._done = threading.Event()
        # A process that ends before the end would not be counted otherwise.
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()

    def _sample(self) -> None:
        while not self._done.wait(0.02):
            with contextlib.suppress(OSError):
                self._most = max(self._most, sum(_status(pid, "VmRSS") for pid in _tree(self._root)))

    def read(self) -> Usage:
        """Usage since. Peaks of several processes are added: at least the peak of all."""
        wall = time.perf_counter() - self._start
        self._done.set()
        self._watch.join()
        peak = sum(_status(pid, "VmHWM") for pid in _tree(self._root))
        return Usage(max(peak, self._most) - self._before, _cpu(self._root) - self._cpu, wall)


def settled(root: int) -> None:
    """Return when `root` and the processes below it use no processor any more."""
    before = -1.0
    while (now := _cpu(root)) > before + 0.02:
        before = now
        time.sleep(0.5)


def children(pid: int) -> list[int]:
    """The processes that `pid` has started, from any of its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _tree(root: int) -> list[int]:
    return [root, *(pid for child in children(root) for pid in _tree(child))]


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu(root: int) -> float:
    """Of the tree, with what its children that have ended used."""
    total = 0
    for pid in _tree(root):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / _TICKS
