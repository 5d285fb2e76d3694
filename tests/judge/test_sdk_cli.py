"""The `sutro` command works against the emulator."""

import csv
import subprocess

import polars

from sutro_mcp.emulator import Emulator

from .conftest import OpenEmulator, SdkOf
from .sdk import Sdk


def test_jobs_list_shows_the_newest_25_jobs(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """A table with every field of the job object as a column."""
    emulator = open_emulator(seed_jobs=False)
    ids = [emulator.add_job(name=f"job number {number}", outputs=["a"]) for number in range(30)]
    ids.insert(0, emulator.add_job(name="waiting", status="QUEUED"))
    listed = sdk_of(emulator).run("jobs", "list")
    assert (listed.exit_code, listed.raised) == (0, None)
    assert sum(job_id in listed.printed for job_id in ids) == 25
    assert all(word in listed.printed for word in ("datetime_created", "num_rows", "failure_reason", "$0.0"))


def test_jobs_list_shows_every_seed_job_when_asked_for_all(emulator: Emulator, sdk: Sdk) -> None:
    """No seed job breaks the table, whatever fields it leaves empty."""
    listed = sdk.run("jobs", "list", "--all")
    jobs = sdk.call("list_jobs").value
    assert (listed.exit_code, listed.raised) == (0, None)
    assert all(job["job_id"] in listed.printed for job in jobs)


def test_jobs_list_says_that_there_are_none(open_emulator: OpenEmulator, sdk_of: SdkOf) -> None:
    """An empty account."""
    listed = sdk_of(open_emulator(seed_jobs=False)).run("jobs", "list")
    assert listed.exit_code == 0
    assert "No jobs found." in listed.printed


def test_jobs_status_prints_the_word(emulator: Emulator, sdk: Sdk) -> None:
    """On a line of its own."""
    said = sdk.run("jobs", "status", emulator.find("catalogue-copy-refresh"))
    assert said.exit_code == 0
    assert "RUNNING" in said.printed.splitlines()


def test_jobs_results_prints_a_table(emulator: Emulator, sdk: Sdk) -> None:
    """With the columns that were asked for."""
    job_id = emulator.add_job(outputs=["first answer"], inputs=["first question"])
    said = sdk.run("jobs", "results", job_id, "--include-inputs", "--include-cumulative-logprobs")
    assert said.exit_code == 0
    for word in ("first answer", "first question", "cumulative_logprobs"):
        assert word in said.printed


def test_jobs_results_saves_parquet(emulator: Emulator, sdk: Sdk) -> None:
    """A file named after the job, in the working directory."""
    job_id = emulator.add_job(outputs=['{"label": "good"}', '{"label": "bad"}'])
    said = sdk.run("jobs", "results", job_id, "--save")
    assert f"Results saved to {job_id}.parquet" in said.printed
    assert polars.read_parquet(sdk.home / f"{job_id}.parquet")["label"].to_list() == ["good", "bad"]


def test_jobs_results_saves_csv(emulator: Emulator, sdk: Sdk) -> None:
    """The same as CSV."""
    job_id = emulator.add_job(outputs=["a, b", "c"])
    sdk.run("jobs", "results", job_id, "--save", "--save-format", "csv")
    with (sdk.home / f"{job_id}.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["inference_result"], ["a, b"], ["c"]]


def test_jobs_results_says_that_there_are_none_yet(emulator: Emulator, sdk: Sdk) -> None:
    """Exit code 0, as for every error of the API."""
    job_id = emulator.find("legal-clause-tagging")
    said = sdk.run("jobs", "results", job_id)
    assert said.exit_code == 0
    assert f"No results found for job {job_id}." in said.printed


def test_jobs_cancel_asks_for_the_end(emulator: Emulator, sdk: Sdk) -> None:
    """Success means asked."""
    job_id = emulator.find("catalogue-copy-refresh")
    said = sdk.run("jobs", "cancel", job_id)
    assert said.exit_code == 0
    assert "Job cancelled successfully." in said.printed
    assert emulator.job(job_id).status == "CANCELLING"


def test_jobs_attach_takes_the_newest_job(emulator: Emulator, sdk: Sdk) -> None:
    """The first of the list."""
    job_id = emulator.add_job(outputs=["a"])
    said = sdk.run("jobs", "attach", "--latest")
    assert f"Attaching to latest job: {job_id}" in said.printed
    assert "Job already completed." in said.printed


def test_quotas_shows_both_priorities(sdk: Sdk) -> None:
    """By position in the list."""
    said = sdk.run("quotas")
    assert said.exit_code == 0
    assert (
        "Job Priority: 1\n\tRow Quota (Maximum): 1000000\n\tToken Quota (Maximum): 10000000" in said.printed
    )


def test_the_command_works_in_a_process_of_its_own(emulator: Emulator, sdk: Sdk) -> None:
    """Once from outside, as a shell would start it."""
    command = [
        str(sdk.process.python),
        "-m",
        "sutro.cli",
        "jobs",
        "status",
        emulator.find("haiku-smoke-test"),
    ]
    done = subprocess.run(
        command, env=sdk.process.variables | sdk.variables, capture_output=True, text=True, check=True
    )
    assert "SUCCEEDED" in done.stdout
