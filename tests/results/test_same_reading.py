"""Pages, summaries, SQL and exports read the same fields, under the same names, with the same values.

What the outputs hold is told by the standard library, and by how they were made.
"""

import json
import re
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from sutro_mcp.results import LocalArtifact, Page
from sutro_mcp.results.request_models import QueryRequest
from sutro_mcp.results.rows.cells import cell
from sutro_mcp.results.rows.json_shape import quoted
from sutro_mcp.results.sql import lazy_engine
from sutro_mcp.results.sql.duckdb_engine import MAX_SQL
from sutro_mcp.results.sql.profile_file import prepare
from tests.results.export.support import export
from tests.results.support import page, parquet, summary
from tests.tries import some_of

# A text and the object in it, None for none.
Output = tuple[str | None, dict[str, Any] | None]
Texts = st.SearchStrategy[str]

BIG = 2**64
EVERYTHING: dict[str, Any] = {"limit": 1_000, "max_chars": 10**7, "max_cell_chars": 50_000}
OWN = "inference_result"

KEYS = st.sampled_from(
    ["a", "b", "A", "", "row", "id", "ID", "x.y", "x", "0", 'q"q', OWN, f"{OWN}.a", "carried.row", "é", "É"]
)
NUMBERS = [
    "0",
    "-1",
    "2.5",
    "-0.0",
    "1e5",
    "1e400",
    "NaN",
    "-Infinity",
    "1",
    str(BIG),
    str(-(2**63)),
    "9" * 40,
]
STRINGS = [
    '"t"',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    '"\\u0000"',
    '"\\"a\\": 1"',
    '"{\\"k\\": 1}"',
    '"NaN"',
    '"</think>"',
]
LEAVES = st.one_of(
    st.sampled_from(["null", "true", "false", *NUMBERS]),
    st.sampled_from(STRINGS),
    st.integers(-(2**70), 2**70).map(str),
    st.text('ab é"\\/,:{}[]1`\n', max_size=5).map(json.dumps),
)


def _text(fields: list[tuple[str, str, str]], end: str) -> str:
    """JSON of an object: names may occur twice, and a comma may be too many."""
    return "{" + ", ".join(map("".join, fields)) + (end if fields else "") + "}"


def _objects(values: Texts) -> Texts:
    colons = st.sampled_from([":", ": ", " :"])
    fields = st.lists(st.tuples(KEYS.map(json.dumps), colons, values), max_size=4)
    return st.builds(_text, fields, st.sampled_from(["", "", "", "", "", ","]))


VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]") | _objects(inner),
    max_leaves=6,
)
OBJECTS = _objects(VALUES)

FENCED = ["```json\n%s\n```", "```%s```", "<think>{}</think>\n\n```json\n%s\n```", "</think>```\n%s\n```\n"]
BARE = [
    "%s",
    " %s\n",
    "\t%s",
    "\ufeff%s",
    '<think>is it {"a": 2}?</think>%s',
    "hm, [1]\n</think>\n%s",
    *FENCED,
]
AMID_WORDS = [
    "Sure:\n\n%s\n\nAnything else?",
    "%s x",
    "[1] %s",
    "<think>x</think>It is %s",
    "```%s``` so",
    '"%s',
]
BROKEN = [
    "[%s]",
    '["]", %s]',
    "%s,",
    "<think>%s",
    "%s {",
    "} %s",
    "%s\n%s",
    "```\n%s\n%s\n```",
    "```%s",
]


def _read(text: str) -> dict[str, Any] | None:
    """The object in a text that is nothing else, without half surrogate pairs."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return None
    whole = json.dumps(found, ensure_ascii=False)
    return cast("dict[str, Any]", json.loads(re.sub("[\ud800-\udfff]", "\ufffd", whole)))


def _refuse(name: str) -> None:
    raise ValueError(name)


def _bare(form: str, text: str) -> Output:
    return form.replace("%s", text), _read(text)


def _amid_words(form: str, text: str) -> Output:
    return form.replace("%s", text), _read(text) or None


def _broken(form: str, text: str) -> Output:
    whole = form.replace("%s", text)
    return whole, _read(text) if form == "```%s" else None


def _envelope(content: Output) -> Output:
    text, inner = content
    outer = {"content": text, "reasoning_content": "r"}
    return json.dumps(outer), outer if inner is None else {**outer, "content": inner}


PLAIN = st.builds(_bare, st.sampled_from(BARE), OBJECTS) | st.builds(
    _amid_words, st.sampled_from(AMID_WORDS), OBJECTS
)
NONE = st.sampled_from([None, "", " ", "no JSON", '{"a": 1', "f(x) = {x}", "{}{}", '"{}"', "{'a': 1}"]).map(
    lambda text: (text, None)
)
OTHERS = NONE | st.builds(_broken, st.sampled_from(BROKEN), OBJECTS)
ENVELOPES = st.builds(_envelope, PLAIN | OTHERS)
OUTPUTS = st.lists(
    st.one_of(OBJECTS.map(lambda text: (text, _read(text))), PLAIN, OTHERS, ENVELOPES), min_size=1, max_size=8
)
CARRIED = st.lists(st.sampled_from(["id", "ID", "row", "Row", "x.y", OWN, "e", ""]), max_size=3, unique=True)


@pytest.mark.timeout(1800)
@settings(
    max_examples=some_of(800),
    deadline=None,
    phases=set(Phase) - {Phase.shrink},
    suppress_health_check=[HealthCheck.too_slow],
)
@example(rows=[('{"a": 1}', {"a": 1}), ('{"a": true}', {"a": True})], carried=[])
@example(rows=[('{"x": {"y": 1}, "x.y": 2}', {"x": {"y": 1}, "x.y": 2})], carried=["x.y"])
@example(rows=[_envelope(_bare(FENCED[0], '{"a": 1}')), _envelope(_bare(FENCED[2], '{"a": 2}'))], carried=[])
@example(rows=[_bare(" %s", '{"a": 1}'), _bare("%s", '{"b": 1}'), _bare("%s", '{"a": 1}')], carried=[])
@example(rows=[(f'{{"n": {n}}}', {"n": n}) for n in (2**70, 0)], carried=[])
@example(rows=[('{"id": 1}', {"id": 1})], carried=["ID", "id", "row", OWN, ""])
@given(rows=OUTPUTS, carried=CARRIED)
def test_every_way_to_read_results_reads_the_same(
    folder: Path, rows: list[Output], carried: list[str]
) -> None:
    """Column by column and cell by cell; only what an engine has to make of several types differs."""
    others = {name: list(range(len(rows))) for name in carried}
    outputs = pl.Series([text for text, _ in rows], dtype=pl.String)
    artifact = parquet(folder, {"outputs": outputs, **others})
    read = [found for _, found in rows]

    in_sql, kinds = _queried(artifact)
    carried = in_sql.columns[1 : 1 + len(carried)]
    fields = in_sql.columns[1 + len(carried) : -1]

    # A page by name has the fields of SQL, each where the summary says that it is.
    by_name = page(artifact, columns=tuple(fields), **EVERYTHING) if fields else None
    for at, name in enumerate(fields):
        place = in_sql.columns.index(name)
        for row, shown in enumerate(by_name.rows if by_name else ()):
            assert _same(shown[at], in_sql.rows[row][place], kinds[name]), (name, row, shown[at])
    raw = in_sql.columns.index(OWN)
    assert [row[raw] for row in in_sql.rows] == [cell(text) for text, _ in rows]

    # A page of all is what the texts hold.
    whole = page(artifact, **EVERYTHING)
    tops = [name for name in whole.columns if name in fields]
    assert whole.columns[: len(carried)] == carried
    keys = list(dict.fromkeys(key for found in read if found for key in found))
    assert len(tops) == len(keys), (whole.columns, in_sql.columns, rows)
    for row, found in enumerate(read):
        shown = dict(zip(whole.columns, whole.rows[row], strict=True))
        for name, key in zip(tops, keys, strict=True):
            value = found.get(key) if found else None
            if not (key == "content" and isinstance(value, dict)):
                assert shown[name] == cell(value)
        assert shown.get(OWN) == (cell(rows[row][0]) if found is None or not keys else None)

    # A summary counts it.
    counted = summary(artifact, json_schema={"type": "object"}, max_chars=10**7)
    unread = sum(flag.count for flag in counted.suspicious if not flag.kind.startswith("outside"))
    assert counted.row_count - unread == sum(found is not None for found in read)
    assert sum((counted.wrapped or {}).values()) == sum(_is_wrapped(*output) for output in rows)
    if keys:
        leaves = [column for column in counted.columns if column.name not in carried]
        assert len(leaves) == len(counted.columns) - len(carried)
        assert {column.name for column in leaves} <= set(fields)
        for column in leaves:
            at = fields.index(column.name)
            filled = [row[at] for row in by_name.rows if row[at] is not None] if by_name else []
            assert column.present - column.nulls <= len(filled)

    _assert_exported(folder, artifact, whole)


def _assert_exported(folder: Path, artifact: LocalArtifact, whole: Page) -> None:
    """An export has the columns of the page, and the values of SQL."""
    report = export(folder, artifact, "same", "parquet", overwrite=True)
    written = pl.read_parquet(folder / "same.parquet")
    assert report.columns == whole.columns
    for at, name in enumerate(whole.columns):
        column = written.to_series(at)
        # Integers beyond 64 bits are decimals in Parquet, whose cells are digits as text.
        is_text = isinstance(column.dtype, pl.String | pl.Decimal)
        kind = "DOUBLE" if column.dtype == pl.Float64 else "VARCHAR" if is_text else ""
        for row, value in enumerate(column.to_list()):
            shown = whole.rows[row][at]
            if isinstance(value, dict | list) and isinstance(shown, str):
                assert _alike(_without_nulls(_value(shown)), _without_nulls(_value(str(cell(value)))))
            else:
                assert _same(shown, cell(value), kind), (name, row, value)


def _without_nulls(value: Any) -> Any:
    """As objects of uneven keys are in one struct, where a key that is not there is null."""
    if isinstance(value, str) and value[:1] in ("[", "{") and not isinstance(_value(value), str):
        value = _value(value)
    if isinstance(value, list):
        return [_without_nulls(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value).items()
    return {key: _without_nulls(inner) for key, inner in fields if inner is not None}


def _is_wrapped(text: str | None, found: dict[str, Any] | None) -> bool:
    """Whether text stands around an object, or around the one in its envelope."""
    if found is None or text is None:
        return False
    if not (text.strip().startswith("{") and text.strip().endswith("}")):
        return True
    inner = found.get("content")
    is_opened = found.keys() == {"content", "reasoning_content"} and isinstance(inner, dict)
    return (
        is_opened
        and isinstance(outer := json.loads(text)["content"], str)
        and _is_wrapped(outer, cast("Any", inner))
    )


def _queried(artifact: LocalArtifact) -> tuple[Page, dict[str, str]]:
    """All that SQL sees, the same whether it names the columns or not, and their types."""
    tables = lazy_engine.load({"results": prepare(artifact)})

    def ask(sql: str) -> Page:
        return lazy_engine.run(tables, QueryRequest(sql=sql, limit=1_000, max_chars=10**7))

    try:
        everything, described = ask("SELECT * FROM results ORDER BY row"), ask("DESCRIBE results")
        kinds = {str(row[0]): str(row[1]) for row in described.rows}
        named = ", ".join(map(quoted, kinds))
        if len(named) < MAX_SQL // 2:
            assert ask(f"FROM results SELECT {named} ORDER BY row") == everything
    finally:
        tables.close()
    assert everything.columns == list(kinds)
    return everything, kinds


def _same(shown: Any, found: Any, kind: str) -> bool:
    """Whether `found`, in a column of this type, is what a page shows as `shown`."""
    if shown == found and type(shown) is type(found):
        return True
    if kind == "DOUBLE":
        # Beyond 64 bits a page shows digits.
        return found == cell(float(shown)) and str(shown).lstrip("-").isdigit()
    if not isinstance(found, str):
        return False
    if isinstance(shown, str) and shown[:1] in ("[", "{"):
        return _alike(_value(shown), _value(found))
    return kind == "VARCHAR" and cell(_value(found)) == shown and not isinstance(_value(found), str)


def _value(text: str) -> Any:
    """The JSON in a cell."""
    try:
        return json.loads(text.replace("\\u{0}", "\\u0000"))
    except ValueError:
        return text


def _alike(shown: Any, found: Any) -> bool:
    """Whether nested values are the same: items of several types are text."""
    if isinstance(shown, dict) and isinstance(found, dict):
        ours, theirs = cast("dict[str, Any]", shown), cast("dict[str, Any]", found)
        return ours.keys() == theirs.keys() and all(_alike(ours[key], theirs[key]) for key in ours)
    if isinstance(shown, list) and isinstance(found, list):
        pair = cast("list[Any]", shown), cast("list[Any]", found)
        return len(pair[0]) == len(pair[1]) and all(map(_alike, *pair))
    if isinstance(found, str) and (not isinstance(shown, str) or shown.endswith("Infinity")):
        return _alike(shown, _value(found))
    if isinstance(shown, int) and isinstance(found, float):
        return found == float(shown)
    return shown == found or (isinstance(found, float) and shown == str(cell([found]))[2:-2])
