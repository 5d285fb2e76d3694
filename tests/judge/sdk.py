"""The official SDK, for tests to call: a process of its own environment, and a user of it.

Knows how to ask and what may be answered; what the answers should be is the tests' business.
"""

import contextlib
import itertools
import json
import queue
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import polars

HERE = Path(__file__).parent
PATIENCE = 240.0
"""Seconds for one call. The SDK polls every five, and no test lets it poll more than a few times."""

UNREACHABLE = "http://127.0.0.1:1"
"""A proxy that refuses: the SDK looks for its newest version at every start and must not find the network."""


@dataclass(frozen=True)
class Answer:
    """The outcome of one call. Of `value`, `frame`, `pandas`, `raised` and `exit_code` at most one is set."""

    printed: str
    progress: str
    value: Any = None
    frame: polars.DataFrame | None = None
    pandas: dict[str, Any] | None = None
    raised: tuple[str, str] | None = None
    exit_code: int | None = None


class SdkProcess:
    """One run of the driver. Started at the first question, and again if a question was left open."""

    def __init__(self, python: Path, scratch: Path) -> None:
        self.python = python
        self.variables = {
            "HOME": str(scratch),
            "USERPROFILE": str(scratch),
            "PYTHONUTF8": "1",
            "HTTPS_PROXY": UNREACHABLE,
            "NO_PROXY": "127.0.0.1,localhost",
            "TZ": "UTC",
            "POLARS_TABLE_WIDTH": "4000",
            # `import sutro` makes a client, which wants both.
            "SUTRO_API_URL": UNREACHABLE,
            "SUTRO_API_KEY": "unused",
        }
        self._scratch = scratch
        self._outputs = itertools.count()
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def ask(self, call: dict[str, Any]) -> Answer:
        """Perform one call; RuntimeError if the driver dies over it or takes too long."""
        process = self._process or self._start()
        assert process.stdin is not None
        output = self._scratch / f"{next(self._outputs)}.arrow"
        print(json.dumps({**call, "output": str(output)}), file=process.stdin, flush=True)
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = ""
        except BaseException:
            # Else the answer would be taken for that of the next call.
            self.close()
            raise
        if not line:
            self.close()
            raise RuntimeError(
                f"No answer from the SDK. Its process said:\n{self._said.read_text(encoding='utf-8')}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "polars" in answer:
            answer["frame"] = polars.read_ipc(answer.pop("polars"))
        if "raised" in answer:
            answer["raised"] = tuple(answer["raised"])
        return Answer(**answer)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._reader.join()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                # What it was not able to read is of no interest.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    @property
    def _said(self) -> Path:
        return self._scratch / "stderr"

    def _start(self) -> subprocess.Popen[str]:
        with self._said.open("w", encoding="utf-8") as said:
            self._process = subprocess.Popen(
                [str(self.python), str(HERE / "sdk_driver.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self.variables,
                cwd=self._scratch,
                encoding="utf-8",
            )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=_forward, args=(self._process, self._lines), daemon=True)
        self._reader.start()
        return self._process


def _forward(process: subprocess.Popen[str], lines: "queue.Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")


@dataclass(frozen=True)
class Sdk:
    """The SDK as one person uses it: a home directory, which holds the cache, a deployment and a key."""

    process: SdkProcess
    home: Path
    api_url: str
    api_key: str

    @property
    def variables(self) -> dict[str, str]:
        """The variables that make the environment theirs."""
        return {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "SUTRO_API_URL": self.api_url,
            "SUTRO_API_KEY": self.api_key,
        }

    def call(self, method: str, *, frames: dict[str, Any] | None = None, **arguments: Any) -> Answer:
        """`sutro.<method>(**arguments)`; `frames` are arguments given as recipes of `build_frame`."""
        return self.process.ask(
            self._common
            | {
                "method": method,
                "arguments": arguments,
                "frames": frames or {},
                "infer_string": int(pandas.__version__.partition(".")[0]) >= 3,
            }
        )

    def run(self, *command: str) -> Answer:
        """`sutro <command>`, in the home directory."""
        return self.process.ask(self._common | {"command": list(command)})

    @property
    def _common(self) -> dict[str, Any]:
        return {"environment": self.variables, "directory": str(self.home)}
