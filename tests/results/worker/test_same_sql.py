"""The same SQL gives the same answer, however busy the machine is.

An engine that starts threads when it wants them meets a process that may start none; whether it does depends
on what else runs. Seen as: refused 9 times of 20.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from sutro_mcp.results.request_models import QueryRequest, QueryRows
from sutro_mcp.results.sql.profile_file import prepare
from sutro_mcp.results.worker.supervisor import QueryRunner
from tests.results.support import objects
from tests.tries import some_of

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="SQL runs on Linux only")]

ROWS = [{"label": "ab"[n % 2], "score": n * 7 % 10 / 10} for n in range(200)]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (
            "SELECT row, RANK() OVER (ORDER BY score DESC, row) AS r FROM results LIMIT 3",
            [[7, 1], [17, 2], [27, 3]],
        ),
        (
            "SELECT row FROM results WHERE score > (SELECT AVG(score) FROM results) LIMIT 3",
            [[1], [4], [5]],
        ),
        ("SELECT label FROM results UNION SELECT label FROM results", [["a"], ["b"]]),
    ],
    ids=["window", "subquery", "union"],
)
async def test_every_call_has_one_answer(tmp_path: Path, sql: str, rows: list[list[int]]) -> None:
    """While both cores work on something else."""
    table = prepare(objects(tmp_path, *ROWS))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]  # noqa: ASYNC220
    try:
        for _ in range(some_of(70)):
            page = await QueryRunner().run({"results": table}, QueryRequest(sql=sql), QueryRows)
            assert page.rows == rows
    finally:
        for each in busy:
            each.kill()
            each.wait()
