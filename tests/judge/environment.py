"""The SDK's own environment: the official `sutro` package and what it pins, apart from ours.

The SDK needs an older polars, pandas and pyarrow than we do, so it lives in a virtual environment of its
own, made once per Python version and requirement file and kept under the repository's `.cache`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
CACHE = HERE.parent.parent / ".cache"

Install = Callable[[Path, Path], None]
"""Makes a virtual environment at the first path that holds the requirements of the second."""


def python_of(environment: Path) -> Path:
    """Where an environment keeps its interpreter."""
    if os.name == "nt":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def ready_environment(requirements: Path, cache: Path, install: Install) -> Path:
    """The environment for these requirements, made first if there is none.

    It is made beside its final place and renamed at the end, so that one which exists is complete.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    environment = cache / f"sutro-sdk-{version}-{digest}"
    if python_of(environment).exists():
        return environment
    # Left without its interpreter when the Python it was made with is removed.
    shutil.rmtree(environment, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{environment.name}-") as directory:
        unfinished = Path(directory) / "environment"
        install(unfinished, requirements)
        try:
            unfinished.rename(environment)
        except OSError:
            # Another run finished first, and its work is as good as ours.
            if not environment.exists():
                raise
    return environment


def install_locked(environment: Path, requirements: Path) -> None:
    """Makes the environment with uv where it is installed, else with this interpreter's venv and pip."""
    locked = ["--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(requirements)]
    uv = shutil.which("uv")
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(environment))
        python = str(python_of(environment))
        _run(uv, "pip", "install", "--compile-bytecode", "--link-mode", "copy", "--python", python, *locked)
    else:
        _run(sys.executable, "-m", "venv", str(environment))
        python = str(python_of(environment))
        _run(
            python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--compile", *locked
        )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Could not make the SDK's environment: {' '.join(command)}\n{done.stderr}")
