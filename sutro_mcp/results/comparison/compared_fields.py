"""The fields that two runs have in common, each as SQL for a value that can be compared in a few bytes.

Numbers and booleans stand for themselves, all else for its 64-bit hash: so a block of rows takes the same
memory whatever its texts are. Where the types of the runs differ, numbers are compared as numbers, all else
as text, in which a number reads the same whatever type the other rows of its run gave it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sutro_mcp.results.rows.json_shape import quoted
from sutro_mcp.results.sql.narrow_table import Column
from sutro_mcp.results.sql.results_view import OUTPUT
from sutro_mcp.results.sql.side_file import OpenTable

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
        """Whether both runs have integers of 64 bits."""
        return {self.before.type, self.after.type} == {"BIGINT"}

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
    if by == INPUTS:
        lacking = [run for run, table in tables.items() if not _has_inputs(table)]
    else:
        lacking = [run for run in tables if by not in types[run]]
    if lacking:
        raise KeyError(*lacking)
    left_out = {"row", INPUTS, OUTPUT, by} | (_objects(before.columns) & _objects(after.columns))
    names = [name for name in types["before"] if name in types["after"] and name not in left_out]

    def field(name: str) -> ComparedField:
        return _field(name, types["before"][name], types["after"][name])

    fields = [field(name) for name in names]
    if output := _output(before, after, field(OUTPUT), {each.name: each for each in fields}):
        fields.append(output)
    return ComparedTables(
        fields=fields,
        key=None if by == "row" else field(by),
        inputs=field(INPUTS) if by != INPUTS and all(map(_has_inputs, tables.values())) else None,
        only_before=[name for name in types["before"] if name not in types["after"]],
        only_after=[name for name in types["after"] if name not in types["before"]],
    )


def hashed(value: str) -> str:
    """SQL for the hash of a value, null for null."""
    return f"CASE WHEN {value} IS NOT NULL THEN hash({value}) END"


def _field(name: str, before: str, after: str) -> ComparedField:
    column, is_number = quoted(name), _is_number(before) and _is_number(after)
    if before == after:
        as_compared = column if is_number or before == "BOOLEAN" else hashed(column)
        compared = [as_compared, as_compared]
    elif is_number:
        common = "HUGEINT" if before in _INTEGERS and after in _INTEGERS else "DOUBLE"
        compared = [f"{column}::{common}"] * 2
    else:
        compared = [hashed(text) for text in _alike_texts(column, before, after)]
    one, other = (
        Side(kind, value, _shown(column, kind)) for kind, value in zip((before, after), compared, strict=True)
    )
    return ComparedField(name, one, other, is_number)


def _output(
    before: OpenTable, after: OpenTable, output: ComparedField, fields: dict[str, ComparedField]
) -> ComparedField | None:
    """Outputs that hold no field that can be compared; None where all hold some."""
    common = [name for name in _json_fields(before) if name in fields and name in _json_fields(after)]
    if common and before.about.profile.all_objects and after.about.profile.all_objects:
        return None
    if not common:
        return output
    is_bare = " AND ".join(f"{quoted(name)} IS NULL" for name in common)

    def bare(side: Side) -> Side:
        compared, shown = (f"CASE WHEN {is_bare} THEN {sql} END" for sql in (side.compared, side.shown))
        return Side(side.type, compared, shown)

    return ComparedField(output.name, bare(output.before), bare(output.after))


def _json_fields(table: OpenTable) -> list[str]:
    names = [name for name, _ in table.columns]
    end = names.index(OUTPUT)
    return names[end - len(table.about.profile.fields) : end]


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


def _alike_texts(column: str, before: str, after: str) -> list[str]:
    texts = [_text(column, kind) for kind in (before, after)]
    if _is_nested(before) or _is_nested(after):
        return [_alike_items(text) for text in texts]
    return [_alike_number(text) for text in texts] if "DOUBLE" in (before, after) else texts


def _alike_number(text: str) -> str:
    """A text that is a number as a float is written."""
    number = f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN TRY_CAST({text} AS DOUBLE)::VARCHAR END"
    return f"coalesce({number}, {text})"


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
