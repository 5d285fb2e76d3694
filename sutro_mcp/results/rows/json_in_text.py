"""The JSON object in a text that a model wrote: plain, in a Markdown fence, after its thoughts or amid words.

Importing this module must not import polars: SQL needs it without.
"""

import re
from typing import Any

from sutro_mcp.results.request_models import Wrapping

from .cells import parse_object

_FENCE = re.compile("\ufeff?`{3,}[^`{}\\n]*")
# Of some models only the end is seen, as the prompt has the start.
_THINK, _THOUGHT = "<think>", "</think>"


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
    """The kind of text around `found`, which has the first and the last brace; None if it hides more."""
    if before == "\ufeff" and not after:
        return "bom"
    if _FENCE.fullmatch(before) and not after.strip("`"):
        return "fence"
    is_one = "}" not in before and "{" not in after
    is_item = before[-1:] in ("[", ",") or after[:1] in ("]", ",") or before.count("[") != before.count("]")
    # An empty pair of braces amid words is none that a model was asked for.
    is_filled = bool(found[1:-1].strip()) or not (before or after)
    return "text" if is_one and is_filled and not is_item else None
