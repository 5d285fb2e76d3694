"""The table of requests: what may be sent, repeated and read, stated again so that a change is on purpose."""

from sutro_mcp.api.routes import MAY_CANCEL, TABLE

MIB = 1024 * 1024
SMALL, LARGE = 8 * MIB, 8192 * MIB

# Method, path, whether it may be sent again, whether it may take minutes, and how many bytes are read.
DECIDED = {
    ("GET", "/list-jobs", True, False, 64 * MIB),
    ("GET", "/jobs/{job_id}", True, False, SMALL),
    ("GET", "/job-status/{job_id}", True, False, SMALL),
    ("GET", "/job-cancel/{job_id}", False, False, SMALL),
    ("POST", "/job-cancel/{job_id}", False, False, SMALL),
    ("GET", "/jobs/{job_id}/results-url", True, True, SMALL),
    ("GET", "/jobs/{job_id}/results", True, True, LARGE),
    ("POST", "/job-results", True, True, LARGE),
    ("GET", "/stream-job-progress/{job_id}", True, True, SMALL),
    ("GET", "/auth/check", True, False, SMALL),
    ("GET", "/try-authentication", True, False, SMALL),
    ("GET", "/get-quotas", True, False, SMALL),
}


def test_every_request_is_one_that_was_decided_on() -> None:
    """And two of them cancel."""
    assert {(each.method, each.path, each.retried, each.slow, each.cap) for each in TABLE} == DECIDED
    assert len(TABLE) == len(DECIDED)
    assert {each for each in TABLE if "cancel" in each.path} == MAY_CANCEL


def test_not_found_can_mean_a_job_where_one_is_named() -> None:
    """In the path or, for one of them, in the body."""
    others = {each.path for each in TABLE if not each.about_job}
    assert others == {"/list-jobs", "/auth/check", "/try-authentication", "/get-quotas"}
