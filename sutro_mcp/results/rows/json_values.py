"""One value of a result as one JSON scalar, and JSON text as a value.

Importing this module must not import polars: SQL needs it without.
"""

import decimal
import json
import math
import re
from typing import Any, cast

from pydantic_core import from_json, to_json

from sutro_mcp.results.request_models import Cell, Wrapping
from sutro_mcp.untrusted import visible

_SURROGATE = re.compile("[\ud800-\udfff]")
_FENCE = re.compile("\ufeff?`{3,}[^`{}\\n]*")
# Of some models only the end is seen, as the prompt has the start.
_THINK, _THOUGHT = "<think>", "</think>"
# The names of the types that a value of JSON has in Python.
KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


def parse_json(raw: bytes | str) -> Any:
    """The JSON value in `raw`; NaN and Infinity are refused. Raises ValueError or RecursionError."""
    try:
        return from_json(raw, allow_inf_nan=False, cache_strings=False)
    except ValueError:
        # The fast parser refuses lone surrogates, which models do produce and JSON can carry: one such cell
        # must not hide the other rows. They become U+FFFD, as a frame can only hold valid text. A number that
        # is too large for a float is infinite by now.
        text = json.dumps(json.loads(raw, parse_constant=_refuse_constant), ensure_ascii=False)
        return from_json(_SURROGATE.sub("\ufffd", text), cache_strings=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def parse_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in `text`, or None when it holds anything else."""
    if text is None or text.lstrip()[:1] != "{":
        return None
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def read_output(text: str | None) -> tuple[dict[str, Any] | None, Wrapping | None]:
    """The JSON object that an output holds, and what stands around it; None and None when there is none.

    There is one only if nothing else in the text has braces, thoughts before it apart.
    """
    found = None if text is None else find_object(text)
    value = None if found is None else parse_object(found[0])
    return (None, None) if found is None or value is None else (value, found[1])


def find_object(text: str) -> tuple[str, Wrapping | None] | None:
    """The part of `text` that can be its only JSON object, and what stands around it; None if none can."""
    end = text.rfind("}") + 1
    start = text.find("{", 0, end)
    if start < 0:
        return None
    before, after = text[:start].strip(), text[end:].strip()
    if not before and not after:
        return text[start:end], None
    is_thinking = before.startswith(_THINK)
    # No text in JSON has a line break before it.
    thoughts = (
        text.find(_THOUGHT) if is_thinking or before.startswith(_THOUGHT) else text.find("\n" + _THOUGHT)
    )
    if thoughts < 0:
        wrapping = None if is_thinking else _wrapping(text[start:end], before, after)
        return wrapping and (text[start:end], wrapping)
    thoughts = text.index(">", thoughts) + 1
    start = text.find("{", thoughts, end)
    if start < 0 or not _wrapping(text[start:end], text[thoughts:start].strip(), after):
        return None
    return text[start:end], "think"


def _wrapping(found: str, before: str, after: str) -> Wrapping | None:
    """What stands around `found`, which reaches from a first brace to a last one; None if it hides more."""
    if before == "\ufeff" and not after:
        return "bom"
    if _FENCE.fullmatch(before) and not after.strip("`"):
        return "fence"
    is_one = "}" not in before and "{" not in after
    is_item = before[-1:] in ("[", ",") or after[:1] in ("]", ",") or before.count("[") != before.count("]")
    # An empty pair of braces amid words is none that a model was asked for.
    is_filled = bool(found[1:-1].strip()) or not (before or after)
    return "text" if is_one and is_filled and not is_item else None


def cell(value: Any) -> Cell:
    """`value`, which is no date or time, as one JSON scalar; lists and objects become compact JSON text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Beyond 64 bits few readers of JSON keep the digits, of which there may be thousands.
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    return visible(value if isinstance(value, str) else compact(value))


def compact(value: list[Any] | dict[str, Any]) -> str:
    """`value` as JSON text without blanks."""
    return to_json(value, inf_nan_mode="strings", bytes_mode="base64", fallback=str).decode()
