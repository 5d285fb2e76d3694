"""A regular expression for the objects that most rows hold, and the few rows that it does not match.

A text that matches is read alike by every parser: its keys stand once each and in an order that is known, its
values are of known kinds, and nothing odd is in it. Each structure in the expression was read from a row that
matches, so that rows which match teach nothing more. A match takes a third of the time of `json_structure`.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import duckdb

from sutro_mcp.results.rows.json_shape import literal

_SAMPLE = 2_000
_ROUNDS = 4
# The rows that do not match are copied: no more than one in twenty, or these.
_ONE_IN, _FEW = 20, 1_000

_MOST_STRUCTURES = 200
_MOST_KEY_LISTS = 30
_DEEPEST = 8
# RE2 makes more states of a longer one than it keeps, and is then slow.
_LONGEST = 20_000

_BLANK = "[ \t\n\r]*"
_HEX = "[0-9a-fA-F]"
# Half a surrogate pair is not among them.
_ESCAPED = (
    rf'\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}'
    rf"|[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}))"
)
# Within 64 bits, and within the range of floats.
_INTEGER = "-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = rf"{_INTEGER}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{{1,2}})?"
_KINDS = {
    "VARCHAR": rf'"(?:[^"\\\x00-\x1f]|{_ESCAPED})*"',
    "BOOLEAN": "true|false",
    "UBIGINT": _INTEGER,
    "BIGINT": _INTEGER,
    # Integers among floats change no type.
    "DOUBLE": _NUMBER,
    "NULL": "null",
}

# A structure and the number of a row that has it.
Known = tuple[dict[str, Any], int]


class _UnusualError(Exception):
    """There is no expression for a structure, or it would be too long."""


@dataclass
class _Place:
    """Values that may stand in one place: scalars by kind, objects by their keys in order, items of lists."""

    scalars: set[str] = field(default_factory=set[str])
    objects: dict[tuple[str, ...], dict[str, "_Place"]] = field(
        default_factory=dict[tuple[str, ...], dict[str, "_Place"]]
    )
    items: "_Place | None" = None

    def add(self, structure: Any, depth: int = 0) -> None:
        """Allow here what `json_structure` says of it as well. Raises _UnusualError."""
        if depth > _DEEPEST:
            raise _UnusualError
        if isinstance(structure, dict):
            members = cast("dict[str, Any]", structure)
            if not all(map(_is_plain, members)):
                raise _UnusualError
            inner = self.objects.setdefault(tuple(members), {key: _Place() for key in members})
            for key, value in members.items():
                inner[key].add(value, depth + 1)
        elif isinstance(structure, list):
            self.items = self.items or _Place()
            self.items.add(cast("list[Any]", structure)[0], depth + 1)
        elif structure in _KINDS:
            self.scalars.add(structure)
        else:
            raise _UnusualError


def plain_rows(
    connection: duckdb.DuckDBPyConnection, texts: str, row_count: int, name: str
) -> tuple[list[Known], str]:
    """The structures of most of the `texts` (SQL that yields `row` and `text`), and SQL for the others.

    The others are copied into a table of this name. All are others where most rows differ.
    """
    known: list[Known] = []
    root = _Place()
    most = max(_FEW, row_count // _ONE_IN)
    unknown = texts
    for _ in range(_ROUNDS):
        new = _learn(connection, unknown)
        for structure, _row in new:
            root.add(structure)
        known += new
        try:
            regex = _expression(root)
            (count,) = cast(
                "tuple[int]",
                connection.execute(
                    f"""
                    CREATE OR REPLACE TEMP TABLE {name} AS SELECT row, text FROM ({texts})
                    WHERE NOT regexp_full_match(text, {literal(regex)}) LIMIT {most + 1}
                    """
                ).fetchone(),
            )
        except (_UnusualError, duckdb.InvalidInputException, duckdb.OutOfMemoryException):
            break
        unknown = f"SELECT row, text FROM {name}"
        if count <= most:
            return known, unknown
        if not new:
            break
    connection.execute(f"DROP TABLE IF EXISTS {name}")
    return [], texts


def _learn(connection: duckdb.DuckDBPyConnection, texts: str) -> list[Known]:
    """The structures of the first objects, each with the first row that matches an expression of its own."""
    rows = (
        f"SELECT row, text, json_structure(text)::VARCHAR AS structure FROM (FROM ({texts}) LIMIT {_SAMPLE}) "
        r"WHERE json_valid(text) AND starts_with(ltrim(text, E' \t\n\r'), '{')"
    )
    structures = connection.execute(
        f"SELECT structure FROM ({rows}) GROUP BY ALL ORDER BY count(*) DESC, structure "
        f"LIMIT {_MOST_STRUCTURES}"
    ).fetchall()
    cases = "".join(_cases(text for (text,) in structures))
    if not cases:
        return []
    proven = connection.execute(
        f"SELECT structure, min(row) FROM ({rows}) WHERE CASE structure {cases} END GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [(_parsed(text), row) for text, row in proven]


def _cases(structures: Iterator[str]) -> Iterator[str]:
    for structure in structures:
        with suppress(_UnusualError):
            place = _Place()
            place.add(_parsed(structure))
            yield f"WHEN {literal(structure)} THEN regexp_full_match(text, {literal(_expression(place))})\n"


def _parsed(structure: str) -> dict[str, Any]:
    # Of an empty object it says "JSON".
    return {} if structure == '"JSON"' else json.loads(structure)


def _expression(root: _Place) -> str:
    if not 0 < len(root.objects) <= _MOST_KEY_LISTS:
        raise _UnusualError
    found = f"{_BLANK}(?:{'|'.join(map(_object, root.objects.values()))}){_BLANK}"
    if len(found) > _LONGEST:
        raise _UnusualError
    return found


def _value(place: _Place) -> str:
    kinds = {_KINDS[kind] for kind in place.scalars}
    if _NUMBER in kinds:
        kinds.discard(_INTEGER)
    choices = ["null", *sorted(kinds), *map(_object, place.objects.values())]
    if place.items is not None:
        item = f"{_value(place.items)}{_BLANK}"
        choices.append(rf"\[{_BLANK}(?:{item}(?:,{_BLANK}{item})*)?\]")
    return f"(?:{'|'.join(choices)})"


def _object(members: dict[str, _Place]) -> str:
    inner = f",{_BLANK}".join(
        f'"{re.escape(key)}"{_BLANK}:{_BLANK}{_value(value)}{_BLANK}' for key, value in members.items()
    )
    return rf"\{{{_BLANK}{inner}\}}"


def _is_plain(key: str) -> bool:
    """Whether it stands in the text as it is."""
    return key.isprintable() and '"' not in key and "\\" not in key
