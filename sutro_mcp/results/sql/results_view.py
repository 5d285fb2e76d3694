"""The view through which SQL sees a result artifact: typed columns, JSON outputs as one for each field.

Its columns, in this order: `row` (number from 0), inputs and carried columns, one column for each field of
the JSON outputs, the raw output as `inference_result`, logprobs and confidence. A nested object is one column
and, to four levels, one for each of its fields by path (`vendor.name`); so is the content of a reasoning
envelope that is JSON in a string. A row that holds no JSON object has null in every field. A field is
extracted only where a query names it.

A cast is strict: it fails on a value that the profile has not foreseen, and never makes another one of it.

An engine parses an object anew for each function that looks into it, so fields that a query needs are read
together: `Extraction`.
"""

from collections.abc import Callable, Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from sutro_mcp.results.request_models import LocalArtifact
from sutro_mcp.results.rows.column_roles import OUTPUT, field_names, shown_columns
from sutro_mcp.results.rows.json_fields import Path
from sutro_mcp.results.rows.json_shape import are_members, quoted
from sutro_mcp.untrusted_text import visible

from .json_extraction import as_object, content_of, pointer, unwrapped
from .json_field_types import Field, JsonProfile

# Stands for the output column while its neighbours are named: a customer's column may have its name.
_HIDDEN = f"\0{OUTPUT}"
_SMALL = ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")
_WIDER = {**dict.fromkeys(_SMALL, "BIGINT"), "UBIGINT": "HUGEINT", "FLOAT": "DOUBLE"}


class FileColumn(BaseModel):
    """A column of a Parquet file: its name there, and the name and type that DuckDB gives it."""

    model_config = ConfigDict(frozen=True)

    stored: str
    name: str
    type: str


def outputs_of(columns: Sequence[FileColumn], ref: LocalArtifact) -> FileColumn:
    """The column that holds the outputs."""
    return _arranged(columns, ref)[_HIDDEN]


def numbered(columns: Sequence[FileColumn], address: str) -> str:
    """SQL for the rows of a Parquet file with their numbers as `file_row_number`."""
    if any(column.name.lower() == "file_row_number" for column in columns):
        everything = ", ".join(f"{quoted(column.name)} AS {quoted(_inner(column))}" for column in columns)
        return (
            f"SELECT row_number() OVER () - 1 AS file_row_number, {everything} FROM read_parquet('{address}')"
        )
    everything = ", ".join(f"{quoted(column.name)} AS {quoted(_inner(column))}" for column in columns)
    return f"SELECT file_row_number, {everything} FROM read_parquet('{address}', file_row_number=true)"


def as_text(column: FileColumn) -> str | None:
    """SQL for outputs that are text, of whatever text type; None for others."""
    if column.type == "VARCHAR":
        return quoted(_inner(column))
    if column.type == "JSON" or column.type.startswith("ENUM"):
        return f"{quoted(_inner(column))}::VARCHAR"
    return None


def results_view(
    name: str,
    columns: Sequence[FileColumn],
    ref: LocalArtifact,
    profile: JsonProfile,
    file: str,
    fixed: str,
    sql: str,
) -> str:
    """SQL that creates the view `name` over the Parquet file at `file`, with the table `fixed` beside it.

    The view is the same for every query, and fastest for `sql`: fields whose names occur in it go together.
    """
    output = outputs_of(columns, ref)
    sources = list(view_columns(columns, ref, profile))
    fields = ((column.lower(), source.path) for column, source in sources if isinstance(source, Field))
    named = {path for column, path in fields if column in sql.lower()}
    extraction = Extraction(profile, lambda path: any(path[:end] in named for end in range(1, len(path) + 1)))

    def value(source: Field | FileColumn) -> str:
        if isinstance(source, Field):
            return extraction.value(source)
        return (as_text(source) if source == output else None) or _widened(source)

    shown = [f"{value(source)} AS {quoted(name)}" for name, source in sources]
    rows = extraction.rows(_with_objects(numbered(columns, file), as_text(output), profile, fixed))
    return f"CREATE OR REPLACE VIEW {name} AS SELECT file_row_number AS row, {', '.join(shown)} FROM ({rows})"


def view_columns(
    columns: Sequence[FileColumn], ref: LocalArtifact, profile: JsonProfile
) -> Iterator[tuple[str, Field | FileColumn]]:
    """The columns of the view after `row`: the name of each, and the field or column that it shows."""
    arranged = _arranged(columns, ref)
    carried = [key for key in arranged if key != _HIDDEN]
    names = field_names((field.path for field in profile.fields), carried)
    for key, column in arranged.items():
        if key == _HIDDEN:
            yield from ((visible(names[field.path]), field) for field in profile.fields)
        yield (OUTPUT if key == _HIDDEN else visible(key)), column


def unpacked_rows(
    columns: Sequence[FileColumn],
    ref: LocalArtifact,
    profile: JsonProfile,
    file: str,
    fixed: str,
    *,
    keep_json: bool,
) -> str:
    """SQL for what is in the outputs, row by row in the order of the file.

    Columns: the row number, whether there is text and no object, then each field at the top. An object whose
    keys differ from row to row is a struct of all of them if one can be. With `keep_json` such objects, lists
    of them, and those that hold wide integers are JSON.
    """

    extraction = Extraction(profile, lambda _path: True)

    def value(field: Field) -> str:
        if keep_json and field.needs_json:
            return extraction.value(field.model_copy(update={"type": "JSON"}))
        inner = extraction.members(field)
        if field.type != "JSON" or not are_members([each.path[-1] for each in inner]):
            return extraction.value(field)
        return extraction.packed(field, [value(each) for each in inner])

    text = as_text(_arranged(columns, ref)[_HIDDEN])
    rows = extraction.rows(_with_objects(numbered(columns, file), text, profile, fixed))
    shown = [value(field) for field in profile.fields if len(field.path) == 1]
    return f'SELECT file_row_number, {text} IS NOT NULL AND " j" IS NULL, {", ".join(shown)} FROM ({rows})'


def _with_objects(rows: str, text: str | None, profile: JsonProfile, fixed: str) -> str:
    """`rows` with the object in each output as ` j`, and the one in its content as ` c`."""
    if text is None or not profile.fields:
        return rows
    rows = f'SELECT *, {text} AS " text" FROM ({rows})'
    if profile.is_wrapped:
        rows = unwrapped(rows, '" text"')
    found = '" text"' if profile.is_certain else as_object('" text"')
    if profile.fixed != "none":
        # An empty text stands for no object.
        values = {" fixed": "CASE WHEN is_fixed THEN coalesce(json, '') END"}
        if profile.envelope != "none":
            values[" fixed content"] = "content"
        if profile.fixed == "few":
            # DuckDB may turn a LEFT JOIN round, and rows would lose their order.
            one = f"(SELECT {{}} FROM {fixed} WHERE row = file_row_number)"
            values = {name: one.format(value) for name, value in values.items()}
        else:
            rows = f"SELECT r.*, json, content, is_fixed FROM ({rows}) r POSITIONAL JOIN {fixed}"
        columns = ", ".join(f"{value} AS {quoted(name)}" for name, value in values.items())
        rows = f"SELECT *, {columns} FROM ({rows})"
        found = f"""CASE WHEN " fixed" IS NULL THEN {found} ELSE nullif(" fixed", '') END"""
    rows = f'SELECT *, {found} AS " j" FROM ({rows})'
    if profile.envelope == "none":
        return rows
    content = '" t"' if profile.is_content_certain else as_object('" t"')
    if profile.fixed != "none":
        content = f'CASE WHEN " fixed" IS NULL THEN {content} ELSE " fixed content" END'
    texts = f'SELECT *, {content_of(quoted(" j"), profile.envelope)} AS " t" FROM ({rows})'
    if profile.is_content_wrapped:
        texts = unwrapped(texts, '" t"')
    return f'SELECT *, {content} AS " c" FROM ({texts})'


def _arranged(columns: Sequence[FileColumn], ref: LocalArtifact) -> dict[str, FileColumn]:
    by_name = {column.stored: column for column in columns}
    return {name: by_name[stored] for name, stored in shown_columns(list(by_name), ref, _HIDDEN).items()}


def _widened(column: FileColumn) -> str:
    """A number in a type in which arithmetic does not overflow soon."""
    name = quoted(_inner(column))
    wider = _WIDER.get(column.type, column.type.replace("DECIMAL(38,0)", "HUGEINT"))
    return name if wider == column.type else f"{name}::{wider}"


def _inner(column: FileColumn) -> str:
    """Its name inside the view: none that the view itself uses begins so."""
    return f"file {column.name}"


class Extraction:
    """SQL for the values of fields. Those for which `is_needed` are read with one look at the object."""

    def __init__(self, profile: JsonProfile, is_needed: Callable[[Path], bool]) -> None:
        self._profile = profile
        self._lists: dict[str, list[Field]] = {}
        self._together: dict[Path, str] = {}
        for field in profile.fields:
            if not field.is_beside_list and is_needed(field.path):
                fields = self._lists.setdefault(self._source(field)[0], [])
                fields.append(field)
                self._together[field.path] = f'" fields of{self._source(field)[0][1:-1]}"[{len(fields)}]'

    def rows(self, rows: str) -> str:
        """`rows`, which have the objects, with what the values are made from."""
        for source, fields in self._lists.items():
            at = ", ".join(self._source(field)[1] for field in fields)
            name = f'" fields of{source[1:-1]}"'
            rows = f"SELECT *, json_extract_string({source}, [{at}]) AS {name} FROM ({rows})"
        return rows

    def value(self, field: Field) -> str:
        """The value of a field, which is null where there is none."""
        source, text = self._source(field)[0], self._text(field)
        inner = self.members(field) if field.type.startswith("STRUCT") else []
        if field.type == "VARCHAR":
            found = text
        elif field.type == "JSON":
            found = f"{text}::JSON"
        elif inner and not field.type.endswith("]") and self._source(inner[0])[0] == source:
            found = self.packed(field, [self.value(each) for each in inner])
        elif field.type.endswith("]") or field.type.startswith("STRUCT"):
            found = f"CAST({text}::JSON AS {field.type})"
        else:
            found = f"CAST({text} AS {field.type})"
        path = self._path(field)
        if field.is_beside_list and len(path) > 1:
            # A pointer may reach into a list by number.
            above = (f"json_type({source}, {pointer(path[:end])}) = 'OBJECT'" for end in range(1, len(path)))
            found = f"CASE WHEN {' AND '.join(above)} THEN {found} END"
        return found

    def members(self, field: Field) -> list[Field]:
        """The fields inside objects, if all are known."""
        inner = [each for each in self._profile.fields if each.path[:-1] == field.path]
        return [] if self._profile.more_fields else inner

    def packed(self, field: Field, values: Sequence[str]) -> str:
        """An object as a struct of its `members`, which have these values."""
        names = (quoted(each.path[-1]) for each in self.members(field))
        pairs = ", ".join(f"{name} := {value}" for name, value in zip(names, values, strict=True))
        return f"CASE WHEN {self._text(field)} IS NOT NULL THEN struct_pack({pairs}) END"

    def _text(self, field: Field) -> str:
        """A text as it is, of another value its JSON."""
        source, at = self._source(field)
        return self._together.get(field.path) or f"json_extract_string({source}, {at})"

    def _source(self, field: Field) -> tuple[str, str]:
        """The object that holds the field, and its place there."""
        path = self._path(field)
        return '" j"' if path == field.path else '" c"', pointer(path)

    def _path(self, field: Field) -> Path:
        """Its path in the object that holds it."""
        is_inside = self._profile.envelope != "none" and field.path[0] == "content" and len(field.path) > 1
        return field.path[1:] if is_inside else field.path
