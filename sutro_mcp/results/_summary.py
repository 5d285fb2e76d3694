"""What came out of a job: counts, distributions, suspicious rows and a few samples, never all rows.

Every number is exact: the whole artifact is read. The answer is fitted to its budget by lowering the level of
detail, never by leaving out counts.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import polars as pl

from sutro_mcp.untrusted import shorten, visible

from ._artifact import read_artifact
from ._models import ColumnSummary, Sample, Summary, SummaryRequest, Suspicion, TopValue
from ._page import cell, parse_object
from ._profile import profile

_ENVELOPE = {"content", "reasoning_content"}
_DEPTH = 4
_PATHS = 200
_EXAMPLES = 5
# Shorter texts repeat for good reasons ("positive", "N/A").
_REPEAT_CHARS = 80
_REFUSAL = re.compile(
    r"^\W*("
    r"(i['\u2019]?m|i am) (really |very )?sorry\b"
    r"|sorry, (but )?i\b"
    r"|(unfortunately, )?i (cannot|can['\u2019]?t|am unable to|am not able to|won['\u2019]?t be able to)\b"
    r"|as an ai\b"
    r")",
    re.IGNORECASE,
)


def make_summary(request: SummaryRequest) -> Summary:
    """The summary of a whole artifact, at most `max_chars` long as JSON text."""
    frame = read_artifact(request.artifact, request.output_column)
    outputs = frame.get_column(request.output_column)
    texts = (
        cast("list[str | None]", outputs.to_list())
        if outputs.dtype == pl.String or outputs.dtype == pl.Null
        else []
    )
    parsed = [parse_object(text) if request.unpack_json else None for text in texts]
    objects = [found for found in parsed if found is not None]
    structured = bool(objects) and (request.json_schema is not None or 2 * len(objects) >= _filled(texts))
    kind = _kind(texts, objects, structured)
    columns = [profile(visible(c.name), c.to_list()) for c in frame.iter_columns() if c.name != outputs.name]
    if structured:
        columns = [*_fields(parsed), *columns]
    else:
        columns = [profile(visible(outputs.name), outputs.to_list()), *columns]
    summary = Summary(
        row_count=frame.height,
        expected_rows=request.expected_rows,
        outputs=kind,
        columns=columns,
        suspicious=_suspicious(texts, parsed, structured, request.json_schema),
        samples=_samples(frame, request.output_column),
    )
    return _fit(summary, request.max_chars)


def _filled(texts: Sequence[str | None]) -> int:
    return sum(1 for text in texts if text and not text.isspace())


def _kind(texts: list[str | None], objects: list[dict[str, Any]], structured: bool) -> str:
    if not texts:
        return "not text"
    if not structured:
        return "text"
    if all(set(found) == _ENVELOPE for found in objects):
        inner = sum(1 for found in objects if _unwrap(found) is not found)
        content = "JSON objects" if inner == len(objects) else "text" if not inner else "text or JSON"
        name = f"reasoning envelopes (content, reasoning_content); content is {content}"
    else:
        name = "JSON objects"
    return name if len(objects) == len(texts) else f"{name} in {len(objects):,} of {len(texts):,} rows"


def _unwrap(found: dict[str, Any]) -> dict[str, Any]:
    """The envelope with its content parsed where that is a JSON object in a string."""
    content = found.get("content")
    inner = cast("Any", content) if isinstance(content, dict) else parse_object(_text(content))
    return {**found, "content": inner} if inner is not None else found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _fields(parsed: list[dict[str, Any] | None]) -> list[ColumnSummary]:
    """Every field of the parsed outputs by path, in order of first appearance."""
    values: dict[str, list[Any]] = {}
    envelopes = all(set(found) == _ENVELOPE for found in parsed if found is not None)
    for found in parsed:
        if found is not None:
            _collect(_unwrap(found) if envelopes else found, "", 1, values)
    return [profile(visible(path), column) for path, column in values.items()]


def _collect(found: dict[str, Any], prefix: str, depth: int, values: dict[str, list[Any]]) -> None:
    for key, value in found.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and depth < _DEPTH:
            _collect(cast("dict[str, Any]", value), f"{path}.", depth + 1, values)
        elif path in values or len(values) < _PATHS:
            values.setdefault(path, []).append(value)


def _suspicious(
    texts: list[str | None],
    parsed: list[dict[str, Any] | None],
    structured: bool,
    schema: dict[str, Any] | None,
) -> list[Suspicion]:
    found: dict[str, list[int]] = {}
    # Classifications repeat by nature; prose does not.
    repeats = Counter(text for text in texts if text and len(text) >= _REPEAT_CHARS and not structured)
    enums = _enums(schema or {}, ())
    for row, (text, fields) in enumerate(zip(texts, parsed, strict=True)):
        for kind in _doubts(text, fields, structured, repeats, enums):
            found.setdefault(kind, []).append(row)
    return [
        Suspicion(kind=kind, count=len(rows), rows=rows[:_EXAMPLES])
        for kind, rows in sorted(found.items(), key=lambda item: -len(item[1]))
    ]


def _doubts(
    text: str | None,
    fields: dict[str, Any] | None,
    structured: bool,
    repeats: Counter[str],
    enums: dict[tuple[str, ...], list[Any]],
) -> list[str]:
    if text is None:
        return ["null output"]
    if not text or text.isspace():
        return ["empty output"]
    doubts: list[str] = []
    if repeats[text] > 1:
        doubts.append("same output as another row")
    if _REFUSAL.match(text[:200]):
        doubts.append("refusal-like (English phrases)")
    if fields is None:
        if structured:
            doubts.append("JSON cut off or broken" if text.lstrip()[:1] == "{" else "not JSON")
        return doubts
    doubts.extend(
        f"outside the schema's enum: {visible('.'.join(path))}"
        for path, allowed in enums.items()
        if (value := _at(fields, path)) is not None and value not in allowed
    )
    return doubts


def _enums(schema: dict[str, Any], path: tuple[str, ...]) -> dict[tuple[str, ...], list[Any]]:
    """Allowed values by path, for properties that list them. References are not followed."""
    enums: dict[tuple[str, ...], list[Any]] = {}
    properties = schema.get("properties")
    if not isinstance(properties, dict) or len(path) >= _DEPTH:
        return enums
    for key, rule in cast("dict[str, Any]", properties).items():
        if isinstance(rule, dict):
            node = cast("dict[str, Any]", rule)
            if isinstance(node.get("enum"), list):
                enums[(*path, key)] = node["enum"]
            enums.update(_enums(node, (*path, key)))
    return enums


def _at(fields: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = fields
    for key in path:
        value = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return value


def _samples(frame: pl.DataFrame, output_column: str) -> list[Sample]:
    """First, a spread, shortest and longest: chosen by position and length, so the same every time."""
    if not frame.height:
        return []
    outputs = frame.get_column(output_column)
    picked: dict[int, str] = {0: "first"}
    if outputs.dtype == pl.String:
        lengths = outputs.str.len_chars()
        picked.setdefault(lengths.arg_max() or 0, "longest")
        kept = lengths.set(lengths == 0, None)
        picked.setdefault(kept.arg_min() or 0, "shortest")
    for part in (1, 2, 3):
        picked.setdefault(frame.height * part // 4, "spread")
    inputs = frame.get_column("inputs") if "inputs" in frame.columns else None
    return [
        Sample(
            row=row,
            why=why,
            output=_as_text(outputs[row]),
            input=_as_text(inputs[row]) if inputs is not None else None,
        )
        for row, why in sorted(picked.items())
        if row < frame.height
    ]


def _as_text(value: Any) -> str | None:
    shown = cell(value)
    return shown if shown is None or isinstance(shown, str) else str(shown)


def _fit(summary: Summary, max_chars: int) -> Summary:
    """The most detailed version of `summary` that fits."""
    for columns, top, sample_chars, name_chars in (
        (40, 8, 400, 120),
        (40, 6, 240, 80),
        (30, 5, 160, 60),
        (24, 4, 120, 60),
        (16, 3, 80, 40),
        (10, 2, 60, 40),
        (5, 1, 40, 30),
    ):
        fitted = _at_level(summary, columns, top, sample_chars, name_chars)
        if len(fitted.model_dump_json(exclude_none=True)) <= max_chars:
            return fitted
    return fitted


def _at_level(summary: Summary, columns: int, top: int, sample_chars: int, name_chars: int) -> Summary:
    def brief(text: str | None) -> str | None:
        return None if text is None else shorten(text, sample_chars)[0]

    def brief_top(item: TopValue) -> TopValue:
        value = shorten(item.value, name_chars)[0] if isinstance(item.value, str) else item.value
        return item.model_copy(update={"value": value})

    left_out = len(summary.columns) - columns
    return summary.model_copy(
        update={
            "columns": [
                column.model_copy(
                    update={
                        "name": shorten(column.name, name_chars)[0],
                        "top": [brief_top(item) for item in column.top[:top]],
                    }
                )
                for column in summary.columns[:columns]
            ],
            "suspicious": [
                item.model_copy(update={"kind": shorten(item.kind, name_chars + 40)[0]})
                for item in summary.suspicious[:12]
            ],
            "samples": [
                sample.model_copy(update={"output": brief(sample.output), "input": brief(sample.input)})
                for sample in summary.samples
            ],
            "shortened": f"{left_out} more columns or fields not shown; page them with columns"
            if left_out > 0
            else None,
        }
    )
