"""The commands for people: real processes, a real Sutro on loopback, and a terminal where that matters."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator, Fault

from tests.e2e.process import COMMAND, INITIALIZE

pytestmark = pytest.mark.smoke

DEMO_RUNNING = "job-55e46faa-e69f-489c-acf3-d7b9b0dbe69c"
HOSTILE = "\x1b]0;owned\x07\x1b[31mred\u202egnp\x9b2J\nsutro-mcp: done"


def run(env: Mapping[str, str], *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`sutro-mcp …` without a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**env, "COLUMNS": "120", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def shown(env: Mapping[str, str], *arguments: str, **more: str) -> str:
    """What a successful command prints."""
    done = run(env, *arguments, **more)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def loaded(env: Mapping[str, str], *arguments: str) -> Any:
    """The JSON of a successful command."""
    return json.loads(shown(env, *arguments, "--json"))


def on_terminal(
    env: Mapping[str, str], typed: str, *arguments: str, interrupted_at: str = ""
) -> tuple[int, str]:
    """The exit code, and all that a terminal of 100 columns gets while somebody types.

    Once `interrupted_at` is shown, Ctrl-C is pressed: the command and its children get SIGINT.
    """
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    terminal = {**env, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=terminal,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        os.write(mine, typed.encode())
        got = b""
        try:
            while part := os.read(mine, 65536):
                got += part
                if interrupted_at and interrupted_at in got.decode(errors="ignore"):
                    os.killpg(process.pid, signal.SIGINT)
                    interrupted_at = ""
        except OSError:
            pass  # as Linux says that nobody holds the other side
        os.close(mine)
        return process.wait(60), got.decode()


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


def test_jobs_are_listed_newest_first(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """As wide as the terminal allows; one status alone; and the same for a program."""
    done = run(sutro_env, "jobs", "--status", "failed", "--limit", "2")
    assert re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d", "<created>", done.stdout) == snapshot("""\
job_id                                    status  name                 rows  created (UTC)     cost (USD)
job-d8e584d8-762a-4a0b-b91a-50487b298e1f  FAILED  pii-redaction-pilot   400  <created>           0
job-061f8ca4-1001-4215-9ae3-9377c91ef401  FAILED  contract-summaries    800  <created>    0.010326
""")
    assert done.stderr == snapshot("There are more: use --limit 4.\n")
    narrow = run(sutro_env, "jobs", "--status", "failed", "--limit", "2", COLUMNS="80")
    assert narrow.stdout == snapshot("""\
job_id                                    status  name                 rows
job-d8e584d8-762a-4a0b-b91a-50487b298e1f  FAILED  pii-redaction-pilot   400
job-061f8ca4-1001-4215-9ae3-9377c91ef401  FAILED  contract-summaries    800
""")
    assert narrow.stderr == snapshot("""\
A wider terminal also shows when they were created and what they cost.
There are more: use --limit 4.
""")
    for sort, column in (("cost", "cost (USD)"), ("runtime", "run time (s)"), ("rows", "rows")):
        for columns in ("80", "120"):
            text = run(sutro_env, "jobs", "--sort", sort, "--limit", "3", COLUMNS=columns).stdout
            head, *rows = text.splitlines()
            assert (column in head, len(rows)) == (True, 3)
    listed = loaded(sutro_env, "jobs", "--status", "failed", "--limit", "9")
    assert {job["status"] for job in listed} == {"FAILED"}
    of_two = loaded(sutro_env, "jobs", "--status", "failed", "--status", "running")
    assert {job["status"] for job in of_two} == {"FAILED", "RUNNING"}


def test_jobs_are_searched_sorted_and_added_up(sutro_env: dict[str, str]) -> None:
    """As the tools do it, by the same code."""
    found = loaded(sutro_env, "jobs", "--search", "EMAIL", "--sort", "cost", "--created-after", "60d")
    assert len(found) > 5
    assert all("email" in f"{job['name']} {job.get('description')}".lower() for job in found)
    costs = [job.get("job_cost", -1.0) for job in found]
    assert costs == sorted(costs, reverse=True)
    asked = ("--model", "gpt-oss-20b", "--status", "succeeded", "--status", "failed")
    assert shown(sutro_env, "totals", *asked, COLUMNS="80").partition("\n")[2] == snapshot("""\
status     jobs  failed   rows  tokens in  tokens out       USD  no cost
SUCCEEDED     7       0  1,153     71,606      30,890  0.007807
FAILED        1       1     25          0           0         0
total         8       1  1,178     71,606      30,890  0.007807
""")
    totals = loaded(sutro_env, "totals", "--by", "model", "--search", "email")
    assert totals["total"]["jobs"] == len(loaded(sutro_env, "jobs", "--search", "email", "--limit", "99"))
    none = run(sutro_env, "jobs", "--search", "no such job")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "No job is like that.\n")


def test_a_wait_ends_with_the_job_and_tells_how(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """By its exit code: a script goes on only after a success."""
    waited = {
        name: run(sutro_env, "wait", sutro.find(name)) for name in ("contract-summaries", "haiku-smoke-test")
    }
    assert {name: done.returncode for name, done in waited.items()} == {
        "contract-summaries": 1,
        "haiku-smoke-test": 0,
    }
    failed = sutro.find("contract-summaries")
    assert waited["contract-summaries"].stdout.replace(failed, "JOB") == snapshot(
        'JOB is FAILED: "Worker lost while processing rows; the retry limit was reached."\n'
    )
    assert loaded(sutro_env, "wait", sutro.find("haiku-smoke-test"))["status"] == "SUCCEEDED"
    running = sutro.add_job(status="RUNNING", num_rows=8)
    done = run(sutro_env, "wait", running, "--timeout", "0", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (1, "deadline_exceeded")
    assert done.stderr.startswith(f"{running} has not ended after 0 seconds: it was RUNNING. ")


def test_one_job_is_shown_with_its_failure(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """Everything that is known of it."""
    text = shown(sutro_env, "job", sutro.find("contract-summaries"))
    assert re.sub(r"20\d\d-\d\d-\d\d [\d:]+", "<time>", text) == snapshot("""\
job_id               job-061f8ca4-1001-4215-9ae3-9377c91ef401
name                 contract-summaries
description          One-minute summaries for the deal desk
status               FAILED
failure              Worker lost while processing rows; the retry limit was reached.
                     worker=w-07 attempt=3 last_row=496
model                llama-3.3-70b
priority             0
created              <time> UTC
started              <time> UTC
completed            <time> UTC
rows                 800
input tokens         29,929
output tokens        7,234
cost (USD)           0.010326
cost estimate (USD)  0.018133
results              none: they exist once a job has SUCCEEDED
system prompt        Tag the clause and flag it if a lawyer should look at it.
""")


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


def test_text_of_others_never_reaches_the_terminal_raw(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """Neither an escape sequence, nor one that reorders a line, nor a line of its own."""
    job = sutro.add_job(name=HOSTILE, outputs=[HOSTILE], inputs=[HOSTILE])
    seen = [
        run(sutro_env, *command).stdout
        for command in (
            ("jobs", "--limit", "1"),
            ("jobs", "--limit", "1", "--json"),
            ("job", job),
            ("job", job, "--json"),
            ("results", job, "--rows", "--inputs"),
            ("results", job, "--rows", "--inputs", "--json"),
            ("results", job),
        )
    ]
    for text in seen:
        assert "owned" in text
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "\nsutro-mcp: done" not in text
    assert json.loads(seen[1])[0]["name"] == HOSTILE


def test_a_person_is_asked_before_a_job_is_stopped(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """On a terminal; anything but yes sends nothing, and without a terminal it takes --yes."""
    job = sutro.add_job(status="RUNNING", name=HOSTILE, num_rows=8)
    refused = run(sutro_env, "cancel", job)
    assert (refused.returncode, refused.stdout, refused.stderr) == (
        2,
        "",
        snapshot("sutro-mcp: there is no terminal to ask on: pass --yes to cancel without a question\n"),
    )
    code, text = on_terminal(sutro_env, "y\n", "cancel", job)
    assert (code, "Nothing was sent." in text) == (1, True)
    code, text = on_terminal(sutro_env, "no\n", "cancel", job)
    assert code == 1
    assert text.replace(job, "JOB").replace("\r", "") == snapshot("""\
no
"\\u{1B}]0;owned\\u{7}\\u{1B}[31mred\\u{202E}gnp\\u{9B}2J sutro-mcp: done" (JOB) is RUNNING, with 8 rows.
Stopping it cannot be undone: a cancelled job has no results, and rows that are done may still be billed.
Type "yes" to stop it:
Cannot cancel JOB: the answer was not yes. Nothing was sent.
""")
    assert not any(request.method == "POST" or "cancel" in request.path for request in sutro.requests)
    code, text = on_terminal(sutro_env, "yes\n", "cancel", job)
    assert code == 0
    assert "Cancellation is requested" in text or "It is cancelled" in text
    other = sutro.add_job(status="RUNNING")
    assert loaded(sutro_env, "cancel", other, "--yes")["outcome"] in ("requested", "confirmed")
    ended = sutro.add_job(status="FAILED")
    done = run(sutro_env, "cancel", ended, "--yes")
    assert (done.returncode, done.stdout, done.stderr.replace(ended, "JOB")) == (
        1,
        "",
        snapshot("Cannot cancel JOB: it has already ended as FAILED. Nothing was sent.\n"),
    )
    forbidden = run(sutro_env, "cancel", other, "--yes", SUTRO_MCP_READ_ONLY="1")
    assert (forbidden.returncode, forbidden.stderr.replace(other, "JOB")) == (
        1,
        snapshot(
            'Cannot cancel "JOB": SUTRO_MCP_READ_ONLY or SUTRO_MCP_CANCEL forbids it. '
            "Unset them if jobs may be cancelled from here.\n"
        ),
    )


def test_ctrl_c_at_the_question_ends_the_command() -> None:
    """At once and in words, also where an emulator runs beside it."""
    question = 'Type "yes" to stop it:'
    code, text = on_terminal(os.environ, "", "cancel", "--demo", DEMO_RUNNING, interrupted_at=question)
    assert (code, text.partition(question)[2].split()) == (
        130,
        [f"{DEMO_RUNNING}:", "Nothing", "was", "sent."],
    )


def test_colours_are_for_a_terminal_that_wants_them(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """`NO_COLOR` is obeyed, and a pipe never gets any."""
    jobs = ("jobs", "--status", "FAILED", "--limit", "1")
    assert "\x1b[31mFAILED" in on_terminal(sutro_env, "", *jobs)[1]
    assert "\x1b[31m" not in on_terminal({**sutro_env, "NO_COLOR": "1"}, "", *jobs)[1]
    assert "\x1b" not in run(sutro_env, *jobs).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("results", "job-1", "--sql", "SELECT 1", "--rows"),
        ("results", "job-1", "--sql", "SELECT 1", "--by", "id"),
        ("results", "job-1", "--compare", "job-2", "--inputs"),
        ("results", "job-1", "--limit", "0"),
        ("results", "job-1", "--export", "rows.xlsx"),
        ("results", "job-1", "--no-unpack-json", "--sql", "SELECT 1", "--export", "rows.csv"),
        ("results", "job-1", "--sql", "SELECT 1", "--with-job", "results=job-2"),
        ("results", "job-1", "--sql", "SELECT 1", "--with-job", "a=job-2", "--with-job", "a=job-3"),
        ("results", "job-1", "--export", "rows.csv", "--with-job", "a=job-2"),
        ("results", "job-1", "--export", "rows.csv", "--sql", ""),
        ("results", "job-1", "--wat"),
        ("results",),
        ("wait", "job-1", "--timeout", "nan"),
        ("jobs", "--created-after", "yesterday"),
        ("totals", "--status", "GONE"),
        ("completion", "tcsh"),
        ("serve", "--port", "x"),
        ("token", "list"),
        ("token", "add", "ann", "--file", "tokens.json", "--expires", "soon"),
    ],
)
def test_a_mistake_in_the_arguments_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    """Before anything is asked of anybody: there is no key here."""
    done = run(os.environ, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "sutro-mcp" in done.stderr
    for_a_program = run(os.environ, *arguments, "--json")
    assert for_a_program.returncode == 2
    assert json.loads(for_a_program.stdout)["error"]["kind"] == "usage"


def test_a_failure_is_exit_code_1_and_names_the_command_to_try(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """Not the tool, which a person cannot call."""
    running = sutro.add_job(status="RUNNING")
    done = run(sutro_env, "results", running)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.replace(running, "JOB") == snapshot(
        "Cannot read the results of JOB: the job has not finished, its status is RUNNING (3 rows). "
        "Run `sutro-mcp wait ID` to follow it.\n"
    )
    done = run(sutro_env, "results", running, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout.replace(running, "JOB")) == snapshot(
        {
            "error": {
                "message": "Cannot read the results of JOB: "
                "the job has not finished, its status is RUNNING (3 rows).",
                "hint": "Run `sutro-mcp wait ID` to follow it.",
                "kind": "results_not_ready",
            }
        }
    )


def test_a_retry_that_helps_is_not_told(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """The line of a log is for those who run a server."""
    sutro.faults.add(Fault.html(502))
    assert loaded(sutro_env, "jobs", "--limit", "99")


def test_demo_jobs_need_no_key() -> None:
    """The same list, from an emulator that ends with the command."""
    assert loaded(os.environ, "check", "--demo")["demo"] is True
    assert loaded(os.environ, "jobs", "--demo", "--limit", "99")[0]["name"] == "legal-clause-tagging"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_ids(sutro: Emulator, sutro_env: dict[str, str]) -> None:
    """Of the jobs that the command is about; in silence where there is no key."""
    script = (
        'eval "$1"; COMP_LINE=$2 COMP_POINT=${#2} _python_argcomplete "$3"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = shutil.which("sutro-mcp", path=str(Path(sys.executable).parent)) or "sutro-mcp"

    def completed(line: str, env: Mapping[str, str]) -> set[str]:
        source = shown(env, "completion", "bash")
        call = ["bash", "-c", script, "bash", source, line, command]
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert completed("sutro-mcp co", sutro_env) == {"completion", "config"}
    assert completed("sutro-mcp results --co", sutro_env) == {"--columns", "--compare"}
    failed, running = sutro.add_job(status="FAILED"), sutro.add_job(status="RUNNING")
    ids = completed("sutro-mcp cancel job-", sutro_env)
    assert running in ids
    assert failed not in ids
    assert completed("sutro-mcp job job-", dict(os.environ)) == set()


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_commands_options_and_ids() -> None:
    """Those of the demo as well, which need no key."""
    lines = ("sutro-mcp comp", "sutro-mcp results --co", "sutro-mcp cancel --demo job-55")
    script = "sutro-mcp completion fish | source; " + "; ".join(f"complete -C '{line}'" for line in lines)
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=_with_command_on_path(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    completed = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert (completed, done.stderr) == (["completion", "--columns", "--compare", DEMO_RUNNING], "")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_completes_commands_and_ids() -> None:
    """At a prompt of its own: what Tab makes of the line is run."""
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    typed = [
        "sutro-mcp compl\tfi\t\n",
        "sutro-mcp job --demo --json job-55\t\n",
        "exit\n",
    ]
    # In two parts, so that the prompt is not seen where it is set.
    start = 'PROMPT="rea""dy"; autoload -U compinit; compinit -D -u; eval "$(sutro-mcp completion zsh)"\n'
    env = _with_command_on_path() | {"TERM": "dumb", "COLUMNS": "120"}
    got, seen = "", 0
    with subprocess.Popen(
        ["zsh", "-f", "-i"], env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ):
        os.close(theirs)
        os.write(mine, start.encode())
        try:
            while part := os.read(mine, 65536):
                got += part.decode(errors="replace")
                if typed and "ready" in got[seen:]:
                    os.write(mine, typed.pop(0).encode())
                    seen = len(got)
        except OSError:
            pass  # as Linux says that nobody holds the other side
        os.close(mine)
    assert "function __fish_sutro-mcp_complete" in got
    assert f'"job_id": "{DEMO_RUNNING}"' in got


def _with_command_on_path() -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str) -> None:
    """Without a key, and without a line that another shell would need."""
    script = shown(os.environ, "completion", shell)
    assert "sutro-mcp" in script
    assert script.startswith("#compdef") == (shell == "zsh")


def test_a_server_imports_nothing_of_the_commands_for_people(
    sutro: Emulator, sutro_env: dict[str, str]
) -> None:
    """Not even what the SDK and httpx would take where they find it: it is half of a start."""
    messages: tuple[dict[str, Any], ...] = (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_jobs", "arguments": {}}},
    )
    command = [sys.executable, "-X", "importtime", "-m", "sutro_mcp", "serve"]
    with subprocess.Popen(
        command, env=sutro_env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        for message in messages:
            server.stdin.write(json.dumps(message).encode() + b"\n")
        server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in range(2)]
        server.stdin.close()
        imported = set(re.findall(r"\| +([\w.]+)$", server.stderr.read().decode(), re.MULTILINE))
    assert not answers[1]["result"].get("isError")
    assert "httpx" in imported
    unwanted = ("rich", "pygments", "markdown_it", "argcomplete", "httpx._main", "sutro_mcp.library")
    # Those two were looked for, and kept away.
    assert {name for name in imported if name.startswith(unwanted)} == {"httpx._main", "rich.console"}
