"""Suspicious rows: by kind, how many and the first few; and how many rows in all."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any, cast

import polars as pl

from sutro_mcp.results.request_models import Overlap, QualityFlag
from sutro_mcp.results.rows.json_fields import DEPTH, ENVELOPE, Path, at, is_envelope
from sutro_mcp.untrusted_text import visible

from .distinct_sketch import Budget, Sketch
from .prompt_injection import addresses_assistants

_EXAMPLES = 5
# Shorter texts repeat for good reasons ("positive", "N/A").
_LONG = 80
REFUSED = "refusal-like (English phrases)"
ADDRESSED = "addresses an assistant"
_REPEATED = "same output as another row"
_OVERLAPS = 2
_HEAD = 200
_REFUSAL = (
    r"(?i)^\W*(?:"
    r"(?:i['\u{2019}]?m|i am) (?:really |very )?sorry\b"
    r"|sorry, (?:but )?i\b"
    r"|(?:unfortunately, )?i (?:cannot|can['\u{2019}]?t)\b"
    r"|(?:unfortunately, )?i (?:am unable|am not able|won['\u{2019}]?t be able) to\b"
    r"|as an ai\b"
    r")"
)


# What Python takes for white space, which a few more characters are than elsewhere.
_BLANK = r"[\s\x1c-\x1f]"
_NOTES = {
    "is_blank": rf"^{_BLANK}*$",
    "is_like_object": rf"^{_BLANK}*\x{{feff}}?(?:`{{3,}}\w*{_BLANK}*)?\{{",
    "refuses": _REFUSAL,
}
_NOTABLE = "|".join(f"(?:{pattern})" for pattern in _NOTES.values())


def look_at(texts: pl.Series) -> pl.DataFrame:
    """Of each text its length, and whether it is null, blank, long, like an object, or flagged."""
    text = pl.col("text")
    found = pl.DataFrame({"text": texts}).select(
        length=text.str.len_chars(),
        is_null=text.is_null(),
        is_notable=text.str.contains(_NOTABLE).fill_null(value=False),
    )
    found = found.hstack(_notes(texts, found["is_notable"]))
    marks = {REFUSED: _is_refusal(texts, found["refuses"]), ADDRESSED: addresses_assistants(texts)}
    return found.with_columns(long=pl.col("length") >= _LONG, **marks)


def flagged_texts(rows: pl.Series, found: pl.DataFrame) -> dict[str, pl.Series]:
    """The rows that deserve a look as texts, by kind; `found` is what `look_at` says of them."""
    return {
        "null output": rows.filter(found["is_null"]),
        "empty output": rows.filter(found["is_blank"]),
        REFUSED: rows.filter(found[REFUSED]),
        ADDRESSED: rows.filter(found[ADDRESSED]),
    }


def flagged_as_json(rows: pl.Series, found: pl.DataFrame, unread: pl.Series) -> dict[str, pl.Series]:
    """The rows that deserve a look as JSON, by kind: the `unread` ones hold text but no object."""
    like = found["is_like_object"]
    return {
        "JSON cut off or broken": rows.filter(unread & like),
        "not JSON": rows.filter(unread & ~like),
    }


def _notes(texts: pl.Series, is_notable: pl.Series) -> list[pl.Series]:
    """Texts that match each of the patterns. Most match none, which `is_notable` has told in one pass."""
    notable = pl.DataFrame({"text": texts.filter(is_notable)})
    notes = notable.select(**{name: pl.col("text").str.contains(pattern) for name, pattern in _NOTES.items()})
    at = is_notable.arg_true()
    # What is scattered into changes.
    return [is_notable.clone().scatter(at, note).alias(note.name) for note in notes.iter_columns()]


def _is_refusal(texts: pl.Series, starts: pl.Series) -> pl.Series:
    """Whether a text begins as refusals do, in English; `starts` says which start with such words."""
    found = texts.filter(starts).str.head(_HEAD).str.contains(_REFUSAL)
    return starts if found.all() else starts.scatter(starts.arg_true(), found)


class QualityFlags:
    """Counts suspicious rows; a row may be of several kinds."""

    def __init__(self) -> None:
        self.rows = 0
        self._found: dict[str, tuple[int, list[int]]] = {}
        self._both: Counter[frozenset[str]] = Counter()

    def add(self, found: Mapping[str, pl.Series]) -> None:
        """Rows of one batch by kind, in ascending order."""
        filled = {kind: rows for kind, rows in found.items() if len(rows)}
        for kind, rows in filled.items():
            count, first = self._found.get(kind, (0, []))
            self._found[kind] = (count + len(rows), first + rows.head(_EXAMPLES - len(first)).to_list())
        if not filled:
            return
        rows = pl.concat(list(filled.values()))
        unique = rows.n_unique()
        self.rows += unique
        if unique < len(rows):
            for (kind, of_kind), (other, of_other) in combinations(filled.items(), 2):
                if both := int(of_kind.is_in(of_other.implode()).sum()):
                    self._both[frozenset((kind, other))] += both

    def suspicions(self, repeats: QualityFlag | None) -> list[QualityFlag]:
        """The most frequent kind first; of equals, the one that comes first."""
        found = [
            QualityFlag(kind=kind, count=count, rows=rows) for kind, (count, rows) in self._found.items()
        ]
        if repeats:
            found.append(repeats)
            self._both.update(
                {frozenset((repeats.kind, each.kind)): each.count for each in repeats.also or ()}
            )
        found.sort(key=lambda item: (-item.count, item.rows[0]))
        return [
            flag.model_copy(update={"also": self._overlaps(flag.kind, found[:at]) or None})
            for at, flag in enumerate(found)
        ]

    def _overlaps(self, kind: str, before: list[QualityFlag]) -> list[Overlap]:
        shared = [
            Overlap(kind=other.kind, count=self._both[frozenset((kind, other.kind))]) for other in before
        ]
        shared.sort(key=lambda overlap: -overlap.count)
        return [overlap for overlap in shared[:_OVERLAPS] if overlap.count]


class Repeats(Sketch):
    """The sketch of the outputs, which also tells the rows that hold the same long text as another.

    Its cells come with `long` and the kinds that a text may be of.
    """

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._rows: list[int] = []

    def merging(self, cells: pl.DataFrame, fresh: pl.DataFrame, kept: pl.DataFrame) -> None:
        """Keeps the first rows of repeated texts: those of a text that was repeated before are known."""
        known = kept.filter("long").join(fresh, on="h", how="semi").select("h", "row")
        again = pl.concat([known, fresh.filter(pl.col("long") & (pl.col("n") > 1)).select("h", "row")])
        if not again.height:
            return
        # By first row, each text at most twice: no row of any other is among the first.
        first = again.bottom_k(2 * _EXAMPLES, by="row")["h"].implode()
        rows = pl.concat([each.filter(pl.col("h").is_in(first))["row"] for each in (known, cells)])
        self._rows = sorted({*self._rows, *rows.bottom_k(_EXAMPLES).to_list()})[:_EXAMPLES]

    def suspicion(self) -> tuple[QualityFlag | None, int]:
        """The repeated rows, and how many of them are of no other kind."""
        again = pl.col("long") & (pl.col("n") > 1)
        cells, values = self.counts(again)
        count = max(cells, len(self._rows))
        if not count:
            return None, 0
        kinds = (REFUSED, ADDRESSED)
        both = [Overlap(kind=kind, count=self.counts(again & pl.col(kind))[0]) for kind in kinds]
        others, _ = self.counts(again & pl.any_horizontal(*kinds))
        item = QualityFlag(
            kind=_REPEATED,
            count=count,
            rows=self._rows,
            beyond_first=max(count - values, 0),
            also=both if self.complete else None,
            estimate=not self.complete or None,
        )
        return item, max(count - others, 0)


class Enums:
    """The values that a job's schema lists, by path."""

    def __init__(self, schema: dict[str, Any] | None) -> None:
        self.plain = _enums(schema or {}, ())
        # The schema is that of an envelope's content, unless it names the parts of the envelope itself.
        self._is_of_content = bool({path[0] for path in self.plain} - ENVELOPE)
        self._inside = {("content", *path): listed for path, listed in self.plain.items()}

    @property
    def paths(self) -> set[Path]:
        """The paths whose values are listed."""
        return {*self.plain, *self._inside}

    def __bool__(self) -> bool:
        return bool(self.plain)

    def outside(self, found: dict[str, Any], opened: dict[str, Any]) -> list[Path]:
        """The paths whose value is not listed; `opened` is the object with its envelope unwrapped."""
        enums = self.plain
        if self._is_of_content and is_envelope(found):
            found, enums = opened, self._inside
        # Null is a matter of the schema's types.
        return [
            path
            for path, listed in enums.items()
            if (value := at(found, path)) is not None and value not in listed
        ]

    def kinds(self, found: Mapping[Path, pl.Series]) -> dict[str, pl.Series]:
        """Rows by kind of doubt, in the order of the schema."""
        kinds: dict[str, list[pl.Series]] = {}
        for path in dict.fromkeys((*self.plain, *self._inside)):
            if path in found:
                # A dot in a name may make two paths look alike.
                kinds.setdefault(f"outside the schema's enum: {visible('.'.join(path))}", []).append(
                    found[path]
                )
        return {kind: pl.concat(rows).unique().sort() for kind, rows in kinds.items()}


def _enums(schema: dict[str, Any], path: Path) -> dict[Path, list[Any]]:
    """Listed values by path. References are not followed."""
    enums: dict[Path, list[Any]] = {}
    properties = schema.get("properties")
    if not isinstance(properties, dict) or len(path) >= DEPTH:
        return enums
    for key, rule in cast("dict[str, Any]", properties).items():
        if isinstance(rule, dict):
            node = cast("dict[str, Any]", rule)
            if isinstance(node.get("enum"), list):
                enums[(*path, key)] = node["enum"]
            enums.update(_enums(node, (*path, key)))
    return enums
