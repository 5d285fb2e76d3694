"""Errors for a call whose arguments do not fit its tool: what is wrong, and how to call again."""

import difflib
from typing import Any, cast

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import ValidationError

from sutro_mcp.untrusted_text import shorten, visible

_SHOWN_VALUE = 60


def unknown_argument(doing: str, given: str, accepted: list[str]) -> str:
    """The refusal of an argument, with the one that was probably meant."""
    near = difflib.get_close_matches(given, accepted, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    names = ", ".join(accepted) or "none"
    return f"Cannot {doing}: it has no argument {shown(given)}.{hint} It accepts: {names}."


def explain(tool: str, error: ToolError) -> str:
    """Field, rule and the value, shortened: what is needed to call again correctly."""
    problems: list[str] = []
    for problem in cast("ValidationError", error.__cause__).errors(include_url=False)[:5]:
        if problem["type"] == "none_required":
            continue  # the other half of an optional choice
        # Between argument and place stand pydantic's own words for the branches of a choice.
        argument, *path = problem["loc"]
        name = ".".join(map(str, (argument, *(place for place in path if isinstance(place, int)))))
        if problem["type"] == "missing":
            problems.append(f"{name} is required")
        elif problem["type"] == "too_long" and (rule := problem.get("ctx")):
            problems.append(f"{name} takes {rule['max_length']} at most, not {rule['actual_length']}")
        else:
            problems.append(f"{name}: {problem['msg']} (got {shown(problem['input'])})")
    return f"Cannot call {tool}: {'; '.join(problems)}. Correct the call and repeat it."


def shown(value: Any) -> str:
    """`value` as an error quotes it."""
    return shorten(visible(repr(value)), _SHOWN_VALUE)[0]
