"""Plain httpx and polars, for what the link and the machine allow. Prints one line of JSON as `_sdk.py` does.

Arguments: the operation, a job id, the artifact's file.
"""

import json
import os
import sys
import tempfile

import httpx
import polars as pl
from _usage import measured


def download(job: str, _: str) -> None:
    """The artifact to disk."""
    headers = {"Authorization": f"Key {os.environ['SUTRO_API_KEY']}"}
    with httpx.Client(timeout=600) as client, tempfile.TemporaryFile() as file:
        found = client.get(
            f"{os.environ['SUTRO_API_URL']}/jobs/{job}/results-url?format=parquet", headers=headers
        )
        with client.stream("GET", found.json()["urls"]["get"]) as response:
            for data in response.iter_raw():
                file.write(data)


def decode(_: str, path: str) -> None:
    """Every cell decoded and looked at once, as a stream."""
    pl.scan_parquet(path).select(pl.all().null_count()).collect(engine="streaming")


def main() -> None:
    operation, job, path = sys.argv[1:]
    print(json.dumps(measured(lambda: globals()[operation](job, path))))


main()
