"""JSON outputs taken apart: the fields of a batch of objects by path.

An object nested in another gives its own fields, to four levels; so does the content of a reasoning envelope,
be it an object or the text of one.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from secrets import randbits
from typing import Any, cast

from pydantic_core import from_json

from sutro_mcp.results.rows.json_values import parse_object

Path = tuple[str, ...]
# One field: the places of the objects that have it, and its value in each.
Field = tuple[list[int], list[Any]]

ENVELOPE = {"content", "reasoning_content"}
DEPTH = 4
_TOGETHER = 64
# Between texts that are parsed together stands a number that no text can know.
_NUMBER = randbits(62)
_MARK = f",{_NUMBER},"


def unwrap(found: dict[str, Any]) -> dict[str, Any]:
    """A reasoning envelope with its content parsed where that is a JSON object in a string; else as it is."""
    if not is_envelope(found):
        return found
    content = found["content"]
    inner = parse_object(content) if isinstance(content, str) else None
    return found if inner is None else {**found, "content": inner}


def parse(texts: Iterable[str]) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """The objects among the texts and their places, a few at a time."""
    rest = iter(texts)
    start = 0
    while chunk := list(islice(rest, _TOGETHER)):
        places = list(range(start, start + len(chunk)))
        start += len(chunk)
        found = _parse_together(chunk)
        if found is None:
            each = [parse_object(text) for text in chunk]
            places = [place for place, one in zip(places, each, strict=True) if one is not None]
            found = [one for one in each if one is not None]
        yield places, found


def _parse_together(texts: Sequence[str]) -> list[dict[str, Any]] | None:
    """The objects in these texts if every one of them is an object, several times as fast as one by one."""
    try:
        found = from_json(f"[{_MARK.join(texts)}]", allow_inf_nan=False, cache_strings=False)
    except ValueError:
        return None
    objects = found[::2]
    # A text of two values, or of a part of one, leaves no mark between it and the next.
    is_marked = len(found) == 2 * len(texts) - 1 and found[1::2].count(_NUMBER) == len(texts) - 1
    return objects if is_marked and set(map(type, objects)) == {dict} else None


def unwrap_all(
    found: Sequence[dict[str, Any]], places: Sequence[int]
) -> tuple[Sequence[dict[str, Any]], list[int], list[int]]:
    """The objects unwrapped, the places of those that are envelopes, and of those with an object inside."""
    envelopes = [index for index, each in enumerate(found) if is_envelope(each)]
    if not envelopes:
        return found, [], []
    opened = list(found)
    for index in envelopes:
        opened[index] = unwrap(opened[index])
    inner = [places[index] for index in envelopes if isinstance(opened[index]["content"], dict)]
    return opened, [places[index] for index in envelopes], inner


def is_envelope(found: dict[str, Any]) -> bool:
    """Whether it has exactly the two parts that a reasoning model answers with."""
    return len(found) == len(ENVELOPE) and found.keys() == ENVELOPE


def at(found: Any, path: Path) -> Any:
    """The value at `path`, or None."""
    for key in path:
        found = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    return found


def paths(found: dict[str, Any], prefix: Path = ()) -> Iterator[Path]:
    """The paths of one object, in order. An empty object is a value."""
    for key, value in found.items():
        path = (*prefix, key)
        if _is_inner(value, path):
            yield from paths(cast("dict[str, Any]", value), path)
        else:
            yield path


def spread(
    objects: Sequence[dict[str, Any]], places: list[int], fields: dict[Path, Field], prefix: Path = ()
) -> None:
    """Adds the values of all paths of these objects, each of which stands at its place, to `fields`."""
    # Objects of the same keys are transposed together: the loop over cells then runs in C.
    shapes = list(map(tuple, objects))
    if len(set(shapes)) == 1:
        _transpose(objects, places, fields, prefix)
        return
    members: dict[Path, list[int]] = {}
    for index, keys in enumerate(shapes):
        members.setdefault(keys, []).append(index)
    for indices in members.values():
        _transpose(
            [objects[index] for index in indices], [places[index] for index in indices], fields, prefix
        )


def _transpose(
    objects: Sequence[dict[str, Any]], places: list[int], fields: dict[Path, Field], prefix: Path
) -> None:
    """`spread` for objects that have the same keys in the same order."""
    columns = zip(*map(dict[str, Any].values, objects), strict=True)
    for key, values in zip(objects[0], columns, strict=True):
        path = (*prefix, key)
        if len(path) < DEPTH and dict in set(map(type, values)):
            inner = [index for index, value in enumerate(values) if _is_inner(value, path)]
            spread([values[index] for index in inner], [places[index] for index in inner], fields, path)
            if len(inner) == len(values):
                continue
            rest = sorted(set(range(len(values))).difference(inner))
            own_places, own_values = fields.setdefault(path, ([], []))
            own_places.extend(places[index] for index in rest)
            own_values.extend(values[index] for index in rest)
            continue
        own_places, own_values = fields.setdefault(path, ([], []))
        own_places += places
        own_values += values


def _is_inner(value: Any, path: Path) -> bool:
    return bool(value) and isinstance(value, dict) and len(path) < DEPTH
