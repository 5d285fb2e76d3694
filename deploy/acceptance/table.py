"""The table of what was found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line: the number of the requirement, what was done, what was wanted, what was found."""

    number: str
    done: str
    wanted: str
    found: str
    holds: bool

    def __str__(self) -> str:
        cells = (self.number, self.done, self.wanted, self.found, "yes" if self.holds else "**no**")
        return f"| {' | '.join(cell.replace('|', '¦') for cell in cells)} |"


HEAD = "| | Done | Wanted | Found | Holds |\n| --- | --- | --- | --- | --- |"
