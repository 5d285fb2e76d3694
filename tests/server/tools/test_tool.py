"""Declaring a tool, as CONTRIBUTING shows it."""

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from mcp import Client

from sutro_mcp.server.tools import CATALOGUE
from sutro_mcp.server.tools.offered_tool import Tool
from sutro_mcp.settings import Settings
from tests.support import Era, Talk, server_for

from .accounts import three_jobs

pytestmark = pytest.mark.anyio

GUIDE = Path(__file__).parents[3] / "CONTRIBUTING.md"


async def test_the_tool_in_the_guide_works(era: Era) -> None:
    """It is listed with its hints, and answers."""
    (code,) = re.findall(r" *```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    module: dict[str, Any] = {"__name__": "guide"}
    exec(dedent(code), module)  # noqa: S102 - our own words
    tool = module["get_job_cost"]
    assert isinstance(tool, Tool)
    emulator = three_jobs()
    server = server_for(emulator)
    server.add_tool(tool.function, title=tool.title, annotations=tool.annotations)
    async with Client(server, mode=era) as client:
        assert tool.name in [listed.name for listed in (await client.list_tools()).tools]
        assert await Talk(client, emulator).text("get_job_cost", job_id="job-a") == (
            "job_id: job-a\ncost_usd: 0.000012\n<data>\nname: Labels, first\n</data>"
        )


@pytest.mark.parametrize(
    ("settings", "absent"),
    [
        (Settings(), set[str]()),
        (Settings(cancel="off"), {"cancel_job"}),
        (Settings(read_only=True), {"cancel_job", "export_job_results"}),
        (Settings(transport="http"), {"export_job_results"}),
    ],
)
def test_the_settings_say_which_tools_are_served(settings: Settings, absent: set[str]) -> None:
    """Readers have no tool that changes something; a file is written on the user's own computer only."""
    assert {tool.name for tool in CATALOGUE if tool.description_for(settings) is None} == absent
