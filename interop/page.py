"""The record of the runs, and docs/hosts.md, which is written from it and from hosts.md beside this file."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .environments import Client, clients

RECORD = Path(__file__).with_name("record.json")
PAGE = Path(__file__).parent.parent / "docs" / "hosts.md"
TRANSPORTS = {"stdio": "stdio", "http": "Streamable HTTP"}
_COLUMNS = (
    "Client",
    "Version",
    "Transport",
    "Tools listed",
    "Tools answered",
    "Resources",
    "Prompts",
    "Asks the user",
    "The model reads",
)

Seen = Mapping[str, Any]


def read() -> dict[str, Seen]:
    """The recorded runs, by client and transport."""
    return json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}


def record(seen: Seen) -> None:
    """Keep what was seen in a run, in place of an earlier one."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    made = {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "product": version("sutro-mcp"),
        "python": ".".join(map(str, sys.version_info[:2])),
        "node": node.strip().lstrip("v").partition(".")[0],
    }
    found = read() | {f"{seen['client']} {seen['transport']}": {**seen, **made}}
    RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")


def page() -> str:
    """The whole page."""
    found = read()
    runs = [
        (client, name, found.get(f"{client.id} {key}", {"not_run": "not tried yet"}))
        for client in clients()
        for key, name in TRANSPORTS.items()
    ]
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *(_cells(*run) for run in runs)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    remarks = [remark for run in runs for remark in _remarks(*run)]
    made = {
        name: " and ".join(sorted({str(seen[name]) for seen in found.values()}))
        for name in ("product", "python", "node")
    }
    days = sorted({seen["day"] for seen in found.values()})
    text = Path(__file__).with_name("hosts.md").read_text("utf-8")
    return text.format(
        **made,
        days=days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
        table=table,
        remarks="".join(["## What did not work\n\n", *remarks, "\n"]) if remarks else "",
    )


def _cells(client: Client, transport: str, seen: Seen) -> list[str]:
    head = [client.name, seen.get("version", client.version), transport]
    if why := seen.get("not_run"):
        return [*head, f"not run: {why}", *[""] * 5]
    tools = [f"{seen[what]} of {seen['calls']}" for what in ("listed", "answered")]
    others = [str(seen[what] or "-") for what in ("resources", "prompts")]
    return [*head, *tools, *others, seen["dialog"], seen["shown"]]


def _remarks(client: Client, transport: str, seen: Seen) -> Iterator[str]:
    """The faults of a run."""
    if failed := seen.get("failed"):
        yield f"- {client.name} over {transport}: no right answer of {', '.join(failed)}.\n"
    if seen.get("config_taken") is False:
        yield f"- {client.name} over {transport}: it did not take what `sutro-mcp config` prints.\n"
    if not seen.get("ended", True):
        yield f"- {client.name} over {transport}: it ended with an error.\n"
