"""One value of a result as one JSON scalar, and JSON text as a value.

Importing this module must not import polars: SQL needs it without.
"""

import decimal
import json
import math
import re
from typing import Any, cast

from pydantic_core import from_json, to_json

from sutro_mcp.results.request_models import Cell
from sutro_mcp.untrusted_text import visible

_SURROGATE = re.compile("[\ud800-\udfff]")
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
