"""Variants of the API: the side that the emulator takes where sources of the contract disagree.

One field per switch of `sutro-api.md` §12 (the number is in the comment) and one per capability an older
deployment lacks. Data only: no behaviour may be decided here, so that a profile is one readable literal.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ApiVariant:
    """The defaults are today's deployments, as the official SDK needs them."""

    status_shape: Literal["map", "string"] = "map"  # C1
    status_case: Literal["upper", "lower"] = "upper"  # C2
    queued_word: Literal["QUEUED", "PENDING", "SUBMITTED"] = "QUEUED"  # C3
    cancel_methods: Literal["both", "get", "post"] = "both"  # C6
    cancel_terminal: Literal["accept", "refuse", "flip"] = "accept"  # C7
    cancel_missing: Literal["404", "body"] = "404"  # C8
    error_key: Literal["detail", "message"] = "detail"  # C9, and every other error
    format_query: Literal["either", "format", "result_format"] = "either"  # C10
    results_payload: Literal["object", "list"] = "object"  # C11
    parquet_codec: Literal["snappy", "zstd"] = "snappy"  # C13
    csv_column: Literal["job_id", "outputs"] = "job_id"  # C14
    reasoning_content: Literal["object", "string"] = "object"  # C15
    created_null: bool = False  # C16: datetime_created is null on every job
    failure_place: Literal["nested", "siblings"] = "nested"  # C17
    fine_metadata: Literal["null", "object"] = "null"  # C18
    submit_response: Literal["results", "job_id"] = "results"  # C19
    auth_routes: Literal["both", "auth/check", "try-authentication"] = "both"  # C21
    job_keys: Literal["new", "old"] = "new"  # C22
    central_gone: bool = False  # C25: every API answer is the 410 that explains the move
    default_model: str = "gpt-oss-20b"  # C27
    results_lag: int = 0  # C28: how many reads of the results still get 409 after SUCCEEDED
    run_type: bool = True  # C29

    results_url: bool = True
    get_results: bool = True
    post_results: bool = True
    store_ranges: bool = True
    store_etag: bool = True
    prefix: Literal["both", "v1", "root"] = "both"
    paginated: bool = True  # False: `limit` is ignored and everything returned

    cancelling_reads: int | None = 1  # reads that still show CANCELLING after a cancel; None: for ever
    expired_status: Literal[404, 410] = 404  # results past their retention (§7.5 leaves the code open)
    unready_status: Literal[400, 404, 409] = 409  # results before SUCCEEDED on the two older routes (§14)


LEGACY = ApiVariant(
    status_shape="string",
    status_case="lower",
    queued_word="PENDING",
    cancel_methods="post",
    cancel_terminal="refuse",
    cancel_missing="body",
    error_key="message",
    format_query="result_format",
    parquet_codec="zstd",
    failure_place="siblings",
    fine_metadata="object",
    auth_routes="try-authentication",
)
"""The older documentation taken at its word (§13, "legacy docs")."""
