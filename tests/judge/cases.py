"""The calls of `get_job_results` that the SDK and our library are compared on. Data only."""

from dataclasses import dataclass, field
from typing import Any

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
    "half a pair of surrogates": {"outputs": ['{"a": "\\ud83d"}']},
    "dates": {"outputs": ['{"at": "2024-01-01"}', '{"at": "2024-01-01T00:00:00Z"}']},
    "a field like the output column": {"outputs": ['{"inference_result": 1}']},
    "a field like the carried column": {"outputs": ['{"ticket_id": 1}'], "id_column": ("ticket_id", [7])},
    "a field like the inputs": {"outputs": ['{"inputs": 1}']},
    "a field without a name": {"outputs": ['{"": 1, "b": 2}']},
    "a field too large": {"outputs": ['{"a": 9223372036854775808}']},
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
    Case("text", {"output_column": ""}),
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
