"""What came out of a job: counts, distributions, suspicious rows and a few samples, never all rows.

Every number is exact: the whole artifact is read.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast

import polars as pl

from sutro_mcp.untrusted import visible

from ._artifact import read_artifact
from ._detail import fit_summary
from ._models import ColumnSummary, Sample, Summary, SummaryRequest, Suspicion
from ._page import cell, parse_object
from ._profile import profile

_ENVELOPE = {"content", "reasoning_content"}
_DEPTH = 4
_PATHS = 200
_EXAMPLES = 5
# Shorter texts repeat for good reasons ("positive", "N/A").
_REPEAT_CHARS = 80
_Path = tuple[str, ...]
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
    promised = request.json_schema is not None and request.unpack_json
    structured = bool(objects) and (promised or 2 * len(objects) >= _filled(texts))
    kind = _kind(texts, objects, structured) if frame.height else "none, there are no rows"
    columns = [profile(visible(c.name), c.to_list()) for c in frame.iter_columns() if c.name != outputs.name]
    uncounted = False
    if structured:
        fields, uncounted = _fields(parsed)
        columns = [*fields, *columns]
    else:
        columns = [profile(visible(outputs.name), outputs.to_list()), *columns]
    suspicious, suspicious_rows = _suspicious(texts, parsed, structured or promised, request.json_schema)
    summary = Summary(
        row_count=frame.height,
        expected_rows=request.expected_rows,
        outputs=kind,
        columns=columns,
        suspicious_rows=suspicious_rows,
        suspicious=suspicious,
        samples=_samples(frame, request.output_column),
    )
    return fit_summary(summary, request.max_chars, more_fields=uncounted)


def _filled(texts: Sequence[str | None]) -> int:
    return sum(1 for text in texts if text and not text.isspace())


def _kind(texts: list[str | None], objects: list[dict[str, Any]], structured: bool) -> str:
    if not texts:
        return "not text"
    if not structured:
        return "text"
    if _are_envelopes(objects):
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


def _fields(parsed: list[dict[str, Any] | None]) -> tuple[list[ColumnSummary], bool]:
    """The fields of the parsed outputs by path, in order of first appearance, and whether there are more."""
    values: dict[_Path, list[Any]] = {}
    envelopes = _are_envelopes(parsed)
    more = False
    for found in parsed:
        for path, value in _leaves(_unwrap(found) if envelopes else found, ()) if found else ():
            if path in values or len(values) < _PATHS:
                values.setdefault(path, []).append(value)
            else:
                more = True
    return [profile(visible(".".join(path)), column) for path, column in values.items()], more


def _are_envelopes(parsed: Sequence[dict[str, Any] | None]) -> bool:
    return all(set(found) == _ENVELOPE for found in parsed if found is not None)


def _leaves(found: dict[str, Any], prefix: _Path) -> Iterator[tuple[_Path, Any]]:
    for key, value in found.items():
        path = (*prefix, key)
        if isinstance(value, dict) and value and len(path) < _DEPTH:
            yield from _leaves(cast("dict[str, Any]", value), path)
        else:
            yield path, value


def _suspicious(
    texts: list[str | None],
    parsed: list[dict[str, Any] | None],
    structured: bool,
    schema: dict[str, Any] | None,
) -> tuple[list[Suspicion], int]:
    """Doubtful rows by kind, and how many there are: a row may be of several kinds.

    `structured` says that every output should be a JSON object.
    """
    found: dict[str, list[int]] = {}
    # Classifications repeat by nature; prose does not.
    repeats = Counter(text for text in texts if text and len(text) >= _REPEAT_CHARS and not structured)
    enums = _enums(schema or {}, ())
    if _are_envelopes(parsed) and {path[0] for path in enums} - _ENVELOPE:
        # The schema is that of the content, unless it names the parts of the envelope itself.
        enums = {("content", *path): allowed for path, allowed in enums.items()}
        parsed = [_unwrap(found) if found is not None else None for found in parsed]
    for row, (text, fields) in enumerate(zip(texts, parsed, strict=True)):
        for kind in _doubts(text, fields, structured, repeats, enums):
            found.setdefault(kind, []).append(row)
    kinds = [
        Suspicion(kind=kind, count=len(rows), rows=rows[:_EXAMPLES])
        for kind, rows in sorted(found.items(), key=lambda item: -len(item[1]))
    ]
    return kinds, len({row for rows in found.values() for row in rows})


def _doubts(
    text: str | None,
    fields: dict[str, Any] | None,
    structured: bool,
    repeats: Counter[str],
    enums: dict[_Path, list[Any]],
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


def _enums(schema: dict[str, Any], path: _Path) -> dict[_Path, list[Any]]:
    """Allowed values by path, for properties that list them. References are not followed."""
    enums: dict[_Path, list[Any]] = {}
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


def _at(fields: dict[str, Any], path: _Path) -> Any:
    value: Any = fields
    for key in path:
        value = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return value


def _samples(frame: pl.DataFrame, output_column: str) -> list[Sample]:
    """First, a spread, shortest and longest: chosen by position and length, so the same every time."""
    if not frame.height:
        return []
    outputs = frame.get_column(output_column)
    inputs = frame.get_column("inputs") if "inputs" in frame.columns else None
    picked: dict[int, str] = {0: "first"}
    if outputs.dtype == pl.String:
        lengths = outputs.str.len_chars()
        picked.setdefault(lengths.arg_max() or 0, "longest")
        kept = lengths.set(lengths == 0, None)
        picked.setdefault(kept.arg_min() or 0, "shortest")
    for part in (1, 2, 3):
        picked.setdefault(frame.height * part // 4, "spread")
    return [
        Sample(
            row=row,
            why=why,
            output=_text_at(outputs, row),
            input=_text_at(inputs, row) if inputs is not None else None,
        )
        for row, why in sorted(picked.items())
    ]


def _text_at(column: pl.Series, row: int) -> str | None:
    # Indexing would give a list as a Series.
    (value,) = column.slice(row, 1).to_list()
    shown = cell(value)
    return shown if shown is None or isinstance(shown, str) else str(shown)
