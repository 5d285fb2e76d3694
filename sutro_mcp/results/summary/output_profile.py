"""The outputs, batch by batch: as texts, as JSON objects, and the rows among them that look wrong.

Whether they count as objects is known at the end only, so both views are kept until then. Neither costs the
other much: texts that do not start as an object does are not parsed.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import polars as pl

from sutro_mcp.errors import counted
from sutro_mcp.results.request_models import QualityFlag, Wrapping
from sutro_mcp.results.rows.column_roles import OUTPUT, field_names
from sutro_mcp.results.rows.json_fields import Field, Path, paths, read_outputs, spread
from sutro_mcp.untrusted_text import visible

from .batches import Batch
from .column_profile import Column
from .distinct_sketch import Budget
from .json_by_regex import LOOKED_AT, ObjectsByRegex, Values, parse_values
from .quality_flags import (
    ADDRESSED,
    REFUSED,
    Enums,
    QualityFlags,
    Repeats,
    flagged_as_json,
    flagged_texts,
    look_at,
)
from .samples import Extremes
from .summary_budget import MOST_COLUMNS

_PATHS = 200
# What every JSON object has.
_BRACE = r'\{\s*["}]'


class Outputs:
    """Texts that may be JSON objects."""

    def __init__(
        self,
        name: str,
        budget: Budget,
        schema: dict[str, Any] | None,
        *,
        unpack: bool,
        carried: Sequence[str] = (),
    ) -> None:
        """`name` is that of the column, and `carried` are those of the others."""
        self._name = name
        self._carried = carried
        self._budget = budget
        self._promised = unpack and schema is not None
        self._unpack = unpack
        self._enums = Enums(schema)
        self._rows = self._filled = self._objects = self._envelopes = self._inner = 0
        self.wrapped = Counter[Wrapping]()
        self._repeats = Repeats(budget)
        self._as_text = QualityFlags()
        self._as_objects = QualityFlags()
        self.extremes = Extremes()
        self.text = Column(visible(name), budget, self._repeats, OUTPUT)
        self._paths: dict[Path, None] = {}
        self._more = False
        self.fields: dict[Path, Column] = {}
        self._alike = ObjectsByRegex(self._enums.paths)

    def add(self, rows: pl.Series, texts: pl.Series) -> None:
        """One batch of texts and the numbers of their rows."""
        self._rows += len(texts)
        found = look_at(texts)
        self.text.add(rows, texts, found["length"], found.select("long", REFUSED, ADDRESSED))
        self.extremes.add(rows, found["length"])
        flagged = flagged_texts(rows, found)
        self._as_text.add(flagged)
        is_filled = ~(found["is_null"] | found["is_blank"])
        self._filled += int(is_filled.sum())
        if self._unpack:
            like = found["is_like_object"]
            may_hold = like.clone()
            if not like.all():
                may_hold |= texts.str.contains(_BRACE).fill_null(value=False)
            parsed, outside = self._parse(rows.filter(may_hold), texts.filter(may_hold))
            # Of most results all rows are read.
            unread = is_filled & ~rows.is_in(parsed.implode()) if len(parsed) < len(rows) else ~is_filled
            self._as_objects.add(flagged | flagged_as_json(rows, found, unread) | outside)

    def _parse(self, rows: pl.Series, texts: pl.Series) -> tuple[pl.Series, dict[str, pl.Series]]:
        """The rows that hold an object, and those with a value that the schema does not list."""
        outside: dict[Path, list[pl.Series]] = {}
        left, texts = self._take_alike(rows, texts, outside)
        if len(texts):
            parsed = self._parse_each(left, texts, outside)
            rows = pl.concat([rows.filter(~rows.is_in(left.implode())), parsed])
        return rows, self._enums.kinds({path: pl.concat(found) for path, found in outside.items()})

    def _take_alike(
        self, rows: pl.Series, texts: pl.Series, outside: dict[Path, list[pl.Series]]
    ) -> tuple[pl.Series, pl.Series]:
        """Counts the objects that are written alike; the rows and texts that have to be parsed."""
        while True:
            left = pl.repeat(value=True, n=len(texts), eager=True)
            for places, fields in self._alike.take_apart(texts):
                self._objects += len(places)
                found = rows.gather(places)
                for path, values in fields.items():
                    for each in values:
                        at = found if len(each.places) == len(found) else found.gather(each.places)
                        self._add_values(path, at, each, outside)
                left = left.scatter(places, False)
            rows, texts = rows.filter(left), texts.filter(left)
            if len(texts) < 2 * LOOKED_AT or not self._learn(texts.head(LOOKED_AT)):
                return rows, texts

    def _add_values(
        self, path: Path, rows: pl.Series, found: Values, outside: dict[Path, list[pl.Series]]
    ) -> None:
        column, listed = self.fields.get(path), self._enums.plain.get(path)
        if listed is not None and found.kind is not type(None):
            raw = found.values.unique()
            values = raw.to_list() if found.kind else list(chain.from_iterable(parse_values(raw)))
            strange = raw.filter(pl.Series([value not in listed for value in values], dtype=pl.Boolean))
            outside.setdefault(path, []).append(rows.filter(found.values.is_in(strange.implode())))
        if column is None:
            return
        if found.kind:
            column.add_typed(rows, found.values, found.kind)
        else:
            batch = Batch(rows, found.values)
            column.add_parsed(batch, parse_values(batch.texts))

    def _learn(self, texts: pl.Series) -> bool:
        """Whether a way was learnt in which some of these texts are written."""
        objects: list[dict[str, Any]] = []
        fields: dict[Path, Field] = {}
        for read in read_outputs(texts):
            objects += read.opened
            spread(read.opened, read.places, fields)
        # What is taken apart holds no other fields: they keep the order in which they come.
        if not self._more:
            self._register(objects, fields.keys() - self._paths.keys())
        return self._alike.learn(objects)

    def _parse_each(
        self, rows: pl.Series, texts: pl.Series, outside: dict[Path, list[pl.Series]]
    ) -> pl.Series:
        """Counts the objects in the texts; the rows that hold one."""
        batch = Batch(rows, texts)
        parsed: list[int] = []
        envelopes: list[int] = []
        inner: list[int] = []
        strange: dict[Path, list[int]] = {}
        wrapped: dict[int, Wrapping] = {}
        fields: dict[Path, Field] = {}
        for places, found, opened, enveloped, inside, around in read_outputs(batch.texts):
            parsed += places
            envelopes += enveloped
            inner += inside
            wrapped |= around
            if self._enums:
                for place, each, unwrapped in zip(places, found, opened, strict=True):
                    for path in self._enums.outside(each, unwrapped):
                        strange.setdefault(path, []).append(place)
            spread(opened, places, fields)
            if not self._more:
                self._register(opened, fields.keys() - self._paths.keys())
        for path, (places, values) in fields.items():
            if path in self.fields:
                self.fields[path].add_json(batch, places, values)
        found = batch.rows_of(parsed)
        self._objects += len(found)
        self._envelopes += len(batch.rows_of(envelopes))
        self._inner += len(batch.rows_of(inner))
        for kind in dict.fromkeys(wrapped.values()):
            self.wrapped[kind] += len(batch.rows_of([at for at, each in wrapped.items() if each == kind]))
        for path, places in strange.items():
            outside.setdefault(path, []).append(batch.rows_of(places))
        return found

    def _register(self, objects: Sequence[dict[str, Any]], new: set[Path]) -> None:
        """Paths seen for the first time, in the order of the objects; only so many can be shown."""
        for path in (path for found in objects for path in paths(found)):
            if not new:
                return
            if path not in new:
                continue
            if len(self._paths) >= _PATHS:
                self._more = True
                return
            new.remove(path)
            self._paths[path] = None
            if len(self.fields) < MOST_COLUMNS:
                self.fields[path] = Column("", self._budget)

    def name_fields(self) -> None:
        """Once all rows were added, as only then it is known which names clash."""
        names = field_names(self._paths, self._carried, self._name)
        for path, column in self.fields.items():
            column.name = visible(names[path])

    @property
    def structured(self) -> bool:
        """Whether the outputs are summarised as JSON objects: half of them are, or the job promised them."""
        return bool(self._objects) and (self._promised or 2 * self._objects >= self._filled)

    @property
    def kind(self) -> str:
        """The kind of the outputs, in words."""
        if not self._rows:
            return "none, there are no rows"
        if not self.structured:
            some = f"{self._objects:,} of {counted(self._rows, 'row')}"
            return f"text, with a JSON object in {some}" if self._objects else "text"
        name = "JSON objects"
        every = self._envelopes == self._objects
        parts = "reasoning envelopes (content, reasoning_content)"
        if every:
            content = (
                "JSON objects" if self._inner == self._objects else "text or JSON" if self._inner else "text"
            )
            name = f"{parts}; content is {content}"
        if self._objects < self._rows:
            name += f" in {self._objects:,} of {counted(self._rows, 'row')}"
        return name if every or not self._envelopes else f"{name}, {self._envelopes:,} of them {parts}"

    def sql_type(self, path: Path) -> str | None:
        """The type of a field in SQL; None if it is not known."""
        shape = self.fields[path].shape
        if self._more or shape.is_vague():
            return None
        if any(other[: len(path)] == path for other in self._paths if other != path):
            # In other rows it is an object.
            if shape.scalars or shape.items:
                return "VARCHAR"
            return "JSON" if shape.is_object and not self._envelopes else None
        return None if shape.is_object and self._envelopes else shape.sql_type

    @property
    def unshown(self) -> tuple[int, bool]:
        """Number of fields beyond those counted, and whether there are still more."""
        return len(self._paths) - len(self.fields), self._more

    def suspicions(self) -> tuple[list[QualityFlag], int]:
        """Suspicious rows by kind, and how many rows they are in all; after `text` has settled."""
        if self.structured or self._promised:
            return self._as_objects.suspicions(None), self._as_objects.rows
        repeats, more = self._repeats.suspicion()
        return self._as_text.suspicions(repeats), self._as_text.rows + more
