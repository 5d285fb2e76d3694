"""Changes to SQL before it is run, token by token: texts and comments stay as they are."""

from collections.abc import Sequence

import duckdb

from sutro_mcp.results.name_matching import composed
from sutro_mcp.results.rows.json_shape import quoted

_ARITHMETIC = {b"*", b"+", b"-"}


def as_columns_are_written(sql: str, columns: Sequence[str]) -> str:
    """`sql` with names of columns as the results write them: the same accents can be composed in two ways."""
    if sql.isascii():
        return sql
    raw, end = sql.encode(), len(sql.encode())
    # From the last to the first, so that what is replaced moves nothing that is still to come.
    for start, kind in reversed(duckdb.tokenize(sql)):
        written = raw[start:end].decode().rstrip()
        name = written[1:-1].replace('""', '"') if written[0] == '"' else written
        # DuckDB finds names in any case.
        alike = [column for column in columns if composed(column.lower()) == composed(name.lower())]
        if kind == duckdb.token_type.identifier and alike and name.lower() not in map(str.lower, alike):
            raw = raw[:start] + quoted(alike[0]).encode() + raw[start + len(written.encode()) :]
        end = start
    return raw.decode()


def without_end(sql: str) -> str:
    """`sql` without a semicolon that only comments follow: DuckDB takes one at the very end alone."""
    raw = sql.encode()
    starts = [start for start, kind in duckdb.tokenize(sql) if kind != duckdb.token_type.comment]
    return raw[: starts[-1]].decode() if raw[starts[-1] : starts[-1] + 1] == b";" else sql


def widened(sql: str) -> str:
    """`sql` with integers in arithmetic as 64 bits: DuckDB reads them as 32 until one does not fit."""
    raw = sql.encode()
    starts = [start for start, _ in duckdb.tokenize(sql)]
    tokens = [raw[start:end] for start, end in zip(starts, [*starts[1:], len(raw)], strict=True)]
    around = zip([b"", *tokens], tokens, [*tokens[1:], b""], strict=False)
    wider = [
        token.rstrip() + b"::BIGINT " if _is_operand(before, token, after) else token
        for before, token, after in around
    ]
    return b"".join([raw[: starts[0]], *wider]).decode()


def _is_operand(before: bytes, token: bytes, after: bytes) -> bool:
    return token.strip().isdigit() and not _ARITHMETIC.isdisjoint((before.strip(), after.strip()))
