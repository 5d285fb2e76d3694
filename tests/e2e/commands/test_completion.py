"""Completion in the shells themselves: bash, zsh and fish."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sutro_mcp.emulator import Emulator

from .support import DEMO_RUNNING, shown

pytestmark = pytest.mark.smoke


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_ids(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """Of the jobs that the command is about; in silence where there is no key."""
    script = (
        'eval "$1"; COMP_LINE=$2 COMP_POINT=${#2} _python_argcomplete "$3"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = shutil.which("sutro-mcp", path=str(Path(sys.executable).parent)) or "sutro-mcp"

    def completed(line: str, env: Mapping[str, str]) -> set[str]:
        source = shown(env, "completion", "bash")
        call = ["bash", "-c", script, "bash", source, line, command]
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert completed("sutro-mcp co", sutro_env) == {"completion", "config"}
    assert completed("sutro-mcp results --co", sutro_env) == {"--columns", "--compare"}
    failed, running = sutro.add_job(status="FAILED"), sutro.add_job(status="RUNNING")
    ids = completed("sutro-mcp cancel job-", sutro_env)
    assert running in ids
    assert failed not in ids
    assert completed("sutro-mcp job job-", dict(os.environ)) == set()


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_commands_options_and_ids() -> None:
    """Ids of the demo as well, which need no key."""
    lines = ("sutro-mcp comp", "sutro-mcp results --co", "sutro-mcp cancel --demo job-55")
    script = "sutro-mcp completion fish | source; " + "; ".join(f"complete -C '{line}'" for line in lines)
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=_with_command_on_path(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    completed = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert (completed, done.stderr) == (["completion", "--columns", "--compare", DEMO_RUNNING], "")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_completes_commands_and_ids() -> None:
    """At a prompt of its own: what Tab makes of the line is run."""
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    typed = [
        "sutro-mcp compl\tfi\t\n",
        "sutro-mcp job --demo --json job-55\t\n",
        "exit\n",
    ]
    # In two parts, so that the prompt is not seen where it is set.
    start = 'PROMPT="rea""dy"; autoload -U compinit; compinit -D -u; eval "$(sutro-mcp completion zsh)"\n'
    env = _with_command_on_path() | {"TERM": "dumb", "COLUMNS": "120"}
    got, seen = "", 0
    with subprocess.Popen(
        ["zsh", "-f", "-i"], env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ):
        os.close(theirs)
        os.write(mine, start.encode())
        try:
            while part := os.read(mine, 65536):
                got += part.decode(errors="replace")
                if typed and "ready" in got[seen:]:
                    os.write(mine, typed.pop(0).encode())
                    seen = len(got)
        except OSError:
            pass  # as Linux says that nobody holds the other side
        os.close(mine)
    assert "function __fish_sutro-mcp_complete" in got
    assert f'"job_id": "{DEMO_RUNNING}"' in got


def _with_command_on_path() -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str) -> None:
    """Without a key, and without a line that another shell would need."""
    script = shown(os.environ, "completion", shell)
    assert "sutro-mcp" in script
    assert script.startswith("#compdef") == (shell == "zsh")
