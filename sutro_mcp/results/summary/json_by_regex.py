"""JSON objects that are written alike, taken apart by a regular expression instead of a parser.

A model that answers by a schema writes the same names in the same order. An expression made from one such
object finds the text of each value in all the others, and types and counts are then a matter for polars, not
for Python. It knows a part of JSON's grammar only; what it does not match is left to the parser.
"""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import polars as pl
from pydantic_core import from_json

from sutro_mcp.results.rows.json_fields import DEPTH, Path, is_envelope

# Objects that are parsed to learn how the others are written, and how many of these have to be alike.
LOOKED_AT = 64
_ALIKE = 8
_MOST_WAYS = 8
_MOST_VALUES = 100
# A way in which fewer of so many texts are written costs more than it saves.
_TRIED = 4_096
_LEAST_SHARE = 0.05
# More at a time make an expression several times as slow: it has to fit into what its engine may compile.
_WEIGHT = 400
_WEIGHT_OF_VALUE = 20
_TOGETHER = 1_024

_BLANK = r"[ \t\n\r]*"
_NAME = re.compile(r"[\w .-]+")
# To find where a value ends is enough at first.
_STRING_FOUND = r'"(?:[^"\\\x00-\x1f]|\\.)*"'
_SCALAR_FOUND = rf"({_STRING_FOUND}|[-+.0-9a-zA-Z]+)"
_LIST_FOUND = rf'(\[(?:[^\]"]|{_STRING_FOUND})*\]|null)'
# Escapes but those of surrogates, which come in pairs or are replaced.
_ESCAPE = r'\\(?:["\\/bfnrt]|u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))'
_STRING = rf'"(?:[^"\\\x00-\x1f]|{_ESCAPE})*"'
_DIGITS = "-?(?:0|[1-9][0-9]*)"
_FLOAT = rf"{_DIGITS}(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
_SCALAR = rf"(?:{_STRING}|{_FLOAT}|{_DIGITS}|true|false|null)"


def _listed(item: str, opening: str, closing: str) -> str:
    return rf"\{opening}{_BLANK}(?:{item}{_BLANK}(?:,{_BLANK}{item}{_BLANK})*)?\{closing}"


_VALUE = f"(?:{_SCALAR}|{_listed(_SCALAR, '[', ']')})"
_OBJECT = _listed(rf"{_STRING}{_BLANK}:{_BLANK}{_VALUE}", "{", "}")
# Lists in lists are left to the parser, which takes them as lists in the end.
_LIST = _listed(f"(?:{_SCALAR}|{_OBJECT})", "[", "]")


class Values(NamedTuple):
    """Values of one kind in one field, and the places of their objects; without a kind, as JSON in texts."""

    kind: type | None
    places: pl.Series
    values: pl.Series


@dataclass
class _Way:
    """A way of writing an object: expressions, one behind the other, with a group for each path's value."""

    patterns: tuple[str, ...]
    paths: tuple[Path, ...]
    tried: int = 0
    matched: int = 0

    @property
    def pays(self) -> bool:
        return self.tried < _TRIED or self.matched >= _LEAST_SHARE * self.tried


class _Invalid:
    """The kind of what is no JSON."""


class ObjectsByRegex:
    """The ways in which a job's objects are written, learnt from the objects themselves.

    Objects with another one at one of the paths `not_objects` are left to the parser.
    """

    def __init__(self, not_objects: Container[Path] = ()) -> None:
        self._not_objects = not_objects
        self._ways: dict[tuple[str, ...], _Way] = {}

    def learn(self, objects: Sequence[dict[str, Any]]) -> bool:
        """Whether enough of some objects are written in a way that was not known."""
        written = Counter(way for each in objects if (way := _written(each, self._not_objects)))
        for (patterns, paths), count in written.most_common():
            if count >= _ALIKE and patterns not in self._ways and len(self._ways) < _MOST_WAYS:
                self._ways[patterns] = _Way(patterns, paths)
                return True
        return False

    def take_apart(self, texts: pl.Series) -> Iterator[tuple[pl.Series, dict[Path, list[Values]]]]:
        """For each way, the places of the texts written so, and the values in these by path.

        The places of values are those among the texts written so. No text is taken twice.
        """
        left = pl.int_range(len(texts), dtype=pl.UInt32, eager=True)
        for way in [way for way in self._ways.values() if way.pays]:
            if not len(left):
                return
            found = _matches(way, left, texts.gather(left))
            values = _values(found)
            if invalid := [each.places for column in values for each in column if each.kind is _Invalid]:
                places = pl.int_range(found.height, dtype=pl.UInt32, eager=True)
                found = found.filter(~places.is_in(pl.concat(invalid).implode()))
                values = _values(found)
            way.tried += len(left)
            way.matched += found.height
            if found.height:
                left = left.filter(~left.is_in(found["at"].implode()))
                yield found["at"], dict(zip(way.paths, values, strict=True))


def _written(
    found: dict[str, Any], not_objects: Container[Path]
) -> tuple[tuple[str, ...], tuple[Path, ...]] | None:
    """The expressions for objects that are written as this one is; None for one that has to be parsed."""
    # What stands before each value, and what finds this.
    parts: list[tuple[str, str]] = []
    paths: list[Path] = []

    def walk(members: dict[str, Any], prefix: Path, before: str) -> str | None:
        """Appends what `members` are made of; the end that is left to write, or None to leave it all."""
        before += rf"\{{{_BLANK}"
        for name, value in members.items():
            path = (*prefix, name)
            before += f'"{re.escape(name)}"{_BLANK}:{_BLANK}'
            if not _NAME.fullmatch(name) or len(paths) > _MOST_VALUES:
                return None
            if isinstance(value, dict):
                is_open = len(path) < DEPTH and path not in not_objects
                inner = walk(cast("dict[str, Any]", value), path, before) if is_open else None
                if inner is None:
                    return None
                before = inner
            else:
                paths.append(path)
                parts.append((before, _LIST_FOUND if isinstance(value, list) else _SCALAR_FOUND))
                before = ""
            before += f"{_BLANK},{_BLANK}"
        return f"{before.removesuffix(f',{_BLANK}')}\\}}" if members else None

    last = None if is_envelope(found) else walk(found, (), f"^{_BLANK}")
    if last is None:
        return None
    patterns, weight = [""], 0
    for before, value in parts:
        heaviness = len(before.replace(_BLANK, "")) + _WEIGHT_OF_VALUE
        if patterns[-1] and weight + heaviness > _WEIGHT:
            patterns.append("^")
            weight = 0
        weight += heaviness
        patterns[-1] += before + value
    patterns[-1] += f"{last}{_BLANK}$"
    return tuple(patterns), tuple(paths)


def _matches(way: _Way, places: pl.Series, texts: pl.Series) -> pl.DataFrame:
    """The texts that may be objects written in this way: their places as `at`, and each value as text."""
    found, rest = [places], texts
    *firsts, last = way.patterns
    for pattern in firsts:
        start, *values = rest.str.extract_groups(f"({pattern})").struct.unnest().iter_columns()
        rest = rest.str.slice(start.str.len_chars())
        found += values
    found += rest.str.extract_groups(last).struct.unnest().iter_columns()
    columns = (each.alias(str(at) if at else "at") for at, each in enumerate(found))
    return pl.DataFrame(columns).filter(found[-1].is_not_null())


def _values(found: pl.DataFrame) -> list[list[Values]]:
    return [list(_divided(column)) for column in found.iter_columns() if column.name != "at"]


def _divided(texts: pl.Series) -> Iterator[Values]:
    """The values in these texts, one kind after the other."""
    places = pl.int_range(len(texts), dtype=pl.UInt32, eager=True)
    for kind, test, convert in _KINDS:
        at = test(texts)
        if at.all():
            yield Values(kind, places, convert(texts))
            return
        if at.any():
            yield Values(kind, places.filter(at), convert(texts.filter(at)))
            places, texts = places.filter(~at), texts.filter(~at)


def _is(pattern: str) -> Callable[[pl.Series], pl.Series]:
    return lambda texts: texts.str.contains(f"^(?:{pattern})$")


def _is_plain(texts: pl.Series) -> pl.Series:
    """Whether a text is a string that is written as it is read."""
    return texts.str.starts_with('"') & ~texts.str.contains("\\", literal=True)


def _as_is(texts: pl.Series) -> pl.Series:
    return texts


_KINDS: tuple[tuple[type | None, Callable[[pl.Series], pl.Series], Callable[[pl.Series], pl.Series]], ...] = (
    (str, _is_plain, lambda texts: texts.str.slice(1, texts.str.len_chars() - 2)),
    (int, _is("-?(?:0|[1-9][0-9]{0,17})"), lambda texts: texts.cast(pl.Int64)),
    (float, _is(_FLOAT), lambda texts: texts.cast(pl.Float64)),
    (bool, _is("true|false"), lambda texts: texts == "true"),
    (type(None), _is("null"), lambda texts: pl.repeat(None, len(texts), dtype=pl.Null, eager=True)),
    (None, _is(f"{_SCALAR}|{_LIST}"), _as_is),
    (_Invalid, lambda texts: texts.is_not_null(), _as_is),
)


def parse_values(texts: pl.Series) -> Iterator[list[Any]]:
    """The values in texts of JSON, a few at a time."""
    for some in texts.to_frame().iter_slices(_TOGETHER):
        joined = cast("str", some.to_series().str.join(",").item())
        yield from_json(f"[{joined}]", allow_inf_nan=False, cache_strings=False)
