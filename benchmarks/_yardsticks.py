"""Plain httpx, polars and DuckDB, for what the link and the machine allow. Prints one line as `_sdk.py` does.

Arguments: the operation, a job id, the artifact's file and, for a question, SQL over `r`.
"""

import json
import os
import sys
import tempfile

import duckdb
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


def question(_: str, path: str, sql: str) -> None:
    """DuckDB as it comes, over the outputs that are JSON."""
    connection = duckdb.connect()
    connection.read_parquet(path).project(
        "CASE WHEN json_valid(outputs) THEN outputs END AS outputs"
    ).create_view("r")
    connection.execute(sql).fetchall()


def describe(_: str, path: str) -> None:
    """All fields as columns, and what polars says of them; broken objects have to be left out."""
    outputs = pl.read_parquet(path).get_column("outputs")
    objects = outputs.filter(outputs.str.json_path_match("$").is_not_null())
    dtype = objects.head(1_000).str.json_decode(infer_schema_length=None).dtype
    objects.str.json_decode(dtype).struct.unnest().describe()


def main() -> None:
    operation, job, *arguments = sys.argv[1:]
    print(json.dumps(measured(lambda: globals()[operation](job, *arguments))))


main()
