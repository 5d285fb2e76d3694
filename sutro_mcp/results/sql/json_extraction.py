"""SQL for JSON outputs: which of them DuckDB reads as `read_output` does, and how to reach a field."""

import json
import re
from typing import Any, Literal

from sutro_mcp.results.rows.json_fields import ENVELOPE, Path
from sutro_mcp.results.rows.json_shape import Place, literal

# Which objects are reasoning envelopes.
Envelope = Literal["none", "some", "all"]

# One for each first character: such a search is several times as fast as all of them in one expression.
_NUMBER = r"-?([0-9]{19,}|[nN][aA][nN]|[iI][nN][fF]([iI][nN][iI][tT][yY])?)\s*[,}\]]"
_ODD = (rf",\s*([}}\]]|{_NUMBER})", rf":\s*{_NUMBER}", rf"\[\s*{_NUMBER}", r'"\s+:')
_PLAIN_KEY = re.compile(r"[\w .-]+")

# How often a name can have been told from its value.
NAMES = """(strlen(text) - strlen(replace(text, '":', '"')))"""
# Most begin so, and cutting blanks off takes longer than all else here.
_STARTS = r"(starts_with({0}, '{{') OR starts_with(ltrim({0}, E' \t\n\r'), '{{'))"
IS_OBJECT = f"({_STARTS} AND json_valid({{0}}))"

_THOUGHTS = ("<think>", r"^.*?</think>\s*(.*)$")
_FENCE = ("```", r"^`{3,}[^`{}\n]*\s*(\{.*\})\s*`*\s*$")

# 'wrapped' is what `unwrapped` may help with; 'odd' has to be looked at by `read_output`.
_SEARCHES = " OR ".join(f"regexp_matches(text, {literal(each)})" for each in _ODD)
VERDICT = f"""CASE WHEN text IS NULL THEN NULL WHEN NOT contains(text, '{{') THEN 'other'
    WHEN NOT json_valid(text) THEN CASE WHEN starts_with(text, '{_FENCE[0]}')
        OR starts_with(text, '{_THOUGHTS[0]}') THEN 'wrapped'
        WHEN regexp_matches(text, '\\{{\\s*["}}]') THEN 'odd' ELSE 'other' END
    WHEN NOT {_STARTS.format("text")} THEN 'other'
    WHEN {_SEARCHES} THEN 'odd' ELSE 'object' END"""


def pointer(path: Path) -> str:
    """A JSON pointer as an SQL string: it reaches any key at all, where a JSON path fails for some."""
    return literal("".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path))


def unwrapped(rows: str, text: str) -> str:
    """SQL for `rows` with their column `text` where it can be had without what stands around an object.

    Thoughts go, and a Markdown fence; `find_object` finds the same.
    """
    for start, pattern in (_THOUGHTS, _FENCE):
        rest = f"nullif(regexp_extract({text}, {literal(pattern)}, 1, 's'), '')"
        one = f"CASE WHEN starts_with({text}, '{start}') THEN coalesce({rest}, {text}) ELSE {text} END"
        rows = f"SELECT * REPLACE ({one} AS {text}) FROM ({rows})"
    return rows


def as_object(text: str) -> str:
    """SQL for `text` where DuckDB reads a JSON object in it, else NULL."""
    return f"CASE WHEN {IS_OBJECT.format(text)} THEN {text} END"


def content_of(object_text: str, envelope: Envelope) -> str:
    """SQL for the text that may hold the fields of `content`: an object, or any text in an envelope."""
    content = f"json_extract_string({object_text}, '/content')"
    if envelope == "all":
        return content
    members = " AND ".join(f"json_exists({object_text}, '/{key}')" for key in sorted(ENVELOPE))
    is_one = f"(len(json_keys({object_text})) = {len(ENVELOPE)} AND {members})"
    return f"CASE WHEN json_type({object_text}, '/content') = 'OBJECT' OR {is_one} THEN {content} END"


def json_path(place: Place) -> str | None:
    """A JSON path, which can go through all items of lists, as an SQL string; None for unusual keys."""
    if not all(key is None or _PLAIN_KEY.fullmatch(key) for key in place):
        return None
    return literal("$" + "".join("[*]" if key is None else f'."{key}"' for key in place))


def repeats(text: str) -> bool:
    """Whether an object in it names a field twice."""

    def pairs(found: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in found}) < len(found):
            raise _RepeatedError

    try:
        json.loads(text, object_pairs_hook=pairs)
    except _RepeatedError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


class _RepeatedError(Exception):
    pass
