"""Rows that match an expression are not looked at more closely, and nothing is known otherwise for that."""

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sutro_mcp.results.sql.json_field_types import JsonProfile, make_profile
from sutro_mcp.results.sql.structure_regex import plain_rows
from tests.results.test_same_reading import OUTPUTS
from tests.tries import some_of

# More than are looked at to begin with.
ORDINARY = 2_500


def profile(rows: list[str | None], ordinary: list[str], times: int, copies: int) -> JsonProfile:
    """The profile of the `ordinary` rows, so many times, and then copies of `rows`."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (row BIGINT, outputs VARCHAR)")
    for texts, count in ((ordinary, times), (rows, copies)):
        connection.execute(
            "INSERT INTO t SELECT (SELECT count(*) FROM t) + row_number() OVER () - 1, text "
            "FROM range(?), (SELECT unnest(?::VARCHAR[]) AS text)",
            [count, texts],
        )
    try:
        return make_profile(connection, "SELECT row, outputs FROM t ORDER BY row")
    finally:
        connection.close()


@settings(max_examples=some_of(200, 20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(rows=['{"a": 0.5}', '{"a": "x", "A": 1}'], ordinary=['{"a": 1}'], copies=1)
@example(rows=['{"a": 1,}'], ordinary=['{"a": 1}'], copies=1)
@example(rows=['{"b": [{"a": 1}, {}]}'], ordinary=['{"b": [{"a": 1}]}'], copies=600)
@example(rows=['{"b": 1, "a": 1}', None], ordinary=['{"a": 1, "b": {"c": null}}'], copies=1_500)
@given(
    rows=OUTPUTS.map(lambda outputs: [text for text, _ in outputs]),
    ordinary=st.lists(
        st.sampled_from(
            [
                '{"a": 1, "b": "x", "row": [1, 2]}',
                '{"a": null, "b": "\\ud83d\\ude00 \\"a\\": 1, NaN, ", "row": []}',
                '{"a": -2, "x": {"y": 0.5, "A": true}}',
                '\n{"b": [{"k": 1}, {"k": null}], "a": 1e3}\n',
                '{"content": "{\\"a\\": 1}", "reasoning_content": "x"}',
                "{}",
            ]
        ),
        min_size=1,
        max_size=3,
    ),
    copies=st.sampled_from([1, 400]),
)
def test_what_ordinary_rows_repeat_changes_nothing(
    rows: list[str | None], ordinary: list[str], copies: int
) -> None:
    """However many there are of them, and of the others."""
    many = profile(rows, ordinary, ORDINARY // len(ordinary), copies)
    few = profile(rows, ordinary, 1, 1)
    # How many rows were looked at singly may differ.
    assert (many.fields, many.more_fields, many.envelope) == (few.fields, few.more_fields, few.envelope)


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ('{"a":7,"b":"é \\" \\u00e9 \\ud83d\\ude00"}', True),
        ('{"a": null, "b": null}', True),
        ('{"a": 999999999999999999, "b": ""}', True),
        ('{"a": 1, "b": "\\ud83d"}', False),
        ('{"a": 1, "b": "\\ude00"}', False),
        ('{"a": 1, "b": "\t"}', False),
        ('{"a": 1, "b": "\\x"}', False),
        ('{"a": 1, "b": "x", "a": 1}', False),
        ('{"a": 1, "b": "x", "c": 1}', False),
        ('{"b": "x", "a": 1}', False),
        ('{"a": 1, "b": "x",}', False),
        ('{"a": 1.0, "b": "x"}', False),
        ('{"a": 1e1, "b": "x"}', False),
        ('{"a": 01, "b": "x"}', False),
        ('{"a": NaN, "b": "x"}', False),
        ('{"a": true, "b": "x"}', False),
        ('{"a": 9999999999999999999, "b": "x"}', False),
        ('{"a": 1, "b": "x"} {}', False),
        ('{"a": 1, "b": {}}', False),
        ('{"a": 1, "b": ["x"]}', False),
        ("null", False),
        ("", False),
    ],
)
def test_a_row_is_ordinary_if_every_parser_reads_it_alike(text: str, *, is_plain: bool) -> None:
    """And if its keys and kinds of values are known."""
    connection = duckdb.connect()
    connection.execute('CREATE TABLE t AS SELECT 0 AS row, \'{"a": 1, "b": "x"}\' AS text')
    connection.execute('INSERT INTO t SELECT range + 1, \'{"a": -1, "b": "y"}\' FROM range(2500)')
    connection.execute("INSERT INTO t SELECT 9999, ?", [text])
    known, others = plain_rows(connection, "SELECT row, text FROM t", 2502, "others")
    assert known == [({"a": "BIGINT", "b": "VARCHAR"}, 1), ({"a": "UBIGINT", "b": "VARCHAR"}, 0)]
    assert connection.execute(others).fetchall() == ([] if is_plain else [(9999, text)])
    connection.close()
