"""The cost of one call to its own process. The standard library alone: two environments use it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def measured(call: Callable[[], Any]) -> dict[str, Any]:
    """Growth of memory to its peak (bytes), CPU and wall time (seconds), and what `call` returns."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    value = call()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": _status("VmHWM") - before,
        "value": value,
    }


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0
