"""The figures of a comparison, added up over batches of pairs of rows. All are exact.

The moves of a field (from which value to which, how often) are counted as long as there are not too many
different ones: then they are as many as rows, and say nothing.
"""

import math
from dataclasses import dataclass
from typing import Any

import duckdb

from .compared_fields import ComparedField, hashed

MOST_MOVES = 5_000
# More rows of moves than that are added up at once.
_MOST_ROWS = 200_000
# Beyond this the square of a difference is no float any more.
_MOST_DIFFERENCE = "1e150"
# Around this and beyond, differences that are nearly the same would lose the digits in which they are not.
_LARGE_DIFFERENCE = 2**20
# The difference of smaller integers, less that of other ones, is an integer of 128 bits.
_MOST_INTEGER = "4e37"
_MOST_EXACT = 2**53
# Each figure takes memory of its own while it is counted, and a number has seven.
_FIGURES_AT_ONCE = 64
_SAMPLES = 5

Pair = tuple[int, int]


@dataclass
class Differences:
    """One field over all pairs.

    `present`: pairs with a value in either run; `lost`, `gained`: with a value only before, only after.
    `numbers`: pairs of numbers whose mean difference (after minus before) is `mean` beyond `base`. `rounded`:
    pairs with an integer that is compared as a float that is not the same.
    """

    field: ComparedField
    present: int = 0
    differ: int = 0
    lost: int = 0
    gained: int = 0
    rounded: int = 0
    numbers: int = 0
    base: float = 0
    mean: float = 0.0
    squares: float = 0.0
    has_many_moves: bool = False

    @property
    def unbounded(self) -> int:
        """Pairs of numbers whose difference is no number that could be averaged, such as infinity."""
        return self.present - self.lost - self.gained - self.numbers if self.field.is_number else 0

    @property
    def mean_difference(self) -> float | None:
        """The mean of the difference."""
        return self.base + self.mean if self.numbers else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the difference, as of a sample."""
        return math.sqrt(self.squares / (self.numbers - 1)) if self.numbers > 1 else None

    def add(self, present: int, differ: int, lost: int, gained: int) -> None:
        """More pairs."""
        self.present += present
        self.differ += differ
        self.lost += lost
        self.gained += gained

    def add_numbers(self, count: int, mean: float | None, variance: float | None) -> None:
        """More pairs of numbers, by their mean difference and its variance (of all, not of a sample)."""
        if not count or mean is None or variance is None:
            return
        total, apart = self.numbers + count, mean - self.mean
        self.squares += variance * count + apart * apart * self.numbers * count / total
        self.mean += apart * count / total
        self.numbers = total


@dataclass(frozen=True)
class Move:
    """A change from one value to another: how many pairs made it, and the first of them."""

    rows: int
    first: Pair


class Comparing:
    """Adds up what the tables `pairs` say."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, fields: list[ComparedField]) -> None:
        self._connection = connection
        self.fields = [Differences(field) for field in fields]
        self.pairs = self.changed = self.same_inputs = self.different_inputs = 0
        self.samples: list[Pair] = []
        connection.execute(
            "CREATE TEMP TABLE moves (field INTEGER, a UBIGINT, b UBIGINT, n BIGINT, before_row BIGINT, "
            "after_row BIGINT)"
        ).fetchall()

    def add(self) -> None:
        """The pairs that are in the table now."""
        for number, differences in enumerate(self.fields):
            if differences.field.is_number and not differences.numbers:
                differences.base = self._base(number, differences.field)
        found = iter(self._counted(self._figures()))
        self.pairs += next(found)
        self.changed += next(found)
        self.same_inputs += next(found)
        self.different_inputs += next(found)
        for number, differences in enumerate(self.fields):
            counts = [next(found) for _ in range(4)]
            differences.add(*counts)
            if differences.field.is_number:
                differences.rounded += next(found)
                differences.add_numbers(next(found), next(found), next(found))
            if counts[1] and not differences.has_many_moves:
                self._add_moves(number)
        if self._rows("SELECT count(*) FROM moves")[0][0] > _MOST_ROWS:
            self.add_up_moves()
        first = "SELECT before_row, after_row FROM pairs WHERE changed ORDER BY before_row LIMIT"
        self.samples = sorted([*self.samples, *self._rows(f"{first} {_SAMPLES}")])[:_SAMPLES]

    def moves(self, number: int, most: int) -> tuple[int, list[Move]]:
        """How many different moves the field with this number made, and the largest: after all pairs.

        None of a field that has too many.
        """
        found = self._rows(
            f"SELECT count(*) OVER (), n, before_row, after_row FROM moves WHERE field = {number} "
            f"ORDER BY n DESC, before_row LIMIT {most}"
        )
        return (found[0][0] if found else 0), [Move(n, (before, after)) for _, n, before, after in found]

    def _counted(self, figures: list[str]) -> list[Any]:
        parts = (figures[at : at + _FIGURES_AT_ONCE] for at in range(0, len(figures), _FIGURES_AT_ONCE))
        return [value for part in parts for value in self._rows(f"SELECT {', '.join(part)} FROM pairs")[0]]

    def _figures(self) -> list[str]:
        figures = [
            "count(*)",
            "count(*) FILTER (changed)",
            "count(*) FILTER (same_inputs)",
            "count(*) FILTER (NOT same_inputs)",
        ]
        for number, differences in enumerate(self.fields):
            before, after = f"before_{number}", f"after_{number}"
            figures += [
                f"count(*) FILTER ({before} IS NOT NULL OR {after} IS NOT NULL)",
                f"count(*) FILTER ({before} IS DISTINCT FROM {after})",
                f"count(*) FILTER ({before} IS NOT NULL AND {after} IS NULL)",
                f"count(*) FILTER ({before} IS NULL AND {after} IS NOT NULL)",
            ]
            if differences.field.is_number:
                figures.append(f"count(*) FILTER ({_is_rounded(number, differences.field)})")
                difference = _difference(number, differences.field, differences.base)
                some = f"FILTER (abs({difference}) < {_MOST_DIFFERENCE})"
                figures += [f"{name}({difference}) {some}" for name in ("count", "avg", "var_pop")]
        return figures

    def _base(self, number: int, field: ComparedField) -> float:
        """A difference to count others from, if it is large: an integer where these are."""
        before, after = f"before_{number}", f"after_{number}"
        kind = "HUGEINT" if field.is_integer else "DOUBLE"
        small = " AND ".join(f"abs({value}::DOUBLE) < {_MOST_INTEGER}" for value in (before, after))
        found = self._rows(f"SELECT {after}::{kind} - {before}::{kind} FROM pairs WHERE {small} LIMIT 1")
        return next((base for (base,) in found if abs(base) > _LARGE_DIFFERENCE), 0)

    def _add_moves(self, number: int) -> None:
        before, after = f"before_{number}", f"after_{number}"
        differ = f"FROM pairs WHERE {before} IS DISTINCT FROM {after}"
        move = f"{number}, {hashed(before)}, {hashed(after)}"
        some = f"GROUP BY {before}, {after} LIMIT {MOST_MOVES + 1}"
        self._rows(f"INSERT INTO moves SELECT {move}, count(*), {_FIRST} {differ} {some}")

    def add_up_moves(self) -> None:
        """One row for each move; none of the fields that have too many."""
        self._rows(
            f"CREATE OR REPLACE TEMP TABLE moves AS SELECT field, a, b, sum(n)::BIGINT AS n, {_FIRST} "
            "FROM moves GROUP BY field, a, b"
        )
        many = f"SELECT field FROM moves GROUP BY field HAVING count(*) > {MOST_MOVES}"
        for (number,) in self._rows(many):
            self.fields[number].has_many_moves = True
            self._rows(f"DELETE FROM moves WHERE field = {number}")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()


def _is_rounded(number: int, field: ComparedField) -> str:
    """SQL for whether an integer was made a float, as those of the other run are, and may be another one."""
    run = field.integers_beside_floats
    return "false" if run is None else f"abs({run}_{number}) >= {_MOST_EXACT}"


def _difference(number: int, field: ComparedField, base: float) -> str:
    """SQL for the difference beyond `base`, as a float."""

    def less(kind: str) -> str:
        return f"(after_{number}::{kind} - before_{number}::{kind} - '{base}'::{kind})::DOUBLE"

    if not field.is_integer:
        return less("DOUBLE")
    # The difference of two large integers is exact in more bits only.
    exact = less("HUGEINT")
    if "HUGEINT" not in field.type:
        return exact
    small = " AND ".join(f"abs({run}_{number}::DOUBLE) < {_MOST_INTEGER}" for run in ("before", "after"))
    return f"CASE WHEN {small} THEN {exact} ELSE {less('DOUBLE')} END"


_FIRST = "min(before_row) AS before_row, arg_min(after_row, before_row) AS after_row"
