"""Schemas as every host accepts them, and what to say of a call that does not fit one."""

import difflib
from collections.abc import Mapping
from typing import Any, cast

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import ValidationError

from sutro_mcp.untrusted import shorten, visible

# Titles cost tokens and say nothing; defaults are refused by strict hosts and stand in the description;
# lengths are caps against abuse that no honest call meets.
_DROPPED_KEYS = frozenset({"title", "default", "maxLength", "maxItems"})
_SHOWN_VALUE = 60


def portable(schema: Mapping[str, Any], *, is_map_of_names: bool = False) -> dict[str, Any]:
    """`schema` without generated titles and defaults; the keys of `properties` and `$defs` are names."""
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DROPPED_KEYS and not is_map_of_names:
            continue
        if isinstance(value, Mapping):
            names = key in ("properties", "$defs") and not is_map_of_names
            kept[key] = portable(cast("Mapping[str, Any]", value), is_map_of_names=names)
        elif isinstance(value, list):
            kept[key] = [
                portable(cast("Mapping[str, Any]", item)) if isinstance(item, Mapping) else item
                for item in cast("list[Any]", value)
            ]
        else:
            kept[key] = value
    return kept


def portable_answer(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A portable schema of an answer, as short as it can be.

    No field is null, as those without a value are left out; numbers are numbers, and a cell is anything.
    Nothing is required of our own answers, and the descriptions of their classes repeat what the tool's
    says.
    """
    whole = portable(schema)
    for part in (whole, *whole.get("$defs", {}).values()):
        for key in ("description", "required"):
            part.pop(key, None)
        part["properties"] = {
            name: _without_choice(rule) for name, rule in part.get("properties", {}).items()
        }
    return whole


def _without_choice(rule: dict[str, Any]) -> dict[str, Any]:
    if "items" in rule:
        return rule | {"items": _without_choice(rule["items"])}
    branches = [branch for branch in rule.get("anyOf", ()) if branch != {"type": "null"}]
    if not branches:
        return rule
    rest = {key: value for key, value in rule.items() if key != "anyOf"}
    if len(branches) == 1:
        return _without_choice(branches[0]) | rest
    numbers = all(branch.get("type") in ("integer", "number") for branch in branches)
    return ({"type": "number"} if numbers else {}) | rest


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
        else:
            problems.append(f"{name}: {problem['msg']} (got {shown(problem['input'])})")
    return f"Cannot call {tool}: {'; '.join(problems)}. Correct the call and repeat it."


def shown(value: Any) -> str:
    """`value` as an error quotes it."""
    return shorten(visible(repr(value)), _SHOWN_VALUE)[0]
