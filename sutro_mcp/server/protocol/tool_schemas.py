"""Schemas of tools as every host accepts them."""

from collections.abc import Mapping
from typing import Any, cast

# Titles cost tokens and say nothing; defaults are refused by strict hosts and stand in the description;
# lengths are caps against abuse that no honest call meets.
_DROPPED_KEYS = frozenset({"title", "default", "maxLength", "maxItems"})


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
