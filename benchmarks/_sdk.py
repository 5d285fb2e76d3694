"""Code of a user of the official SDK, measured in a process of its own (the SDK's environment).

Arguments: the operation, a job id and that of a small job, which comes first, with all imports, and is not
measured. Prints one line of JSON: `{"memory", "cpu", "wall", "value"}`.
"""

import importlib
import json
import os
import sys
import tempfile
from typing import Any

import polars as pl
from _usage import measured


def first_page(client: Any, job: str) -> object:
    return client.get_job_results(job).head(20).rows()[0][0]


def deep_page(client: Any, job: str) -> object:
    frame = client.get_job_results(job)
    return frame.slice(frame.height * 7 // 10, 20).rows()[0][0]


def summary(client: Any, job: str) -> object:
    outputs = client.get_job_results(job).get_column("inference_result")
    lengths = outputs.str.len_chars()
    return [
        len(outputs),
        outputs.null_count(),
        outputs.n_unique(),
        outputs.value_counts(sort=True).head(8).rows(),
        [lengths.min(), lengths.quantile(0.25), lengths.median(), lengths.quantile(0.75), lengths.max()],
    ]


def download(client: Any, job: str) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_job_results(job, f"{folder}/results.parquet")
        return pl.scan_parquet(path).slice(0, 20).collect().rows()[0][0]


def main() -> None:
    operation, job, small = sys.argv[1:]
    # What the SDK prints must not get between.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    client: Any = importlib.import_module("sutro").Sutro()
    client.get_job_results(small)
    pl.DataFrame({"a": ["x"]}).get_column("a").value_counts()
    used = measured(lambda: globals()[operation](client, job))
    answers.write(json.dumps(used, default=str) + "\n")
    answers.flush()


main()
