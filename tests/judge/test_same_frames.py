"""The same call gives the same frame through the official SDK and through our library.

The SDK knows one route to results, ours three; the frame must be the same on each. The order of the fields
inside a nested value is left out of the comparison: polars, in both its versions, draws it by lot where the
rows have different fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars
import pytest

from sutro_mcp import SutroClient
from sutro_mcp.emulator import DEMO_KEY, ApiVariant, Emulator, serve_in_thread
from sutro_mcp.errors import InvalidArgumentError
from sutro_mcp.library.blocking_client import BlockingSutroClient

from .cases import EVERYTHING, JOBS, JOINED, OPTIONS, PLAIN, RAW, REFUSED, Case, pandas_frame
from .sdk import Answer, Sdk, SdkProcess
from .sdk_driver import build_frame, describe_pandas

ROUTES = {
    "results-url": ApiVariant(),
    "get-results": ApiVariant(results_url=False),
    "post-results": ApiVariant(results_url=False, get_results=False),
}


@dataclass(frozen=True)
class Official:
    """The SDK before an emulator of its own. It has one route, so no question is asked twice."""

    sdk: Sdk
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])

    def get_job_results(self, job_id: str, case: Case) -> Answer:
        """The SDK's answer."""
        question = repr((job_id, case))
        if question not in self.answers:
            frames = {} if case.original is None else {"with_original_df": case.original}
            self.answers[question] = self.sdk.call(
                "get_job_results", frames=frames, job_id=job_id, disable_cache=True, **case.options
            )
        return self.answers[question]


@dataclass(frozen=True)
class Ours:
    """Our library before an emulator with the same jobs."""

    emulator: Emulator
    job_ids: dict[str, str]
    client: BlockingSutroClient

    def get_job_results(self, job_id: str, case: Case) -> Any:
        """Our library's frame, fetched anew."""
        original = None if case.original is None else build_frame(case.original)
        return self.client.get_job_results(
            job_id, with_original_df=original, disable_cache=True, **case.options
        )


def add_jobs(emulator: Emulator) -> dict[str, str]:
    """The ids of `JOBS`, which are the same in every emulator."""
    return {name: emulator.add_job(**job) for name, job in JOBS.items()}


@pytest.fixture(scope="module")
def official(sdk_process: SdkProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Official]:
    """The SDK's side."""
    with serve_in_thread() as emulator:
        add_jobs(emulator)
        yield Official(Sdk(sdk_process, tmp_path_factory.mktemp("home"), emulator.api_origin, DEMO_KEY))


@pytest.fixture(scope="module", params=ROUTES)
def ours(request: pytest.FixtureRequest) -> Iterator[Ours]:
    """Our side, once for each route to results."""
    with (
        serve_in_thread(variant=ROUTES[request.param]) as emulator,
        SutroClient.sync(api_key=DEMO_KEY, api_url=emulator.api_origin) as client,
    ):
        yield Ours(emulator, add_jobs(emulator), client)


@pytest.mark.parametrize("case", [*PLAIN, *OPTIONS], ids=str)
def test_both_give_the_same_frame(official: Official, ours: Ours, case: Case) -> None:
    """Columns, order, dtypes and values."""
    job_id = ours.job_ids[case.job]
    assert_same_frame(ours.get_job_results(job_id, case), official.get_job_results(job_id, case).frame)


@pytest.mark.large
@pytest.mark.parametrize(
    "options", [{}, EVERYTHING, {**EVERYTHING, **RAW}], ids=["plain", "everything", "raw"]
)
def test_both_give_the_same_frame_of_every_seed_job(
    official: Official, ours: Ours, options: dict[str, Any]
) -> None:
    """All jobs with results, the one of 100,000 rows among them."""
    jobs = official.sdk.call("list_jobs").value
    gone = ours.emulator.find("old-survey-coding")
    done = [job for job in jobs if job["status"] == "SUCCEEDED" and job["cost_estimate"] is None]
    case = Case("seed", options)
    for job_id in [job["job_id"] for job in done if job["job_id"] not in {gone, *ours.job_ids.values()}]:
        theirs = official.get_job_results(job_id, case)
        assert_same_frame(ours.get_job_results(job_id, case), theirs.frame)


@pytest.mark.parametrize("case", JOINED, ids=str)
def test_both_add_the_results_to_a_frame_alike(official: Official, ours: Ours, case: Case) -> None:
    """The frame given comes back in its own kind, with its own index, and more columns."""
    job_id = ours.job_ids[case.job]
    theirs, mine = official.get_job_results(job_id, case), ours.get_job_results(job_id, case)
    if theirs.pandas is None:
        assert_same_frame(mine, theirs.frame)
    else:
        assert describe_pandas(mine) == theirs.pandas


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_both_refuse_the_same_conflicts(official: Official, ours: Ours, case: Case) -> None:
    """A ValueError there is an argument error here."""
    job_id = ours.job_ids[case.job]
    theirs = official.get_job_results(job_id, case)
    assert theirs.raised is not None
    assert theirs.raised[0] == "ValueError"
    with pytest.raises(InvalidArgumentError):
        ours.get_job_results(job_id, case)


def test_the_frame_given_is_not_changed(ours: Ours) -> None:
    """The results are added to a copy."""
    frame = build_frame(pandas_frame())
    before = describe_pandas(frame)
    ours.client.get_job_results(ours.job_ids["every column"], with_original_df=frame)
    assert describe_pandas(frame) == before


def test_we_keep_the_large_numbers_that_the_sdk_loses(official: Official, ours: Ours) -> None:
    """Its older polars reads what does not fit into 64 bits as null; the only place where values differ."""
    job_id, case = ours.job_ids["a field too large"], Case("a field too large")
    theirs = official.get_job_results(job_id, case).frame
    assert theirs is not None
    assert theirs["a"].to_list() == [None]
    assert ours.get_job_results(job_id, case)["a"].to_list() == [2**63]


def test_we_keep_the_empty_name_that_the_sdk_replaces(official: Official, ours: Ours) -> None:
    """polars makes names up for a list of columns; the SDK says of itself that it preserves names."""
    job_id, case = ours.job_ids["a field without a name"], Case("a field without a name")
    theirs = official.get_job_results(job_id, case).frame
    assert theirs is not None
    assert theirs.columns == ["column_0", "b"]
    assert_same_frame(ours.get_job_results(job_id, case), theirs.rename({"column_0": ""}))


def test_we_keep_the_text_of_objects_that_name_a_field_twice(official: Official, ours: Ours) -> None:
    """The SDK raises, and asks for the call that gives what we give."""
    job_id, case = ours.job_ids["a field twice"], Case("a field twice")
    raw = official.get_job_results(job_id, Case("a field twice", RAW)).frame
    assert official.get_job_results(job_id, case).raised is not None
    assert_same_frame(ours.get_job_results(job_id, case), raw)


def assert_same_frame(ours: polars.DataFrame, theirs: polars.DataFrame | None) -> None:
    """Equal columns, dtypes and values, whatever the order of fields inside nested values."""
    assert theirs is not None
    assert ours.columns == theirs.columns
    assert [_by_name(dtype) for dtype in ours.dtypes] == [_by_name(dtype) for dtype in theirs.dtypes]
    assert ours.rows() == theirs.rows()


def _by_name(dtype: Any) -> Any:
    if isinstance(dtype, polars.Struct):
        return "struct", sorted((part.name, _by_name(part.dtype)) for part in dtype.fields)
    if isinstance(dtype, polars.List):
        return "list", _by_name(dtype.inner)
    return str(dtype)
