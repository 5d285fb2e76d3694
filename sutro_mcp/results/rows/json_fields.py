"""JSON outputs taken apart: the fields of a batch of objects by path.

An object nested in another gives its own fields, to four levels; so does the content of a reasoning envelope,
be it an object or the text of one.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from secrets import randbits
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from sutro_mcp.results.request_models import Wrapping
from sutro_mcp.results.rows.cells import parse_object
from sutro_mcp.results.rows.json_in_text import find_object, read_output

Path = tuple[str, ...]
# One field: the places of the objects that have it, and its value in each.
Field = tuple[list[int], list[Any]]

ENVELOPE = {"content", "reasoning_content"}
DEPTH = 4
_TOGETHER = 64
# Between texts that are parsed together stands a number that no text can know.
_NUMBER = randbits(62)
_MARK = f",{_NUMBER},"


class Objects(NamedTuple):
    """JSON objects in some texts. A place is the index of a text.

    `places`: of those that hold an object. `found`: the objects. `opened`: the same with reasoning envelopes
    unwrapped. `envelopes`: places of these, and `inner`: of those with an object inside. `wrapped`: places
    where text stands around an object or the one in its envelope.
    """

    places: list[int]
    found: list[dict[str, Any]]
    opened: Sequence[dict[str, Any]]
    envelopes: list[int]
    inner: list[int]
    wrapped: dict[int, Wrapping]


def unwrap(found: dict[str, Any]) -> dict[str, Any]:
    """A reasoning envelope with its content read where that is a JSON object in a string; else as it is."""
    return _unwrap(found)[0] if is_envelope(found) else found


def _unwrap(envelope: dict[str, Any]) -> tuple[dict[str, Any], Wrapping | None]:
    content = envelope["content"]
    inner, wrapping = read_output(content) if isinstance(content, str) else (None, None)
    return envelope if inner is None else {**envelope, "content": inner}, wrapping


def read_outputs(texts: Iterable[str]) -> Iterator[Objects]:
    """The objects among the texts, a few texts at a time: `read_output` and `unwrap` for many."""
    rest = iter(texts)
    start = 0
    while chunk := list(islice(rest, _TOGETHER)):
        yield _opened(*_read_chunk(chunk, start))
        start += len(chunk)


def _read_chunk(
    texts: Sequence[str], start: int
) -> tuple[list[int], list[dict[str, Any]], dict[int, Wrapping]]:
    """The places, counted from `start`, and the objects there, and around which of them text stands."""
    together = _parse_together(texts)
    if together is not None:
        return list(range(start, start + len(texts))), together, {}
    found = {place: each for place, text in enumerate(texts, start) if (each := find_object(text))}
    inside = [text for text, _ in found.values()]
    objects = _parse_together(inside) or map(parse_object, inside)
    read = {place: value for place, value in zip(found, objects, strict=True) if value is not None}
    wrapped: dict[int, Wrapping] = {place: kind for place in read if (kind := found[place][1])}
    return list(read), list(read.values()), wrapped


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


def _opened(places: list[int], found: list[dict[str, Any]], wrapped: dict[int, Wrapping]) -> Objects:
    envelopes = [index for index, each in enumerate(found) if is_envelope(each)]
    if not envelopes:
        return Objects(places, found, found, [], [], wrapped)
    opened = list(found)
    for index in envelopes:
        opened[index], wrapping = _unwrap(found[index])
        if wrapping:
            wrapped.setdefault(places[index], wrapping)
    inner = [places[index] for index in envelopes if isinstance(opened[index]["content"], dict)]
    return Objects(places, found, opened, [places[index] for index in envelopes], inner, wrapped)


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
