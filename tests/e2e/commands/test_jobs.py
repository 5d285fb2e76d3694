"""The commands for people: real processes, a real Sutro on loopback, and a terminal where that matters."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from inline_snapshot import snapshot

from sutro_mcp.emulator import Emulator, Fault
from tests.e2e.process import INITIALIZE

from .support import DEMO_RUNNING, HOSTILE, loaded, on_terminal, run, shown

pytestmark = pytest.mark.smoke


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
