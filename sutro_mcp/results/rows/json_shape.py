"""The shape of one place in JSON objects (a field, the items of a list) over many rows, and its SQL type.

A type is given only if every value that is not null has it. Kinds of scalars are those of DuckDB's
`json_structure`, and of integers beyond 64 bits: `INT128`, `FLOATING` (within the range of floats) and
`TEXTUAL` (one that nothing but text holds).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, cast

# A struct of more fields is unwieldy, and such an object rather has data for its keys.
_MOST_STRUCT_FIELDS = 50
_MOST_FIELDS = 1_000
_INTEGERS = {"UBIGINT", "BIGINT", "HUGEINT"}
_BIGGER = {"INT128", "FLOATING"}
_TEXT = "VARCHAR"

# The keys to a place; None stands for the items of a list.
Place = tuple[str | None, ...]


@dataclass
class Shape:
    """The values of one place. `is_even`: every object had the same keys, every item of a list included.

    `has_empty`: there was an empty object; in lists `json_structure` may take it for mixed items.
    """

    scalars: set[str] = field(default_factory=set[str])
    fields: dict[str, "Shape"] = field(default_factory=dict[str, "Shape"])
    items: "Shape | None" = None
    is_object: bool = False
    is_even: bool = True
    has_empty: bool = False

    def add_structure(self, structure: Any, *, in_list: bool = False) -> None:
        """The shape by `json_structure` of one or more rows that have this place."""
        if structure == "JSON" and not in_list:
            # An empty object; in lists it is also what has no common structure.
            structure = {}
        if isinstance(structure, dict):
            for inner, value in self._members(cast("dict[str, Any]", structure)):
                inner.add_structure(value, in_list=in_list)
        elif isinstance(structure, list):
            self.items = self.items or Shape()
            self.items.add_structure(structure[0], in_list=True)
        elif structure != "NULL":
            self.scalars.add(structure)

    def add_value(self, value: Any) -> None:
        """One value, as `read_output` reads it."""
        if isinstance(value, dict):
            for inner, member in self._members(cast("dict[str, Any]", value)):
                inner.add_value(member)
        elif isinstance(value, list):
            self.items = self.items or Shape()
            for item in cast("list[Any]", value):
                self.items.add_value(item)
        elif value is not None:
            self.scalars.add(_kind(value))

    def add_values(self, values: Sequence[Any]) -> None:
        """Values as `add_value` takes each, in a fraction of the time: all of one place go together."""
        kinds = set(map(type, values))

        def of(kind: type) -> Sequence[Any]:
            return values if len(kinds) == 1 else [value for value in values if type(value) is kind]

        if dict in kinds:
            self._add_objects(of(dict))
        if list in kinds:
            self.items = self.items or Shape()
            self.items.add_values(list(chain.from_iterable(of(list))))
        if int in kinds:
            integers = of(int)
            ends = {_kind(min(integers)), _kind(max(integers))}
            self.scalars |= ends if ends <= _INTEGERS else set(map(_kind, integers))
        self.scalars |= {_kind(kind()) for kind in kinds & {bool, float, str}}

    def _add_objects(self, objects: Sequence[dict[str, Any]]) -> None:
        every = list(map(tuple, objects))
        by_keys: dict[tuple[str, ...], list[dict[str, Any]]] = {keys: [] for keys in every}
        if len(by_keys) > 1:
            for keys, found in zip(every, objects, strict=True):
                by_keys[keys].append(found)
        self.has_empty = self.has_empty or () in by_keys
        for keys, some in by_keys.items():
            alike = some or objects
            for inner, key in self._members(dict(zip(keys, keys, strict=True))):
                inner.add_values(list(map(itemgetter(key), alike)))

    def _members(self, found: dict[str, Any]) -> Iterator[tuple["Shape", Any]]:
        """The values of an object with the shapes of their places, as long as these are not too many."""
        if self.is_object and found.keys() != self.fields.keys():
            self.is_even = False
        self.is_object = True
        for key, value in found.items():
            if key not in self.fields and len(self.fields) < _MOST_FIELDS:
                self.fields[key] = Shape()
            if key in self.fields:
                yield self.fields[key], value

    @property
    def is_crowded(self) -> bool:
        """Whether there are more fields than are looked at."""
        return len(self.fields) >= _MOST_FIELDS

    def objects(self, prefix: Place = ()) -> Iterator[Place]:
        """The places of all objects in it."""
        if self.is_object:
            yield prefix
        for key, inner in self.fields.items():
            yield from inner.objects((*prefix, key))
        if self.items is not None:
            yield from self.items.objects((*prefix, None))

    def at(self, place: Place) -> "Shape":
        """The shape of one of `objects`."""
        found: Shape = self
        for key in place:
            inner = found.items if key is None else found.fields[key]
            assert inner is not None  # noqa: S101 - for the type checker
            found = inner
        return found

    def is_vague(self, *, in_list: bool = False) -> bool:
        """Whether `json_structure` may tell another type, by `has_empty`."""
        items = [self.items] if self.items else []
        return (
            (self.has_empty and in_list)
            or any(inner.is_vague(in_list=in_list) for inner in self.fields.values())
            or any(inner.is_vague(in_list=True) for inner in items)
        )

    @property
    def is_mixed(self) -> bool:
        """Whether its values have no common type but text."""
        if self.is_object + (self.items is not None) + bool(self.scalars) > 1:
            return True
        if self.items is not None:
            return self.items.is_mixed
        return bool(self.scalars) and self.sql_type == _TEXT and self.scalars != {"VARCHAR"}

    @property
    def sql_type(self) -> str:
        """Text for anything mixed, and for a place that is always null."""
        if self.is_object + (self.items is not None) + bool(self.scalars) > 1:
            return _TEXT
        if self.is_object:
            return self._struct() or "JSON"
        if self.items is not None:
            return f"{self.items.sql_type}[]"
        return self._scalar()

    def _scalar(self) -> str:
        kinds = self.scalars
        if kinds and kinds <= _INTEGERS:
            return "BIGINT"
        if kinds and kinds <= {*_INTEGERS, "INT128"}:
            return "HUGEINT"
        if "DOUBLE" in kinds and kinds <= {*_INTEGERS, *_BIGGER, "DOUBLE"}:
            return "DOUBLE"
        return "BOOLEAN" if kinds == {"BOOLEAN"} else _TEXT

    def _struct(self) -> str | None:
        """The type of objects that all have the same keys, if a struct shows each as it is."""
        if not self.is_even or not are_members(list(self.fields)):
            return None
        if any(inner.is_mixed for inner in self.fields.values()):
            return None
        parts = [f"{quoted(name)} {inner.sql_type}" for name, inner in self.fields.items()]
        return f"STRUCT({', '.join(parts)})"


def are_members(names: Sequence[str]) -> bool:
    """Whether one struct can have these names."""
    distinct = {name.lower() for name in names}
    is_possible = 0 < len(distinct) == len(names) <= _MOST_STRUCT_FIELDS
    return is_possible and all(name and "\0" not in name for name in names)


def quoted(name: str) -> str:
    """`name` as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as a string."""
    return "'" + text.replace("'", "''") + "'"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, float):
        return "DOUBLE"
    if isinstance(value, str):
        return "VARCHAR"
    if -(2**63) <= value < 2**63:
        return "BIGINT"
    if -(2**127) <= value < 2**127:
        return "INT128"
    try:
        float(value)
    except OverflowError:
        return "TEXTUAL"
    return "FLOATING"
