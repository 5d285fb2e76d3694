"""The table of rows that DuckDB would misread, with what `read_output` reads in them.

A few are joined by their number. Many would not fit into memory so: then the table has a line for every row
of the results, and the view reads the two side by side.
"""

from typing import Literal, cast

import duckdb

FixedKind = Literal["none", "few", "many"]

_BATCH = 1_000
# Lines that are put in order at once: they have to fit into memory.
_SPAN = 1_000_000
# A hash table of so many objects, of so many characters together, is small beside the memory of a query.
MOST_JOINED = 50_000
_MOST_CHARS = 16_000_000


class FixedRows:
    """Writes the table `fixed(row, json, content, is_fixed)` into the current database, in order."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        # One of its own: the other connection is in the middle of an answer when rows come.
        self._connection = connection.cursor()
        self._batch: list[tuple[int, str | None, str | None]] = []
        self._is_complete = False
        self._size = 0
        self._next = 0
        self._count = 0
        self._connection.execute(
            "CREATE OR REPLACE TABLE fixed (row BIGINT, json VARCHAR, content VARCHAR, is_fixed BOOLEAN)"
        )

    def expect(self, most: int) -> None:
        """How many rows may come at most."""
        self._is_complete = most > MOST_JOINED

    def add(self, row: int, json: str | None, content: str | None) -> None:
        """The object in a row, and the object in its content; None for none. Rows come in order."""
        if row < (self._batch[-1][0] + 1 if self._batch else self._next):
            raise ValueError("rows are out of order")
        self._batch.append((row, json, content))
        if len(self._batch) == _BATCH:
            self._write()

    def finish(self, row_count: int) -> FixedKind:
        """Write the rest. `row_count`: of the results."""
        self._write()
        if self._count:
            self._fill(row_count)
        return "none" if not self._count else "many" if self._is_complete else "few"

    def _write(self) -> None:
        if not self._batch:
            return
        self._size += sum(len(json or "") + len(content or "") for _, json, content in self._batch)
        if self._size > _MOST_CHARS and not self._is_complete:
            self._make_complete()
            return
        first, last = self._batch[0][0], self._batch[-1][0]
        self._fill(first)
        parts = ["FROM batch"]
        if self._is_complete:
            stops = ((start, min(start + _SPAN, last + 1)) for start in range(first, last + 1, _SPAN))
            parts = [f"SELECT range AS row FROM range({start}, {stop})" for start, stop in stops]
        for rows in parts:
            self._connection.execute(
                f"""
                WITH batch AS (SELECT unnest(?::BIGINT[]) AS row, unnest(?::VARCHAR[]) AS json,
                    unnest(?::VARCHAR[]) AS content, true AS is_fixed)
                INSERT INTO fixed SELECT row, json, content, coalesce(is_fixed, false)
                FROM (SELECT row FROM ({rows})) LEFT JOIN batch USING (row) ORDER BY row
                """,
                [list(column) for column in zip(*self._batch, strict=True)],
            )
        self._next = last + 1
        self._count += len(self._batch)
        self._batch.clear()

    def _make_complete(self) -> None:
        """Write what is there once more, with a line for every row."""
        rest, self._batch = self._batch, []
        written = cast(
            "list[tuple[int, str | None, str | None]]",
            self._connection.execute("SELECT row, json, content FROM fixed ORDER BY row").fetchall(),
        )
        self._connection.execute("TRUNCATE fixed")
        self._is_complete, self._count, self._next = True, 0, 0
        for row in [*written, *rest]:
            self.add(*row)
        self._write()

    def _fill(self, stop: int) -> None:
        """Lines for the rows up to `stop`, in which nothing is wrong."""
        if self._is_complete:
            self._connection.execute(
                f"INSERT INTO fixed SELECT range, NULL, NULL, false FROM range({self._next}, {stop})"
            )
            self._next = stop
