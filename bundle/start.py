"""Starts the bundle's server with exactly the packages of requirements.txt, installed at its first start.

`uv` is all that it needs. What is installed must have the hash written there; where it comes from is this
machine's own setting.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment() -> Path:
    """The folder of the installed packages; an attempt that is interrupted leaves none of that name."""
    lock = HERE / "requirements.txt"
    folder = HERE / f".venv-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    attempt = folder.with_name(f"{folder.name}-{os.getpid()}")
    uv = os.environ["UV"]  # `uv run` says where it is
    install = [uv, "pip", "install", "--quiet", "--python", str(attempt / PYTHON), "--only-binary", ":all:"]
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(attempt)],
        [*install, "--compile-bytecode", "--require-hashes", "-r", str(lock)],
    ):
        if subprocess.run(command, check=False, cwd=HERE, stdout=sys.stderr).returncode:
            shutil.rmtree(attempt, ignore_errors=True)
            sys.exit("sutro-mcp: its packages could not be installed; the lines above say why.")
    try:
        attempt.rename(folder)
    except OSError:
        shutil.rmtree(attempt)  # another start was faster
    return folder


if __name__ == "__main__":
    server = [str(environment() / PYTHON), "-m", "sutro_mcp", *sys.argv[1:]]
    if os.name == "nt":  # where a process cannot become another one
        sys.exit(subprocess.run(server, check=False).returncode)
    os.execv(server[0], server)
