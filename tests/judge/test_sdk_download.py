"""The official SDK downloads the emulator's artifacts, through every interruption it knows."""

import random
from pathlib import Path

import polars
from polars.testing import assert_frame_equal

from sutro_mcp.emulator import ApiVariant, Emulator, Fault, SeenRequest

from .conftest import OpenEmulator, SdkOf
from .sdk import Sdk

MIB = 1024 * 1024
# The SDK writes chunks of 8 MiB, so a download must be larger than that to leave something to resume.
CUT_AT = 9 * MIB
KEPT = 8 * MIB


def add_large_job(emulator: Emulator) -> str:
    """A job with an artifact of about 12 MB, which does not compress."""
    noise = random.Random(7)
    return emulator.add_job(outputs=[noise.randbytes(MIB // 2).hex() for _ in range(12)])


def store_gets(emulator: Emulator) -> list[SeenRequest]:
    """The downloads the store has seen, in order."""
    return [seen for seen in emulator.requests if seen.origin == "store" and seen.method == "GET"]


def test_the_sdk_gets_download_addresses(emulator: Emulator, sdk: Sdk) -> None:
    """The question comes back, with an artifact and an address for each method."""
    job_id = emulator.add_job(outputs=["a"], inputs=["i"])
    payload = sdk.call(
        "results_download_url", job_id=job_id, include_inputs=True, expires_in_seconds=60
    ).value
    assert (payload["job_id"], payload["format"], payload["expires_in_seconds"]) == (job_id, "parquet", 60)
    assert (payload["include_inputs"], payload["include_cumulative_logprobs"]) == (True, False)
    assert payload["artifact"]["filename"].endswith(".parquet")
    assert set(payload["urls"]) == {"get", "head"}
    assert all(url.startswith(emulator.store_origin) for url in payload["urls"].values())


def test_the_sdk_downloads_results_without_showing_its_key(
    emulator: Emulator, sdk: Sdk, tmp_path: Path
) -> None:
    """The file holds the wire's columns; the store sees the signature and nothing else."""
    job_id = emulator.add_job(
        inputs=["i", "j"],
        outputs=["a", None],
        cumulative_logprobs=[-0.5, -2.0],
        id_column=("ticket_id", [7, 8]),
    )

    answer = sdk.call(
        "download_job_results",
        job_id=job_id,
        output_path=f"{tmp_path}/results/",
        include_inputs=True,
        include_cumulative_logprobs=True,
    )

    expected = {
        "outputs": ["a", None],
        "inputs": ["i", "j"],
        "cumulative_logprobs": [-0.5, -2.0],
        "ticket_id": [7, 8],
    }
    assert Path(answer.value).parent == tmp_path / "results"
    assert_frame_equal(polars.read_parquet(answer.value), polars.DataFrame(expected))
    stored = [seen for seen in emulator.requests if seen.origin == "store"]
    assert [seen.method for seen in stored] == ["HEAD", "GET"]
    assert not any("authorization" in seen.headers for seen in stored)


def test_the_sdk_resumes_where_a_connection_was_cut(emulator: Emulator, sdk: Sdk, tmp_path: Path) -> None:
    """The second attempt asks for the rest alone, on condition that the artifact is the same."""
    job_id, target = add_large_job(emulator), tmp_path / "results.parquet"
    emulator.faults.add(Fault.dropped(after=CUT_AT), method="GET", origin="store")

    first = sdk.call("download_job_results", job_id=job_id, output_path=str(target))
    left = (tmp_path / "results.parquet.part").stat().st_size
    second = sdk.call("download_job_results", job_id=job_id, output_path=str(target))

    rest = store_gets(emulator)[1]
    assert (first.value, left) == (None, KEPT)
    assert "rerun to resume" in first.printed
    assert second.value == str(target)
    assert (rest.headers["range"], rest.status) == (f"bytes={KEPT}-", 206)
    assert rest.headers["if-range"] == rest.headers["if-range"].strip() != ""
    assert rest.body_bytes == target.stat().st_size - KEPT
    assert not any("authorization" in seen.headers for seen in store_gets(emulator))
    assert polars.read_parquet(target).height == 12


def test_the_sdk_starts_again_when_the_artifact_was_replaced(
    emulator: Emulator, sdk: Sdk, tmp_path: Path
) -> None:
    """Another ETag makes the partial file worthless."""
    job_id, target = add_large_job(emulator), tmp_path / "results.parquet"
    emulator.faults.add(Fault.dropped(after=CUT_AT), method="GET", origin="store")
    sdk.call("download_job_results", job_id=job_id, output_path=str(target))
    emulator.faults.add(Fault.changed_artifact(), method="HEAD", origin="store")
    answer = sdk.call("download_job_results", job_id=job_id, output_path=str(target))
    again = store_gets(emulator)[1]
    assert answer.value == str(target)
    assert "range" not in again.headers
    assert again.body_bytes == target.stat().st_size


def test_the_sdk_gets_all_of_an_artifact_that_changes_while_it_resumes(
    emulator: Emulator, sdk: Sdk, tmp_path: Path
) -> None:
    """If-Range fails, so the store sends the new artifact whole and the SDK writes it from its start."""
    job_id, target = add_large_job(emulator), tmp_path / "results.parquet"
    emulator.faults.add(Fault.dropped(after=CUT_AT), method="GET", origin="store")
    sdk.call("download_job_results", job_id=job_id, output_path=str(target))
    emulator.faults.add(Fault.changed_artifact(), method="GET", origin="store")
    answer = sdk.call("download_job_results", job_id=job_id, output_path=str(target))
    again = store_gets(emulator)[1]
    assert answer.value == str(target)
    assert (again.headers["range"], again.status) == (f"bytes={KEPT}-", 200)
    assert polars.read_parquet(target).height == 12


def test_the_sdk_starts_again_at_a_store_without_etags(
    open_emulator: OpenEmulator, sdk_of: SdkOf, tmp_path: Path
) -> None:
    """Without a validator nothing is resumed."""
    emulator = open_emulator(variant=ApiVariant(store_etag=False))
    job_id, target = add_large_job(emulator), tmp_path / "results.parquet"
    emulator.faults.add(Fault.dropped(after=CUT_AT), method="GET", origin="store")
    sdk = sdk_of(emulator)
    sdk.call("download_job_results", job_id=job_id, output_path=str(target))
    answer = sdk.call("download_job_results", job_id=job_id, output_path=str(target))
    assert answer.value == str(target)
    assert ["range" in seen.headers for seen in store_gets(emulator)] == [False, False]


def test_the_sdk_never_publishes_a_truncated_file(emulator: Emulator, sdk: Sdk, tmp_path: Path) -> None:
    """A body that ends early without an error is found out by its size."""
    job_id = emulator.add_job(outputs=["text"] * 500)
    emulator.faults.add(Fault.truncated(after=100), method="GET", origin="store")
    answer = sdk.call("download_job_results", job_id=job_id, output_path=str(tmp_path / "results.parquet"))
    assert answer.value is None
    assert "Download incomplete (100 of " in answer.printed
    assert not (tmp_path / "results.parquet").exists()


def test_the_sdk_reports_an_address_that_has_expired(emulator: Emulator, sdk: Sdk, tmp_path: Path) -> None:
    """The store's own 403."""
    job_id = emulator.add_job(outputs=["a"])
    emulator.faults.add(Fault.expired(), origin="store")
    answer = sdk.call("download_job_results", job_id=job_id, output_path=str(tmp_path / "results.parquet"))
    assert answer.value is None
    assert "Download failed with status code: 403" in answer.printed


def test_the_sdk_cannot_download_what_is_not_there_yet(emulator: Emulator, sdk: Sdk) -> None:
    """409 with the reason."""
    answer = sdk.call("download_job_results", job_id=emulator.find("catalogue-copy-refresh"))
    assert answer.value is None
    assert "Bad status code: 409" in answer.printed
