"""Packages of npm that only this needs, each in a folder of its own under .cache."""

import subprocess
from pathlib import Path

from scripts.bootstrap import CACHE
from scripts.node_tools import NODE, environment


def install(*packages: str) -> Path:
    """The folder with `packages`, names with their versions, in its node_modules; installed on first use."""
    folder = CACHE / "npm" / packages[0].replace("/", "+")
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = (str(NODE / "bin/node"), str(NODE / "lib/node_modules/npm/bin/npm-cli.js"))
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        subprocess.run(
            [*npm, "install", "--prefix", str(folder), *quiet, *packages], check=True, env=environment()
        )
    return folder
