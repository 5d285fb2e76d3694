"""The same call gives the same frame through the official SDK and through our library.

The SDK knows one route to results, ours three; the frame must be the same on each. The order of the fields
inside a nested value is left out of the comparison: polars, in both its versions, draws it by lot where the
rows have different fields.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars
import pytest

from sutro_mcp import SutroClient
from sutro_mcp.emulator import DEMO_KEY, Emulator, Reading, serve_in_thread
from sutro_mcp.errors import InvalidArgumentError

from .sdk import Answer, Sdk, SdkProcess
from .sdk_driver import build_frame, describe_pandas

pytestmark = pytest.mark.timeout(300)  # the first test may have to make the SDK's environment

ROUTES = {
    "results-url": Reading(),
    "get-results": Reading(results_url=False),
    "post-results": Reading(results_url=False, get_results=False),
}

EVERYTHING = {"include_inputs": True, "include_cumulative_logprobs": True}
RAW = {"unpack_json": False}

JOBS: dict[str, dict[str, Any]] = {
    "text": {"outputs": ["b", "", "a", "héllo 👋 日本"]},
    "text with nulls": {"outputs": [None, "a", None]},
    "only nulls": {"outputs": [None, None]},
    "no rows": {"outputs": [], "inputs": []},
    "every column": {
        "inputs": ["first", "second"],
        "outputs": ['{"label": "good", "score": 1}', '{"label": "bad", "score": 2}'],
        "cumulative_logprobs": [-0.5, -1.0],
        "confidence_score": [1.0, 0.25],
        "id_column": ("ticket_id", [7, 8]),
    },
    "every column as text": {
        "inputs": ["first", None],
        "outputs": ["a", "b"],
        "cumulative_logprobs": [-0.5, None],
        "confidence_score": [None, 0.25],
        "id_column": ("ticket_id", ["T-7", "T-8"]),
    },
    "diagnostics that are all null": {
        "outputs": ["a", "b"],
        "cumulative_logprobs": [None, None],
        "confidence_score": [None, None],
    },
    "carried numbers": {"outputs": ["a", "b"], "id_column": ("*", [1.5, None])},
    "carried flags": {"outputs": ["a", "b"], "id_column": ("^.*$", [True, None])},
    "objects and nulls": {"outputs": ['{"a": 1}', None, "null", "{}", ' \n{"a": 2} ']},
    "objects with other fields": {"outputs": ['{"b": 1}', '{"a": 2, "b": 3}', '{"c": true}']},
    "one row is not JSON": {"outputs": ['{"a": 1}', "Sorry, I cannot do that.", '{"a": 2}']},
    "a late row is not JSON": {"outputs": ['{"a": 1}'] * 500 + ['{"a": ']},
    "a late row has another field": {"outputs": ['{"a": 1}'] * 500 + ['{"a": "x", "late": 2}']},
    "one row is empty": {"outputs": ['{"a": 1}', ""]},
    "one row has more behind its object": {"outputs": ['{"a": 1} as asked', '{"a": 2}']},
    "objects beside a number": {"outputs": ['{"a": 1}', "5"]},
    "objects beside a list": {"outputs": ['{"a": 1}', "[1]"]},
    "numbers": {"outputs": ["1", "2.5"]},
    "lists": {"outputs": ["[1]", "[2, 3]"]},
    "empty objects": {"outputs": ["{}", "{}"]},
    "python's idea of JSON": {"outputs": ['{"a": NaN}', '{"a": 1}']},
    "types": {
        "outputs": [
            '{"i": 1, "f": 1.5, "b": true, "s": "x", "n": null, "l": [1, 2], "o": {"p": 1}, "e": 1e3}',
            '{"i": -9223372036854775808, "f": 2, "b": false, "s": "\\n\\ud83d\\ude00", "l": [], "e": 0.1}',
        ]
    },
    "types that differ by row": {
        "outputs": [
            '{"if": 1, "is": 1, "fs": 1.50, "bi": true, "bs": true, "bf": true, "il": 1, "ls": ["x", 1]}',
            '{"if": 2.5, "is": "x", "fs": "y", "bi": 7, "bs": "z", "bf": 2.5, "il": [1, 2], "ls": [2.5]}',
            '{"if": null}',
        ]
    },
    "a number or an object": {"outputs": ['{"a": 1}', '{"a": {"b": 2}}']},
    "text or an object": {"outputs": ['{"a": "x"}', '{"a": {"b": 2}}']},
    "an object or a list": {"outputs": ['{"a": {"b": 2}}', '{"a": [1]}']},
    "nested": {
        "outputs": [
            '{"items": [{"name": "pen", "price": 1.5}, {"name": "cap"}], "buyer": {"name": "Ada"}}',
            '{"items": [], "buyer": {"name": "Bob", "city": {"zip": "123"}}}',
            '{"items": [{"sku": 7}], "buyer": null}',
        ]
    },
    "odd names": {"outputs": ['{"*": 1, "^x$": 2, "a.b": 3, "a b": 4, "inputs": 5, "outputs": 6}']},
    "dates": {"outputs": ['{"at": "2024-01-01"}', '{"at": "2024-01-01T00:00:00Z"}']},
    "a field like the output column": {"outputs": ['{"inference_result": 1}']},
    "a field like the carried column": {"outputs": ['{"ticket_id": 1}'], "id_column": ("ticket_id", [7])},
    "a field like the inputs": {"outputs": ['{"inputs": 1}']},
    "a field twice": {"outputs": ['{"a": 1, "a": 2}']},
    "reasoning about objects": {
        "outputs": [
            '{"content": {"a": 1, "b": [1]}, "reasoning_content": "because"}',
            '{"reasoning_content": "so", "content": {"a": 2, "b": []}}',
        ]
    },
    "reasoning about text": {
        "outputs": [
            '{"reasoning_content": "so", "content": "yes"}',
            '{"content": "no", "reasoning_content": ""}',
        ]
    },
    "reasoning about both": {
        "outputs": [
            '{"content": {"a": 1}, "reasoning_content": "because"}',
            '{"content": "no", "reasoning_content": ""}',
        ]
    },
    "embeddings": {"outputs": [[0.25, -1.0], [0.5, 2.0]]},
}

SEEDS = [
    "haiku-smoke-test",
    "support-ticket-triage",
    "invoice-extraction",
    "math-reasoning-audit",
    "multilingual-greetings",
    "churn-function-scores",
    "ticket-routing-with-ids",
    "catalogue-embeddings",
    "proof-sketches",
    "survey-open-answers",
    "review-topics-sample",
]

TWO_ROWS = {"q": ["String", ["x", "y"]], "number": ["Int64", [1, 2]]}
PANDAS_TWO_ROWS = {"q": ["object", ["x", None]], "number": ["int32", [1, 2]]}


def polars_frame(**columns: list[Any]) -> dict[str, Any]:
    """The recipe of a polars frame."""
    return {"library": "polars", "columns": columns or TWO_ROWS}


def pandas_frame(
    index: list[Any] | None = None, name: str | None = None, **columns: list[Any]
) -> dict[str, Any]:
    """The recipe of a pandas frame."""
    return {"library": "pandas", "columns": columns or PANDAS_TWO_ROWS, "index": index, "index_name": name}


@dataclass(frozen=True)
class Case:
    """One call: a job of `JOBS`, options, and the frame that the results are added to, if any."""

    job: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    original: dict[str, Any] | None = None

    def __str__(self) -> str:
        words = [self.job, *(f"{name}={value}" for name, value in self.options.items())]
        if self.original is not None:
            words.append(f"to {self.original['library']} {', '.join(self.original['columns'])}")
        return " ".join(words).replace("include_", "")


PLAIN = [Case(job) for job in JOBS if not job.startswith("a field")]
OPTIONS = [
    *(
        Case("every column", {"include_inputs": a, "include_cumulative_logprobs": b})
        for a in (True, False)
        for b in (True, False)
    ),
    Case("every column", {**EVERYTHING, **RAW}),
    Case("every column", {**EVERYTHING, "output_column": "answer"}),
    Case("every column", {"output_column": "inputs"}),
    Case("every column", {"output_column": "outputs", **RAW}),
    Case("every column as text", EVERYTHING),
    Case("every column as text", {**EVERYTHING, "output_column": "*"}),
    Case("diagnostics that are all null", EVERYTHING),
    Case("no rows", EVERYTHING),
    Case("only nulls", {"output_column": "confidence_score"}),
    Case("types", RAW),
    Case("a field like the output column", {"output_column": "answer"}),
    Case("a field like the output column", RAW),
    Case("a field like the inputs"),
]
ODD_PANDAS = pandas_frame(
    index=["one", "two"],
    c=["category", ["x", "y"]],
    d=["datetime64[ns]", ["2024-01-01", None]],
    i=["Int64", [1, None]],
)
TO_EITHER: list[tuple[str, dict[str, Any]]] = [
    ("every column", EVERYTHING),
    ("every column", {**EVERYTHING, **RAW, "output_column": "answer"}),
    ("every column as text", EVERYTHING),
    ("only nulls", {}),
    ("types", {}),
    ("diagnostics that are all null", EVERYTHING),
]
JOINED = [
    *(Case(job, options, make()) for job, options in TO_EITHER for make in (polars_frame, pandas_frame)),
    Case("every column", {}, pandas_frame(index=[10, 10], name="row", q=["object", ["x", "y"]])),
    Case("every column", {}, ODD_PANDAS),
    Case("every column", {}, polars_frame(ticket_id=["Int64", [7, 8]], q=["String", ["x", "y"]])),
    Case("every column", {}, pandas_frame(q=["object", ["x", "y"]], ticket_id=["int64", [7, 8]])),
    Case("every column as text", {}, pandas_frame(ticket_id=["object", ["T-7", "T-8"]])),
    Case("every column", {}, polars_frame(inference_result=["Int64", [1, 2]])),
    Case("every column", {}, polars_frame(inputs=["Int64", [1, 2]])),
    Case("no rows", {}, polars_frame(q=["String", []])),
    Case("no rows", {}, pandas_frame(q=["object", []])),
]
REFUSED = [
    Case("every column", {"output_column": "ticket_id"}),
    Case("every column", {"output_column": "confidence_score"}),
    Case("every column", {**EVERYTHING, "output_column": "inputs"}),
    Case("every column", {**EVERYTHING, "output_column": "cumulative_logprobs"}),
    Case("a field like the output column"),
    Case("a field like the carried column"),
    Case("a field like the inputs", {"include_inputs": True}),
    Case("every column", {}, polars_frame(label=["Int64", [1, 2]])),
    Case("every column", {}, pandas_frame(label=["int64", [1, 2]])),
    Case("every column", RAW, polars_frame(inference_result=["Int64", [1, 2]])),
    Case("every column", RAW, pandas_frame(inference_result=["int64", [1, 2]])),
    Case("every column", {"include_inputs": True}, polars_frame(inputs=["String", ["first", "second"]])),
    Case("every column", {}, polars_frame(confidence_score=["Float64", [1.0, 0.25]])),
    Case("every column", {}, polars_frame(ticket_id=["Int64", [7, 9]])),
    Case("every column", {}, polars_frame(ticket_id=["Int32", [7, 8]])),
    Case("every column", {}, pandas_frame(ticket_id=["int32", [7, 8]])),
    Case("every column", {}, polars_frame(q=["String", ["x"]])),
    Case("every column", {}, pandas_frame(q=["object", ["x", "y", "z"]])),
]


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
    client: SutroClient
    runner: asyncio.Runner

    def get_job_results(self, job_id: str, case: Case) -> Any:
        """Our library's frame, fetched anew."""
        original = None if case.original is None else build_frame(case.original)
        return self.runner.run(
            self.client.get_job_results(job_id, with_original_df=original, disable_cache=True, **case.options)
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
    with serve_in_thread(reading=ROUTES[request.param]) as emulator, asyncio.Runner() as runner:
        client = SutroClient(api_key=DEMO_KEY, api_url=emulator.api_origin)
        yield Ours(emulator, add_jobs(emulator), client, runner)
        runner.run(client.aclose())


@pytest.mark.parametrize("case", [*PLAIN, *OPTIONS], ids=str)
def test_both_give_the_same_frame(official: Official, ours: Ours, case: Case) -> None:
    """Columns, order, dtypes and values."""
    job_id = ours.job_ids[case.job]

    assert_same_frame(ours.get_job_results(job_id, case), official.get_job_results(job_id, case).frame)


@pytest.mark.parametrize(
    "options", [{}, EVERYTHING, {**EVERYTHING, **RAW}], ids=["plain", "everything", "raw"]
)
@pytest.mark.parametrize("name", SEEDS)
def test_both_give_the_same_frame_of_a_seed_job(
    official: Official, ours: Ours, name: str, options: dict[str, Any]
) -> None:
    """The jobs that the demo shows."""
    job_id, case = ours.emulator.find(name), Case(name, options)

    assert_same_frame(ours.get_job_results(job_id, case), official.get_job_results(job_id, case).frame)


def test_both_give_the_same_frame_of_every_seed_job(official: Official, ours: Ours) -> None:
    """All jobs with results, the one of 100,000 rows among them, with everything the API knows of them."""
    jobs = official.sdk.call("list_jobs").value
    gone = ours.emulator.find("old-survey-coding")
    done = [job for job in jobs if job["status"] == "SUCCEEDED" and job["cost_estimate"] is None]
    case = Case("seed", EVERYTHING)

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

    ours.runner.run(ours.client.get_job_results(ours.job_ids["every column"], with_original_df=frame))

    assert describe_pandas(frame) == before


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
