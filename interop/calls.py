"""The calls that every client makes over the demo jobs, one for each tool, and how answers are known."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sutro_mcp.emulator import Emulator

LOCAL_ONLY = "export_job_results"  # served over stdio only: it writes on the user's computer


@dataclass(frozen=True)
class Call:
    """A call, and what stands in its answer in both channels and in no error."""

    tool: str
    arguments: dict[str, Any]
    mark: str


def script(transport: str) -> list[Call]:
    """The calls over a transport, cancel_job soon: the job that it stops is running only for a while."""
    demo = Emulator()
    job = {"job_id": demo.find("haiku-smoke-test")}
    runs = demo.find("crm-dedupe"), demo.find("crm-dedupe-v3")
    calls = [
        Call("list_jobs", {"limit": 10}, "haiku-smoke-test"),
        Call("cancel_job", {"job_id": demo.find("catalogue-copy-refresh")}, "catalogue-copy-refresh"),
        Call("summarize_jobs", {"group_by": "model"}, "gpt-oss-120b"),
        Call("get_job", job, "Is everything up?"),
        Call("get_job_status", job, "SUCCEEDED"),
        Call("wait_for_job", {**job, "timeout_seconds": 1}, "SUCCEEDED"),
        Call("get_job_results", job, "inference_result"),
        Call("query_job_results", {**job, "sql": "SELECT count(*) * 7919 AS n FROM results"}, "79190"),
        Call("compare_job_results", {"job_id": runs[0], "other_job_id": runs[1]}, "agree"),
        Call(LOCAL_ONLY, {**job, "file_name": "interop.csv"}, "interop.csv"),
    ]
    return [call for call in calls if transport == "stdio" or call.tool != LOCAL_ONLY]


def answered(calls: Sequence[Call], shown: Sequence[str]) -> list[str]:
    """The tools whose answer was the right one."""
    return [call.tool for call, text in zip(calls, shown, strict=False) if call.mark in text]


def channels(shown: Sequence[str]) -> str:
    """The channels that the first answer, a table of jobs, came in."""
    text = shown[0] if shown else ""
    found = {
        # A table begins with this fence in the text, and with the names of its columns in structured content.
        "text": "<data " in text or "\\u003cdata " in text,
        "structured": bool(re.search(r"""['"]columns\\*['"]:""", text)),
    }
    return " and ".join(name for name, is_there in found.items() if is_there) or "nothing"


def dialog(shown: Sequence[str]) -> str:
    """The outcome of the question whether to cancel, which is the second call."""
    text = shown[1] if len(shown) > 1 else ""
    if "asked in the host and agreed" in text:
        return "yes"
    if "did not show the question" in text:
        return "offered, not shown"
    return "no" if "This is a preview" in text else "?"
