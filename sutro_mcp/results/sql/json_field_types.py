"""The fields of JSON outputs and their SQL types, told from every row.

DuckDB groups the rows by their structure, and a job has a handful of those. Rows that it might read otherwise
than `read_output` does are read by that one, row by row; where the two differ, what `read_output` reads is
written into the table `fixed`, from which the view takes it.
"""

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, cast

import duckdb
from pydantic import BaseModel, ConfigDict

from sutro_mcp.results.rows.cells import compact, parse_object
from sutro_mcp.results.rows.json_fields import DEPTH, Path, is_envelope, unwrap
from sutro_mcp.results.rows.json_in_text import find_object
from sutro_mcp.results.rows.json_shape import Place, Shape, literal

from .json_extraction import (
    IS_OBJECT,
    NAMES,
    VERDICT,
    Envelope,
    content_of,
    json_path,
    pointer,
    repeats,
    unwrapped,
)
from .repaired_rows import MOST_JOINED, FixedKind, FixedRows
from .structure_regex import Known, plain_rows

_MOST_FIELDS = 200
_MOST_LISTS = 20
_MOST_ORDERS = 100
# `read_output` gives up at 200 levels; what is deeper than this is left to it.
_DEEP = 150
_BATCH = 1_000


class Field(BaseModel):
    """A field by its path, and its SQL type. `is_beside_list`: what it is in is a list in other rows."""

    model_config = ConfigDict(frozen=True)

    path: Path
    type: str
    is_beside_list: bool = False

    @property
    def needs_json(self) -> bool:
        """Whether formats that are text hold its values as JSON alone."""
        return "JSON" in self.type or ("HUGEINT" in self.type and self.type != "HUGEINT")


class JsonProfile(BaseModel):
    """The facts that a view of outputs is made from.

    `all_objects`: every output is null or an object that DuckDB reads as it is; `is_certain`: but for rows in
    `fixed`, and `is_content_certain`: so is every content that may have fields. `envelope`: which objects are
    reasoning envelopes, whose content may be JSON in a string. `fixed`: how many rows stand in `fixed`.
    `is_wrapped`: some outputs, and `is_content_wrapped`: some contents are in a fence or after thoughts.
    """

    model_config = ConfigDict(frozen=True)

    fields: tuple[Field, ...] = ()
    more_fields: bool = False
    all_objects: bool = False
    is_certain: bool = False
    is_content_certain: bool = False
    envelope: Envelope = "none"
    fixed: FixedKind = "none"
    is_wrapped: bool = False
    is_content_wrapped: bool = False


def make_profile(connection: duckdb.DuckDBPyConnection, source: str) -> JsonProfile:
    """The profile of `source`, SQL that yields `row` and `outputs` (text).

    Makes the table `fixed` in the current database.
    """
    return _Profiling(connection, source).make()


class _Group(NamedTuple):
    """Rows of one structure. `names`: how often `":` occurs in each; `row`: the first of them."""

    structure: Any
    names: int
    row: int


class _Texts(NamedTuple):
    """SQL for some texts and for those among them that are not plain, whose copy has this `name`.

    `is_wrapped`: what stands around objects was taken off where SQL can do that.
    """

    every: str
    rest: str
    plain: list[Known]
    name: str
    is_wrapped: bool


@dataclass
class _Settled:
    """The structures of texts, how many are no objects, and lists whose objects differ in their keys."""

    texts: _Texts
    groups: list[_Group] = field(default_factory=list[_Group])
    others: int = 0
    uneven: set[Place] = field(default_factory=set[Place])


class _Profiling:
    def __init__(self, connection: duckdb.DuckDBPyConnection, source: str) -> None:
        self._connection = connection
        self._source = source
        self._fixed = FixedRows(connection)
        self._rows: int = self._one(f"SELECT count(*) FROM ({source})")[0]
        # The rows that `read_output` reads.
        connection.execute("CREATE OR REPLACE TEMP TABLE singled (row BIGINT)")

    def make(self) -> JsonProfile:
        texts = f"SELECT row, outputs AS text FROM ({self._source})"
        nothing = _Settled(_Texts(texts, texts, [], "", is_wrapped=False))
        try:
            outer, inner = self._survey(texts, "unlike"), nothing
            rows = texts if outer.texts.is_wrapped else outer.texts.rest
            envelope = _envelope({is_envelope(group.structure) for group in outer.groups})
            if envelope != "none":
                before = self._count()
                content = content_of("text", envelope)
                inside = f"SELECT row, {content} AS text FROM {self._objects(outer.texts.every)}"
                inner = self._survey(inside, "unlike_inside")
                if self._count() > before:
                    outer = self._settle(outer.texts)
                    rows = texts
        except duckdb.OutOfMemoryException:
            # As many structures as rows, or nearly so.
            self._single_out(f"SELECT row FROM ({self._source})")
            outer, inner, rows = replace(nothing, others=1), nothing, texts
        is_certain = self._count() <= MOST_JOINED
        root, content, envelopes = self._merge(outer, inner, rows, is_certain=is_certain)
        for shape, settled in ((root, outer), (content, inner)):
            for place in settled.uneven:
                shape.at(place).is_even = False
        fields = list(_fields(root, content if True in envelopes else None))
        return JsonProfile(
            fields=tuple(fields[:_MOST_FIELDS]),
            more_fields=len(fields) > _MOST_FIELDS or root.is_crowded,
            all_objects=not outer.others and not self._count(),
            is_certain=is_certain and not outer.others,
            is_content_certain=is_certain and not inner.others,
            envelope=_envelope(envelopes),
            fixed=self._fixed.finish(self._rows),
            is_wrapped=outer.texts.is_wrapped,
            is_content_wrapped=inner.texts.is_wrapped,
        )

    def _survey(self, every: str, name: str, *, is_wrapped: bool = False) -> _Settled:
        """The structures of texts, of which those that are not plain may be copied under this name."""
        plain, rest = plain_rows(self._connection, every, self._rows, name)
        return self._settle(_Texts(every, rest, plain, name, is_wrapped))

    def _settle(self, texts: _Texts) -> _Settled:
        """The structures of these texts, once all rows are singled out that have to be."""
        while True:
            found = _Settled(texts)
            odd: list[int] = []
            verdicts: set[str] = set()
            # Objects first.
            for verdict, structure, names, count, first, last in self._shapes(texts.rest):
                if verdict == "object":
                    # Of an empty object it says "JSON".
                    parsed: Any = {} if structure == '"JSON"' else json.loads(structure)
                    found.groups.append(_Group(parsed, names, first))
                elif verdict == "wrapped" and not texts.is_wrapped:
                    return self._survey(unwrapped(texts.every, "text"), texts.name, is_wrapped=True)
                elif verdict == "other" and (count > MOST_JOINED or not (found.groups or texts.plain)):
                    found.others = count
                elif verdict is not None:
                    # A few that are no objects are named, so that nothing has to tell them from the others.
                    odd += first, last
                    verdicts.add(verdict)
            if odd:
                some = ", ".join(map(literal, sorted(verdicts)))
                where = f"row BETWEEN {min(odd)} AND {max(odd)} AND {VERDICT} IN ({some})"
                self._single_out(f"SELECT row FROM ({texts.rest}) WHERE {where}{self._unsingled()}")
            if not self._single_out_repeated_names(texts.rest, found):
                found.groups += (_Group(structure, 0, row) for structure, row in texts.plain)
                found.groups.sort(key=attrgetter("row"))
                return found

    def _shapes(self, texts: str) -> list[tuple[str | None, str, int, int, int, int]]:
        verdict = f"CASE WHEN true{self._unsingled()} THEN {VERDICT} END"
        return self._connection.execute(
            f"""
            SELECT verdict, structure, names, count(*), min(row), max(row) FROM (
                SELECT row, verdict, CASE WHEN verdict = 'object' THEN json_structure(text)::VARCHAR END
                    AS structure, CASE WHEN verdict = 'object' THEN {NAMES} END AS names
                FROM (SELECT row, text, {verdict} AS verdict FROM ({texts}))
            ) GROUP BY ALL ORDER BY verdict, min(row)
            """
        ).fetchall()

    def _single_out_repeated_names(self, texts: str, found: _Settled) -> bool:
        """Whether there were objects that name a field twice, or are too deep."""
        keys: dict[Place, set[tuple[str, ...]]] = {}
        listed: set[int] = set()
        suspicious: set[int] = set()
        is_certain = True
        for group in found.groups:
            objects, is_mixed, depth = _measure(group.structure)
            for place, names in objects:
                keys.setdefault(place, set()).add(names)
            if any(None in place and names for place, names in objects):
                listed.add(group.names)
            elif group.names != sum(len(names) for _, names in objects):
                # A name that occurs again, an object among mixed values, or a text that looks like a name.
                suspicious.add(group.names)
                is_certain = is_certain and not is_mixed
            if depth > _DEEP:
                suspicious.add(group.names)
                is_certain = False
        if listed and not self._are_all_expected(texts, keys):
            suspicious |= listed
        if not suspicious:
            return False
        return self._search(texts, found, list(keys), suspicious, is_certain)

    def _are_all_expected(self, texts: str, keys: dict[Place, set[tuple[str, ...]]]) -> bool:
        """Whether each object has the keys that a structure has in its place, in that order."""
        outside = [place for place in keys if None not in place]
        checks: list[str] = []
        for place, names in keys.items():
            if len(names) > _MOST_ORDERS or (path := json_path(place)) is None:
                return False
            orders = ", ".join(f"[{', '.join(map(literal, each))}]::VARCHAR[]" for each in names)
            if None in place:
                checks.append(f"list_bool_or([k NOT IN ({orders}) for k in json_keys(text, {path})])")
            else:
                at = outside.index(place) + 1
                checks.append(f"k[{at}] NOT IN ({orders}, []::VARCHAR[])")
        some = f"json_keys(text, [{', '.join(pointer(cast('Path', place)) for place in outside)}])"
        if len(checks) - len(outside) > _MOST_LISTS:
            return False
        conditions = " OR ".join(f"coalesce({each}, false)" for each in checks)
        rows = self._objects(texts)
        count = self._one(f"SELECT count(*) FROM (SELECT text, {some} AS k FROM {rows}) WHERE {conditions}")
        return count[0] == 0

    def _search(
        self, texts: str, found: _Settled, places: list[Place], counts: set[int], is_certain: bool
    ) -> bool:
        """Single out the rows with so many names in which an object names a field twice."""
        inside = [place for place in places if None in place]
        outside = ", ".join(pointer(cast("Path", place)) for place in places if None not in place)
        keys = [f"json_keys(text, {path})" for path in map(json_path, inside) if path]
        if not is_certain or len(keys) < len(inside) or len(keys) > _MOST_LISTS:
            keys, repeated = [], "true"
            found.uneven.update(inside)
        else:
            every = [f"json_keys(text, [{outside}])", *keys]
            each = (f"list_bool_or([len(list_distinct(k)) < len(k) for k in {some}])" for some in every)
            repeated = " OR ".join(f"coalesce({some}, false)" for some in each)
        rows = f"{self._objects(texts)} WHERE {NAMES} IN ({', '.join(map(str, counts))})"
        least = "".join(f", min(list_min([len(k) for k in {each}]))" for each in keys)
        count, *fewest = self._one(f"SELECT count(*) FILTER ({repeated}){least} FROM {rows}")
        shape = Shape()
        for group in found.groups:
            shape.add_structure(group.structure)
        for place, few in zip(inside, fewest, strict=False):
            if few is not None and few < len(shape.at(place).fields):
                found.uneven.add(place)
        if count:
            self._single_out(f"SELECT row FROM {rows} AND ({repeated})")
        return count > 0

    def _objects(self, texts: str) -> str:
        """SQL for those rows of `texts` that DuckDB reads."""
        rows = f"SELECT row, text FROM ({texts}) WHERE {IS_OBJECT.format('text')}"
        return f"({rows}{self._unsingled()})"

    def _unsingled(self) -> str:
        return " AND row NOT IN (SELECT row FROM singled)" if self._count() else ""

    def _merge(
        self, outer: _Settled, inner: _Settled, texts: str, *, is_certain: bool
    ) -> tuple[Shape, Shape, set[bool]]:
        """The shapes of outputs and of contents, and whether objects are envelopes.

        `texts` has all rows that are singled out, as they are. `is_certain`: those of them in which DuckDB
        reads no object all have to be in `fixed`.
        """
        root, content = Shape(), Shape()
        envelopes: set[bool] = set()
        self._fixed.expect(self._count())
        by_structure = ((group.row, root, group.structure) for group in outer.groups)
        inside = ((group.row, content, group.structure) for group in inner.groups)
        singled = self._singled_rows(texts, is_wrapped=outer.texts.is_wrapped)
        one_by_one = ((row, None, (text, is_read)) for row, text, is_read in singled)
        steps = heapq.merge(by_structure, inside, one_by_one, key=itemgetter(0))
        for row, shape, found in cast("Iterator[tuple[int, Shape | None, Any]]", steps):
            if shape is not None:
                shape.add_structure(found)
                if shape is root:
                    envelopes.add(is_envelope(found))
                    if not inner.groups and isinstance(found.get("content"), dict):
                        content.add_structure(found["content"])
                continue
            text, is_read = found
            inside = find_object(text)
            value = inside and parse_object(inside[0])
            inner_value: Any = None
            if value is not None:
                root.add_value(value)
                envelopes.add(is_envelope(value))
                inner_value = unwrap(value).get("content")
                if isinstance(inner_value, dict):
                    content.add_value(inner_value)
            is_other = inside and value and (is_envelope(value) or repeats(inside[0]))
            if is_other or is_read == (value is None) or (is_certain and not is_read):
                inner_text = compact(cast("Any", inner_value)) if isinstance(inner_value, dict) else None
                self._fixed.add(row, None if value is None else compact(value), inner_text)
        return root, content, envelopes

    def _singled_rows(self, texts: str, *, is_wrapped: bool) -> Iterator[tuple[int, str, bool]]:
        """Their numbers, in order, their texts, and whether DuckDB reads an object there."""
        rows = f"SELECT row, text AS whole, text FROM ({texts})"
        if is_wrapped:
            rows = unwrapped(rows, "text")
        # Two threads would not keep the rows in order.
        self._connection.execute("SET threads = 1")
        rows = self._connection.execute(
            f"SELECT row, whole, {IS_OBJECT.format('text')} FROM ({rows}) "
            + ("" if self._count() == self._rows else "WHERE row IN (SELECT row FROM singled)")
        )
        while batch := rows.fetchmany(_BATCH):
            yield from batch

    def _single_out(self, rows: str) -> None:
        self._connection.execute(f"INSERT INTO singled {rows}")

    def _count(self) -> int:
        return self._one("SELECT count(*) FROM singled")[0]

    def _one(self, sql: str) -> tuple[Any, ...]:
        return cast("tuple[Any, ...]", self._connection.execute(sql).fetchone())


def _fields(root: Shape, content: Shape | None) -> Iterator[Field]:
    """Every path to four levels, an object before its own fields; `content` has the fields of that field."""

    def walk(shape: Shape, prefix: Path, *, is_beside_list: bool = False) -> Iterator[Field]:
        is_beside_list = is_beside_list or shape.items is not None
        for key, inner in shape.fields.items():
            path = (*prefix, key)
            yield Field(path=path, type=inner.sql_type, is_beside_list=is_beside_list)
            if len(path) == DEPTH:
                continue
            if content and path == ("content",):
                yield from walk(content, path)
            else:
                yield from walk(inner, path, is_beside_list=is_beside_list)

    return walk(root, ())


def _envelope(found: set[bool]) -> Envelope:
    return "all" if found == {True} else "some" if True in found else "none"


def _measure(structure: Any) -> tuple[list[tuple[Place, tuple[str, ...]]], bool, int]:
    """The objects in it with their keys, whether values are mixed, and how deep it is."""
    objects: list[tuple[Place, tuple[str, ...]]] = []
    is_mixed, deepest = False, 0
    rest: list[tuple[Any, Place]] = [(structure, ())]
    while rest:
        found, place = rest.pop()
        deepest = max(deepest, len(place))
        if isinstance(found, dict):
            members = cast("dict[str, Any]", found)
            objects.append((place, tuple(members)))
            rest += [(inner, (*place, key)) for key, inner in members.items()]
        elif isinstance(found, list):
            rest.append((cast("list[Any]", found)[0], (*place, None)))
        else:
            is_mixed = is_mixed or found == "JSON"
    return objects, is_mixed, deepest
