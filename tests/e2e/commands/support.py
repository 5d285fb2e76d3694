"""Commands for people, run as they run them: a process each, without a terminal or at one."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.process import COMMAND

DEMO_RUNNING = "job-55e46faa-e69f-489c-acf3-d7b9b0dbe69c"


HOSTILE = "\x1b]0;owned\x07\x1b[31mred\u202egnp\x9b2J\nsutro-mcp: done"


def run(env: Mapping[str, str], *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`sutro-mcp …` without a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**env, "COLUMNS": "120", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def shown(env: Mapping[str, str], *arguments: str, **more: str) -> str:
    """The output of a successful command."""
    done = run(env, *arguments, **more)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def loaded(env: Mapping[str, str], *arguments: str) -> Any:
    """The JSON of a successful command."""
    return json.loads(shown(env, *arguments, "--json"))


def on_terminal(
    env: Mapping[str, str], typed: str, *arguments: str, interrupted_at: str = ""
) -> tuple[int, str]:
    """The exit code, and all that a terminal of 100 columns gets while somebody types.

    Once `interrupted_at` is shown, Ctrl-C is pressed: the command and its children get SIGINT.
    """
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    terminal = {**env, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=terminal,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        os.write(mine, typed.encode())
        got = b""
        try:
            while part := os.read(mine, 65536):
                got += part
                if interrupted_at and interrupted_at in got.decode(errors="ignore"):
                    os.killpg(process.pid, signal.SIGINT)
                    interrupted_at = ""
        except OSError:
            pass  # as Linux says that nobody holds the other side
        os.close(mine)
        return process.wait(60), got.decode()
