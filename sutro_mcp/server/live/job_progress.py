"""How far one job is, as a wait learns it from the progress stream, and how a host is told."""

import math
from dataclasses import dataclass, field

from sutro_mcp.api import JobProgress, Status
from sutro_mcp.errors import counted

# MCP demands that each notification exceeds the last, so one without news adds a sliver of a row.
_SLIVER = 0.001


@dataclass
class Progress:
    """How far a job is according to its stream. Rows neither go back nor pass their number."""

    num_rows: int | None = None
    rows_done: int | None = None
    tokens_per_second: float | None = None
    grew: float | None = None
    """When rows were last seen to grow, or first seen."""
    _began: tuple[float, int] | None = field(default=None, repr=False)
    _told: float = field(default=-_SLIVER, repr=False)

    @property
    def has_all_rows(self) -> bool:
        return self.rows_done is not None and self.rows_done == self.num_rows

    def take(self, event: JobProgress, now: float) -> None:
        """Learn from an event of the stream."""
        if event.tokens_per_second is not None:
            self.tokens_per_second = event.tokens_per_second
        if event.rows_done is None:
            return
        rows = max(event.rows_done, self.rows_done or 0)
        if self.num_rows is not None:
            rows = min(rows, self.num_rows)
        if rows != self.rows_done:
            self.grew = now
        self.rows_done = rows
        # A stream may open with 0 before it knows better; a rate from there would be too good.
        if self._began is None and rows:
            self._began = now, self.rows_done

    def seconds_left(self, now: float, observed: float) -> int | None:
        """At the rate seen so far, if rows were seen to grow for at least `observed` seconds."""
        if self._began is None or self.num_rows is None or self.rows_done is None or self.has_all_rows:
            return None
        began, rows = self._began
        if now - began < observed or self.rows_done == rows:
            return None
        return math.ceil((self.num_rows - self.rows_done) * (now - began) / (self.rows_done - rows))

    def next_value(self, status: Status) -> float:
        """For a notification: above the last one, and the total only when the job has succeeded."""
        reached = float(self.rows_done or 0)
        if status is Status.SUCCEEDED:
            reached = float(self.num_rows or 0)
        elif self.has_all_rows:
            reached -= 0.5
        self._told = max(reached, self._told + _SLIVER)
        return self._told

    def sentence(self, status: Status) -> str:
        """For a notification."""
        if self.rows_done is None or status is Status.SUCCEEDED:
            return status.value
        done = f"{self.rows_done:,} of " if self.num_rows is not None else ""
        total = counted(self.rows_done if self.num_rows is None else self.num_rows, "row")
        speed = f", {self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else ""
        return f"{status.value}: {done}{total}{speed}"
