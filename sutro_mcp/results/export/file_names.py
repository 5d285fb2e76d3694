"""Names that a file of the export folder may have: plain ones that are safe wherever the file is taken.

Importing this module must not import polars: the server looks at names before anything is fetched.
"""

import os
import re
import unicodedata
from pathlib import Path

from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.results.request_models import ExportFormat
from sutro_mcp.untrusted_text import quote, visible

_ENDINGS: dict[str, ExportFormat] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
_MAX_BYTES = 150
_RESERVED = re.compile(r'[/\\:*?"<>|]')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)
# Blanks that are neither separators nor controls to Unicode.
_BLANK = "\u2800"


def export_name(name: str, wanted: ExportFormat | None) -> tuple[str, ExportFormat]:
    """The file name with its format's ending, and the format: `wanted`, or what the ending says, or Parquet.

    Raises InvalidArgumentError when `name` is no plain file name.
    """
    chosen = wanted or _ENDINGS.get(_ending(name), "parquet")
    _check(name)
    whole = name if _ending(name) == f".{chosen}" else f"{name}.{chosen}"
    return _check(whole), chosen


def chosen_file(path: Path | str) -> Path:
    """A file that somebody names by its path. Raises InvalidArgumentError where no file can have it.

    Another format than the ending says would be written under another name than was asked for.
    """
    text = os.fspath(path)
    problem = None
    if text.endswith(("/", os.sep)) or Path(text).is_dir():
        problem = "it is a folder"
    elif _ending(text) not in _ENDINGS:
        problem = "its name does not end in .parquet, .csv or .jsonl, which tells the format"
    if problem:
        raise InvalidArgumentError(f"write to {quote(text, 200)}", problem, "Name a file, like results.csv")
    return Path(text)


def joinable_name(name: str) -> tuple[str, ExportFormat]:
    """The name of a file to join with, and its format. Raises InvalidArgumentError."""
    kind = _ENDINGS.get(_ending(_check(name)))
    if kind is None or kind == "jsonl":
        raise InvalidArgumentError(
            f"join with {quote(name, 60)}",
            "its name ends neither in .csv nor in .parquet",
            "Put a CSV or Parquet file into the export folder and pass its name",
        )
    return name, kind


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a name, not yet a path


def _check(name: str) -> str:
    if problem := _problem(name):
        raise InvalidArgumentError(
            f"use {quote(name, 60)} as a file name", problem, "Pass one plain name without a path, like a.csv"
        )
    return name


def _problem(name: str) -> str | None:
    if _RESERVED.search(name):
        return "it holds a path separator or another character that file names may not have"
    if visible(name) != name or any(_is_invisible(char) for char in name):
        return "it holds control or invisible characters"
    if not name or name[0] in ".-~ " or name[-1] in ". ":
        return "a name may not be empty, begin with a dot, dash, tilde or blank, or end with a dot or blank"
    if _DEVICE.fullmatch(name):
        return "it is the name of a device on Windows"
    if len(name.encode()) > _MAX_BYTES:
        return f"with its ending it is longer than {_MAX_BYTES} bytes"
    return None


def _is_invisible(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] == "C" or (kind[0] == "Z" and char != " ") or char in _BLANK
