"""Results on the command line: summed up, in rows, asked, compared and written into files."""

import json
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator

from .support import loaded, run, shown

pytestmark = pytest.mark.smoke


@pytest.fixture
def two_runs(sutro: Emulator) -> tuple[str, str]:
    """A job and the run after it, three rows each."""
    before = [{"label": "good", "score": 1}, {"label": "bad", "score": 2}, {"label": "bad", "score": 3}]
    after = [{"label": "good", "score": 1}, {"label": "good", "score": 2}, {"label": "bad", "score": 5}]
    first, second = (
        sutro.add_job(inputs=["a", "b", "c"], outputs=[json.dumps(row) for row in rows], name=name)
        for rows, name in ((before, "before"), (after, "after"))
    )
    return first, second


def test_results_are_summed_up(sutro_env: dict[str, str], two_runs: tuple[str, str]) -> None:
    """In a table, and as the same record that the library returns."""
    assert shown(sutro_env, "results", two_runs[0]) == snapshot("""\
3 rows. Outputs: JSON objects.
column  type     values  nulls  distinct  of which
label   text          3      0         2  bad 66.7%, and 1 more
score   integer       3      0         3  1 to 3, median 2, mean 2

Samples:
row  why       output
  0  first     {"label": "good", "score": 1}
  1  shortest  {"label": "bad", "score": 2}
  2  spread    {"label": "bad", "score": 3}
""")
    assert loaded(sutro_env, "results", two_runs[0])["row_count"] == 3


def test_truth_values_are_spelt_as_in_json(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """In a summary as in rows."""
    job = sutro.add_job(outputs=['{"ok": true}', '{"ok": false}'] * 2)
    assert "true 50.0%" in shown(sutro_env, "results", job)


def test_rows_come_as_a_table_or_below_one_another(
    sutro_env: dict[str, str], two_runs: tuple[str, str]
) -> None:
    """Where a table would be too narrow to read."""
    rows = ("results", two_runs[0], "--offset", "1", "--limit", "1")
    assert shown(sutro_env, *rows) == snapshot("""\
Rows 1 to 1 of 3. The next: --offset 2.
row  label  score
  1  bad        2
""")
    assert shown(sutro_env, *rows, "--inputs", COLUMNS="20") == snapshot("""\
Rows 1 to 1 of 3. The next: --offset 2.
row     1
inputs  b
label   bad
score   2
""")
    assert loaded(sutro_env, "results", two_runs[0], "--columns", "label")["rows"] == [
        ["good"],
        ["bad"],
        ["bad"],
    ]
    assert loaded(sutro_env, "results", two_runs[0], "--columns", "label", "--inputs")["columns"] == [
        "label",
        "inputs",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="SQL needs a process without rights")
def test_results_are_queried_and_compared(
    sutro: Emulator, sutro_env: dict[str, str], two_runs: tuple[str, str]
) -> None:
    """By the same engine that answers an assistant."""
    first, second = two_runs
    sql = "SELECT label, sum(score) AS total FROM results GROUP BY label ORDER BY label"
    assert shown(sutro_env, "results", first, "--sql", sql) == snapshot("""\
2 rows.
label  total
bad        5
good       1
""")
    assert shown(sutro_env, "results", first, "--compare", second) == snapshot("""\
3 rows compared, 2 changed.
run     rows  only_here
before     3          0
after      3          0

Fields that changed:
field  type     rows  agree  agree_share  moves  mean_difference  sd_difference
label  VARCHAR     3      2       0.6666      1
score  BIGINT      3      2       0.6666      1         0.666667         1.1547

Most frequent changes:
field  before  after  rows  first_row
label  bad     good      1          1
score  3       5         1          2

First changed rows:
row  field  before  after
  1  label  bad     good
  2  score  3       5
""")
    joined = "SELECT count(*) AS same FROM results JOIN old USING (row) WHERE results.label = old.label"
    assert shown(sutro_env, "results", second, "--sql", joined, "--with-job", f"old={first}") == snapshot("""\
1 row.
same
   2
""")
    other = sutro.add_job(inputs=["x", "y"], outputs=['{"label": "bad"}'] * 2)
    apart = shown(sutro_env, "results", first, "--compare", other, "--by", "inputs")
    assert apart.startswith("0 rows compared, 0 changed. No input occurs in both runs.\n")
    assert "No input" not in shown(sutro_env, "results", first, "--compare", second, "--by", "inputs")
    refused = run(sutro_env, "results", first, "--sql", "SELECT nothing")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.replace(first, "JOB") == snapshot(
        'Cannot query the results of JOB: there is no column "nothing". The columns of results are "row" '
        'BIGINT, "label" VARCHAR, "score" BIGINT, "inference_result" VARCHAR.\n'
    )


def test_results_are_exported_where_the_user_says(
    sutro_env: dict[str, str], two_runs: tuple[str, str], tmp_path: Path
) -> None:
    """A file that is there is kept unless it is to be replaced."""
    folder = tmp_path / "mine"
    folder.mkdir(0o700)
    export = ("results", two_runs[0], "--export", str(folder / "rows.csv"))
    assert shown(sutro_env, *export).replace(str(folder), "FOLDER") == snapshot(
        "Wrote 3 rows, 45 bytes of csv: FOLDER/rows.csv\n"
    )
    assert (folder / "rows.csv").read_text("utf-8").startswith('"label","score"')
    again = run(sutro_env, *export)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.replace(str(folder), "FOLDER") == snapshot(
        'Cannot write "rows.csv": a file of that name exists. '
        "Choose another name, or use --overwrite to replace it.\n"
    )
    assert run(sutro_env, *export, "--overwrite").returncode == 0
    if sys.platform == "linux":
        sql = "SELECT score AS points FROM results WHERE label = 'bad'"
        assert run(sutro_env, *export, "--sql", sql, "--overwrite").returncode == 0
        assert (folder / "rows.csv").read_text("utf-8").split() == ['"points"', "2", "3"]
        sql = "SELECT later.score FROM results JOIN later USING (row) WHERE later.score <> results.score"
        joined = (*export, "--sql", sql, "--with-job", f"later={two_runs[1]}", "--overwrite")
        assert run(sutro_env, *joined).returncode == 0
        assert (folder / "rows.csv").read_text("utf-8").split() == ['"score"', "5"]
