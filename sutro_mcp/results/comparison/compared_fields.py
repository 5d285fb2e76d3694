"""The fields that two runs have in common, each as SQL for a value that can be compared in a few bytes.

Numbers and booleans stand for themselves, all else for its 64-bit hash: so a block of rows takes the same
memory whatever its texts are. Where the types of the runs differ, numbers are compared as numbers, all else
as text, in which a number reads the same whatever type the other rows of its run gave it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sutro_mcp.results.rows.json_shape import quoted
from sutro_mcp.results.sql.narrow_table import Column
from sutro_mcp.results.sql.profile_file import OpenTable
from sutro_mcp.results.sql.results_view import OUTPUT

INPUTS = "inputs"
_INTEGERS = ("BIGINT", "HUGEINT")
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
# The most characters of a value that is shown, and those kept of a longer one.
_MOST_SHOWN = 80
_KEPT = 60


@dataclass(frozen=True)
class Side:
    """SQL over the view of one run: for the value as it is compared, and as it is shown."""

    type: str
    compared: str
    shown: str


@dataclass(frozen=True)
class ComparedField:
    """A field that both runs have."""

    name: str
    before: Side
    after: Side
    is_number: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether both runs have integers."""
        return self.before.type in _INTEGERS and self.after.type in _INTEGERS

    @property
    def integers_beside_floats(self) -> str | None:
        """The run that has integers where the other one has floats."""
        runs = [run for run in ("before", "after") if getattr(self, run).type in _INTEGERS]
        return runs[0] if self.is_number and len(runs) == 1 else None

    @property
    def type(self) -> str:
        """The type, or both where the runs differ."""
        types = dict.fromkeys((self.before.type, self.after.type))
        return " → ".join(types)


@dataclass(frozen=True)
class ComparedTables:
    """The fields in common, the key if rows are matched by one, and the names that one run alone has."""

    fields: list[ComparedField]
    key: ComparedField | None
    inputs: ComparedField | None
    only_before: list[str]
    only_after: list[str]


def compared_tables(before: OpenTable, after: OpenTable, by: str) -> ComparedTables:
    """The fields of two runs whose rows are matched by the column `by`, or by number if that is "row".

    Raises KeyError with the name of each run that lacks the column.
    """
    tables = {"before": before, "after": after}
    types = {run: dict(table.columns) for run, table in tables.items()}
    same = _same_columns(before, after)
    if by == INPUTS:
        lacking = [run for run, table in tables.items() if not _has_inputs(table)]
    elif by not in same:
        lacking = [run for run in tables if by not in types[run]] or ["after"]
    else:
        lacking = []
    if lacking:
        raise KeyError(*lacking)
    objects = _objects(after.columns)
    left_out = {"row", INPUTS, OUTPUT, by, *(n for n in _objects(before.columns) if same.get(n) in objects)}

    def field(name: str) -> ComparedField:
        return _field((name, types["before"][name]), (same[name], types["after"][same[name]]))

    fields = {name: field(name) for name in same if name not in left_out}
    output = _output(before, after, field(OUTPUT), {name: same[name] for name in fields})
    return ComparedTables(
        fields=[*fields.values(), *([output] if output else [])],
        key=None if by == "row" else field(by),
        inputs=field(INPUTS) if by != INPUTS and all(map(_has_inputs, tables.values())) else None,
        only_before=[name for name in types["before"] if name not in same],
        only_after=[name for name in types["after"] if name not in same.values()],
    )


def _same_columns(before: OpenTable, after: OpenTable) -> dict[str, str]:
    """The names of columns before and after: where names clash, one field may have two."""
    by_source = {source: name for name, source in after.sources.items() if name != OUTPUT}
    same = {name: by_source[source] for name, source in before.sources.items() if source in by_source}
    same.pop(OUTPUT, None)
    others = {name for name, _ in after.columns} - set(same.values())
    return {name: same.get(name, name) for name, _ in before.columns if name in same or name in others}


def hashed(value: str) -> str:
    """SQL for the hash of a scalar, null for null. DuckDB has the same for the lists [1] and [0, 1]."""
    return f"CASE WHEN {value} IS NOT NULL THEN hash({value}) END"


def _field(before: Column, after: Column) -> ComparedField:
    names, kinds = zip(before, after, strict=True)
    columns = [quoted(name) for name in names]
    is_number = all(map(_is_number, kinds))
    if kinds[0] == kinds[1]:
        compared = columns if is_number or kinds[0] == "BOOLEAN" else map(hashed, map(_text, columns, kinds))
    elif is_number:
        common = "HUGEINT" if all(kind in _INTEGERS for kind in kinds) else "DOUBLE"
        compared = [f"{column}::{common}" for column in columns]
    else:
        compared = map(hashed, _alike_texts(columns, kinds))
    one, other = (
        Side(kind, value, _shown(column, kind))
        for column, kind, value in zip(columns, kinds, compared, strict=True)
    )
    return ComparedField(names[0], one, other, is_number)


def _output(
    before: OpenTable, after: OpenTable, output: ComparedField, same: dict[str, str]
) -> ComparedField | None:
    """Outputs that hold no field that can be compared; None where all hold some."""
    others = _json_fields(after)
    common = [(name, same[name]) for name in _json_fields(before) if same.get(name) in others]
    if common and before.about.profile.all_objects and after.about.profile.all_objects:
        return None
    if not common:
        return output

    def bare(side: Side, names: Iterable[str]) -> Side:
        is_bare = " AND ".join(f"{quoted(name)} IS NULL" for name in names)
        compared, shown = (f"CASE WHEN {is_bare} THEN {sql} END" for sql in (side.compared, side.shown))
        return Side(side.type, compared, shown)

    old, new = zip(*common, strict=True)
    return ComparedField(output.name, bare(output.before, old), bare(output.after, new))


def _json_fields(table: OpenTable) -> list[str]:
    return [name for name, source in table.sources.items() if not isinstance(source, str)]


def _objects(columns: Sequence[Column]) -> set[str]:
    """Objects whose fields are columns, too: these are compared instead."""
    names = [name for name, _ in columns]
    return {
        name
        for name, kind in columns
        if (kind == "JSON" or (kind.startswith("STRUCT") and not kind.endswith("]")))
        and any(other.startswith(f"{name}.") for other in names)
    }


def _has_inputs(table: OpenTable) -> bool:
    """Whether the inputs came with the results: a field of the outputs may have that name otherwise."""
    return any(column.stored == INPUTS for column in table.about.columns)


def _is_number(kind: str) -> bool:
    return kind in (*_INTEGERS, "DOUBLE")


def _is_nested(kind: str) -> bool:
    return kind == "JSON" or kind.startswith(("STRUCT", "MAP")) or kind.endswith("]")


def _alike_texts(columns: Sequence[str], kinds: Sequence[str]) -> list[str]:
    texts = list(map(_text, columns, kinds))
    if any(kind.startswith("VARCHAR[") for kind in kinds):
        texts = list(map(_with_items_as_text, texts))
    if any(map(_is_nested, kinds)):
        return [_alike_items(text) for text in texts]
    return [_alike_number(text) for text in texts] if "DOUBLE" in kinds else texts


def _alike_number(text: str) -> str:
    """A text that is a number as a float is written."""
    number = f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN TRY_CAST({text} AS DOUBLE)::VARCHAR END"
    return f"coalesce({number}, {text})"


def _with_items_as_text(text: str) -> str:
    """JSON with the items of a list as they are in one where they are mixed; any other text as it is."""
    return f"coalesce(to_json(TRY_CAST(TRY_CAST({text} AS JSON) AS VARCHAR[]))::VARCHAR, {text})"


def _alike_items(text: str) -> str:
    """JSON in which numbers and truth values stand without quotes, and 1.0 as 1."""
    bare = f"regexp_replace({text}, '\"({_NUMBER}|true|false)\"', '\\1', 'g')"
    return f"regexp_replace({bare}, '([0-9])\\.0([],}}])', '\\1\\2', 'g')"


def _text(column: str, kind: str) -> str:
    return f"to_json({column})::VARCHAR" if _is_nested(kind) else f"{column}::VARCHAR"


def _shown(column: str, kind: str) -> str:
    if _is_number(kind) or kind == "BOOLEAN":
        return column
    text = _text(column, kind)
    cut = f"left({text}, {_KEPT}) || '… [' || format('{{:,}}', length({text})) || ' chars]'"
    return f"CASE WHEN length({text}) > {_MOST_SHOWN} THEN {cut} ELSE {text} END"
