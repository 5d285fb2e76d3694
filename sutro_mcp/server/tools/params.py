"""Parameter types shared by the tools.

Their schemas keep to what every host accepts: one scalar type or an array with typed items, a description, no
default, no null. Reading is lenient where hosts differ: words in any case, lists as text.
"""

import json
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BeforeValidator, Field

from sutro_mcp.api import Status

StatusWord = Literal[
    "QUEUED", "STARTING", "RUNNING", "SUCCEEDED", "CANCELLING", "CANCELLED", "FAILED", "UNKNOWN"
]
# Characters of JSON text in an answer with rows: by default, and when the caller asks for more rows or longer
# cells, which leaves room below the 60,000 that no answer may pass.
DEFAULT_CHARS = 9_000
MOST_CHARS = 50_000


def as_list(value: Any) -> Any:
    """A list given as JSON text, or as one bare item."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    return [value]


def _as_statuses(value: Any) -> Any:
    items = [part.strip() for part in value.split(",")] if _is_plain(value) else as_list(value)
    return [_status(item) for item in cast("list[Any]", items)] if isinstance(items, list) else items


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and not value.lstrip().startswith("[")


def _status(word: Any) -> Any:
    if not isinstance(word, str):
        return word
    # An unknown word is refused below, not read as UNKNOWN.
    known = Status.read(word)
    return known.value if known is not Status.UNKNOWN else word.upper()


JobId = Annotated[str, Field(description="From list_jobs", max_length=200)]
Statuses = Annotated[
    list[StatusWord],
    BeforeValidator(_as_statuses),
    Field(description="Any of these (default all)", max_length=len(get_args(StatusWord))),
]
Model = Annotated[str, Field(description="Exact id", max_length=200)]
Search = Annotated[str, Field(description="One text in name, description or id", max_length=200)]
Unnamed = Annotated[bool, Field(description="Without a name (default false)")]
After = Annotated[
    str,
    Field(
        description="From: age like 7d or ISO time (UTC; a date is its start)",
        max_length=40,
    ),
]
Before = Annotated[str, Field(description="Before: likewise", max_length=40)]
Columns = Annotated[
    list[Annotated[str, Field(max_length=500)]],
    BeforeValidator(as_list),
    Field(description="Columns or JSON paths like a.b", max_length=200),
]
OffByDefault = Annotated[bool, Field(description="Default false")]
UnpackJson = Annotated[bool, Field(description="JSON fields as columns (default true)")]
OutputColumn = Annotated[str, Field(description="Default inference_result", max_length=200)]
