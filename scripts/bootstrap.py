"""Makes the environments of the commands in this folder, with uv and from the locks, and enters them.

It runs before anything is installed, on any Python 3, so it imports nothing but the standard library. No lock
says where packages are downloaded from: that is each machine's own setting, uv's or pip's.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
SUPPORTED = ("3.13", "3.12", "3.11", "3.14")
OLDEST = "3.11 or newer"
LOCKS = {"runtime": ("runtime", "build"), "dev": ("dev",), "judge": ("judge",)}


def enter(kind: str = "dev", folder: Path = VENV) -> None:
    """Go on in this environment and in the project's folder."""
    python = environment(kind, folder)
    # Without compiled bytecode every start would take twice as long.
    left_out = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    if Path(sys.prefix).resolve() != folder.resolve():
        variables = {name: value for name, value in os.environ.items() if name not in left_out}
        os.execve(python, [python, str(Path(sys.argv[0]).resolve()), *sys.argv[1:]], variables)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))


def environment(kind: str, folder: Path = VENV, version: str | None = None) -> str:
    """The interpreter of `folder`, which is made first unless it holds what the locks of `kind` say."""
    python = str(folder / "bin" / "python")
    # All of the runtime lock is in the development lock as well.
    if _is_made(kind, folder) or (kind == "runtime" and _is_made("dev", folder)):
        return python
    folder.parent.mkdir(exist_ok=True, parents=True)
    with _alone():
        if not _is_made(kind, folder):
            interpreter = find_python(version) or fail(
                f"Python {version or '3.11 or newer'} is not on this machine."
            )
            print(f"Preparing {os.path.relpath(folder)} (once)…", file=sys.stderr)
            _make(kind, folder, interpreter)
    return python


def find_python(version: str | None = None) -> str | None:
    """A Python that starts: of `version`, or else the one to work with (`PYTHON` names another)."""
    chosen = os.environ.get("PYTHON")
    if chosen and version is None:
        return chosen if _version(chosen) >= (3, 11) else fail(f"PYTHON, {chosen}, is no Python {OLDEST}.")
    for wanted in (version,) if version else SUPPORTED:
        for candidate in (f"python{wanted}", sys.executable, *_pyenv(wanted)):
            if "{}.{}".format(*_version(candidate)) == wanted:
                return candidate
    return sys.executable if version is None and sys.version_info >= (3, 11) else None


def pinned_uv() -> str:
    """The uv that requirements/uv.txt pins, in an environment of its own."""
    lock = ROOT / "requirements" / "uv.txt"
    folder = CACHE / f"uv-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (folder / "bin" / "uv").exists():
        interpreter = find_python() or fail(f"no Python {OLDEST} is on this machine.")
        _run(interpreter, "-m", "venv", "--clear", str(folder))
        pip = (
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        )
        _run(*pip, "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(lock))
    return str(folder / "bin" / "uv")


def uv(*arguments: str, command: str | None = None) -> None:
    """Run the machine's uv, or else the pinned one, on the package index that the machine says."""
    found = shutil.which("uv")
    command = command or (found if found and _answers(found, "--version") else pinned_uv())
    _run(command, *arguments, variables=uv_variables())


def uv_variables() -> dict[str, str]:
    """The environment for uv, with the package index that pip was told of: uv does not read that."""
    variables = {"UV_PYTHON_DOWNLOADS": "never", **os.environ}
    if not {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE"} & set(variables):
        said = _answers(find_python() or sys.executable, "-m", "pip", "config", "list")
        for index in re.findall(r"^[\w:]+\.index-url='(.+)'$", said, re.MULTILINE):
            variables["UV_DEFAULT_INDEX"] = index
    return variables


def seal(lock: str, root: Path = ROOT) -> str:
    """A hash of the requirements in pyproject.toml and of a lock without its first line, where it stands."""
    import tomllib  # not every Python that reads this file has it

    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    asked = [project["project"]["dependencies"], project["build-system"], project["dependency-groups"]]
    return hashlib.sha256(f"{asked}{lock.partition(chr(10))[2]}".encode()).hexdigest()[:16]


def fail(text: str) -> NoReturn:
    """End the command with a sentence."""
    raise SystemExit(f"{Path(sys.argv[0]).name}: {text}")


def _is_made(kind: str, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return (folder / "bin" / "python").exists() and (folder / ".stamp").read_text() == _stamp(
            kind, folder
        )
    return False


def _stamp(kind: str, folder: Path) -> str:
    """The locks that the environment was made from, and its place, which its scripts name."""
    parts = [str(folder).encode(), (ROOT / "pyproject.toml").read_bytes()]
    parts += [lock.read_bytes() for lock in _locks(kind)]
    return f"{kind} {hashlib.sha256(b'|'.join(parts)).hexdigest()}"


def _locks(kind: str) -> list[Path]:
    return [ROOT / "requirements" / f"{name}.txt" for name in LOCKS[kind]]


def _make(kind: str, folder: Path, interpreter: str) -> None:
    python = str(folder / "bin" / "python")
    uv("venv", "--quiet", "--clear", "--python", interpreter, str(folder))
    install = ("pip", "install", "--quiet", "--python", python, "--no-deps")
    locks = [part for lock in _locks(kind) for part in ("-r", str(lock))]
    uv(*install, "--require-hashes", "--only-binary", ":all:", *locks)
    if kind != "judge":
        uv(*install, "--no-build-isolation", "--editable", str(ROOT))
    (folder / ".stamp").write_text(_stamp(kind, folder))


@contextlib.contextmanager
def _alone() -> Generator[None, None, None]:
    """Two commands at once: the second waits, and finds what the first has made."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _version(python: str) -> tuple[int, int]:
    said = _answers(python, "-c", "import sys; print(*sys.version_info[:2])").split()
    return (int(said[0]), int(said[1])) if said else (0, 0)


def _pyenv(version: str) -> list[str]:
    """pyenv's command of that version may be on PATH and not start."""
    prefix = _answers("pyenv", "prefix", version).strip()
    return [f"{prefix}/bin/python"] if prefix else []


def _answers(*command: str) -> str:
    """The output of a command, or nothing where it fails."""
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""
    return ""


def _run(*command: str, variables: dict[str, str] | None = None) -> None:
    if subprocess.run(command, stdout=sys.stderr, env=variables, check=False).returncode:
        fail(f"'{' '.join(command[:4])} …' failed; the lines above say why.")
