"""The questions of docs/sql.md are answered."""

import re
import sys
import textwrap
from pathlib import Path

import pytest

from sutro_mcp.emulator import Emulator
from tests.support import talk

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = [
    textwrap.dedent(block)
    for block in re.findall(
        r"^ *```sql\n(.*?)^ *```", (ROOT / "docs/sql.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shared_worker")]


@pytest.mark.skipif(sys.platform != "linux", reason="SQL needs a sandbox that only Linux has")
async def test_each_of_the_twenty_questions_is_answered_with_rows() -> None:
    """On the demo's job that its first line names."""
    assert len(QUESTIONS) == 20
    emulator = Emulator()
    async with talk(emulator) as chat:
        for question in QUESTIONS:
            jobs, _, sql = question.removeprefix("-- ").partition("\n")
            job, *others = jobs.split(", ")
            more = [f"{alias}={emulator.find(name)}" for alias, name in (one.split("=") for one in others)]
            answer = await chat.call(
                "query_job_results",
                job_id=emulator.find(job),
                sql=sql,
                with_jobs=more,
                include_inputs="inputs" in sql,
            )
            assert answer["rows"], question
