"""Matches the rows of two runs, some at a time, as the table `pairs`: small enough for any results.

`pairs` has `before_row` and `after_row` (numbers), `same_inputs` (null where not known), `changed`, and
`before_n` and `after_n` of the field with number n.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from .compared_fields import ComparedField, ComparedTables, hashed

# Of the table. Where rows are matched by a key, the values of several times as many are held: DuckDB reads
# all rows for a part of the keys.
BATCH_BYTES = 16 * 1024**2
_HELD_BATCHES = 6
_AT_ONCE = 40

_REPEATED = "(SELECT key FROM before_repeated UNION SELECT key FROM after_repeated)"


@dataclass
class RowCounts:
    """The rows of one run: all, those without a partner, those left out as their key is null or repeated."""

    rows: int
    only_here: int = 0
    null_key: int = 0
    repeated_key: int = 0


class Pairing:
    """The pairs of rows of two runs, which the views `before` and `after` show."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, tables: ComparedTables, batch_bytes: int
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._made: list[str] = []
        self.before = RowCounts(self._one("SELECT count(*) FROM before")[0])
        self.after = RowCounts(self._one("SELECT count(*) FROM after")[0])
        self._batch = max(batch_bytes // (16 * len(tables.fields) + 32), 1)

    def batches(self) -> Iterator[tuple[int, int]]:
        """Make `pairs` anew for each batch; how many batches are done, and how many there are."""
        rows = max(self.before.rows, self.after.rows)
        if self._tables.key is None:
            count = max(-(-rows // self._batch), 1)
            for at in range(count):
                self._pair_rows(f"row >= {at * self._batch} AND row < {(at + 1) * self._batch}")
                yield at + 1, count
            for side, other in ((self.before, self.after), (self.after, self.before)):
                side.only_here = max(side.rows - other.rows, 0)
        else:
            self.before.null_key, self.after.null_key = self.before.rows, self.after.rows
            parts = max(-(-rows // (self._batch * _HELD_BATCHES)), 1)
            pieces = max(-(-rows // (self._batch * parts)), 1)
            for at in range(parts):
                self._hold_keys(self._tables.key, f"% {parts} = {at}")
                for piece in range(pieces):
                    self._pair_keys(f"key // {parts} % {pieces} = {piece}")
                    yield at * pieces + piece + 1, parts * pieces

    def _pair_rows(self, condition: str) -> None:
        self._drop()
        before, after = (self._values(run, condition) for run in ("before", "after"))
        self._make_pairs(f"{before} b JOIN {after} a USING (row)")

    def _hold_keys(self, key: ComparedField, part: str) -> None:
        """Hold the rows with a part of all keys, and count them. What is in no part has a null key."""
        self._drop()
        for run, side in (("before", key.before), ("after", key.after)):
            value = hashed(side.compared)
            rows = self._values(run, f"{value} {part}", f"{value} AS key")
            self._execute(f"CREATE OR REPLACE TEMP VIEW {run}_part AS FROM {rows}")
        for run in ("before", "after"):
            self._execute(
                f"CREATE OR REPLACE TEMP TABLE {run}_repeated AS "
                f"SELECT key FROM {run}_part GROUP BY key HAVING count(*) > 1"
            )
        for run, other, counts in (("before", "after", self.before), ("after", "before", self.after)):
            rows, dropped, alone = self._one(
                f"SELECT count(*), count(*) FILTER (key IN {_REPEATED}), count(*) FILTER "
                f"(key NOT IN {_REPEATED} AND key NOT IN (SELECT key FROM {other}_part)) FROM {run}_part"
            )
            counts.null_key -= rows
            counts.repeated_key += dropped
            counts.only_here += alone

    def _pair_keys(self, piece: str) -> None:
        """The pairs of a piece of the rows that are held."""
        before = f"(FROM before_part WHERE {piece} AND key NOT IN {_REPEATED})"
        self._make_pairs(f"{before} b JOIN (FROM after_part WHERE {piece}) a USING (key)")

    def _values(self, run: str, condition: str, *more: str) -> str:
        """SQL for rows of one run with the values that are compared.

        Each takes memory of its own while it is read, so few are read at once, and of one run.
        """
        values = [
            *more,
            *(f"{getattr(field, run).compared} AS v{n}" for n, field in enumerate(self._tables.fields)),
        ]
        if self._tables.inputs is not None:
            values.append(f"{getattr(self._tables.inputs, run).compared} AS i")
        parts = [values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE)] or [[]]
        names = [f"{run}_values_{n}" for n in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            self._execute(
                f"CREATE TEMP TABLE {name} AS SELECT {', '.join(['row', *part])} FROM {run} WHERE {condition}"
            )
        self._made += names
        return f"(FROM {names[0]}{''.join(f' JOIN {name} USING (row)' for name in names[1:])})"

    def _make_pairs(self, joined: str) -> None:
        count = len(self._tables.fields)
        changed = " OR ".join(f"b.v{n} IS DISTINCT FROM a.v{n}" for n in range(count)) or "false"
        values = "".join(f", b.v{n} AS before_{n}, a.v{n} AS after_{n}" for n in range(count))
        same = "NULL::BOOLEAN" if self._tables.inputs is None else "b.i = a.i"
        self._execute(
            f"CREATE OR REPLACE TEMP TABLE pairs AS SELECT b.row AS before_row, a.row AS after_row, "
            f"{same} AS same_inputs, {changed} AS changed{values} FROM {joined}"
        )

    def _drop(self) -> None:
        """Give back the memory of the tables that were made."""
        for name in ("pairs", *self._made):
            self._execute(f"DROP TABLE IF EXISTS {name}")
        self._made = []

    def _execute(self, sql: str) -> None:
        self._connection.execute(sql).fetchall()

    def _one(self, sql: str) -> tuple[Any, ...]:
        (found,) = self._connection.execute(sql).fetchall()
        return found
