"""Rows that stand for all of them: the first, a spread, the shortest and the longest output."""

import polars as pl


class Extremes:
    """The first rows with the longest and with the shortest text that is not empty."""

    def __init__(self) -> None:
        self._longest: tuple[int, int] | None = None
        self._shortest: tuple[int, int] | None = None

    def add(self, rows: pl.Series, lengths: pl.Series) -> None:
        """Lengths of the texts in these rows, null where there is none."""
        if (place := lengths.arg_max()) is not None and (
            self._longest is None or lengths[place] > self._longest[0]
        ):
            self._longest = lengths[place], rows[place]
        filled = lengths.set(lengths == 0, None)
        if (place := filled.arg_min()) is not None and (
            self._shortest is None or lengths[place] < self._shortest[0]
        ):
            self._shortest = lengths[place], rows[place]

    def chosen(self) -> dict[int, str]:
        """Rows, and why."""
        found = {self._longest[1]: "longest"} if self._longest else {}
        if self._shortest:
            found.setdefault(self._shortest[1], "shortest")
        return found


def choose(row_count: int, extremes: Extremes) -> dict[int, str]:
    """Rows, and why each was chosen, in ascending order: by position and length, the same every time."""
    if not row_count:
        return {}
    picked = {0: "first"}
    for row, why in extremes.chosen().items():
        picked.setdefault(row, why)
    for part in (1, 2, 3):
        picked.setdefault(row_count * part // 4, "spread")
    return dict(sorted(picked.items()))
