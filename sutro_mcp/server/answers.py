"""Parts of every answer: the base class, the type of text that others wrote, and the form of values.

Answers are mapped field by field from what the API says, so a field of the API that is not named in an answer
does not come out. Text written by others has the type `UntrustedText`, which passes it through the sanitiser;
nothing else may hold such text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Annotated, Any, Self, cast, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import to_json

from sutro_mcp.api import Failure, Job, Status
from sutro_mcp.errors import counted
from sutro_mcp.job_list.job_totals import lacks_cost
from sutro_mcp.untrusted_text import NOTICE, shorten, visible

UntrustedText = Annotated[str, AfterValidator(visible)]

# Characters of JSON text in a list, where an answer has room for many jobs.
NAME_CHARS = 60
MODEL_CHARS = 40
FAILURE_CHARS = 160
_REASON_CHARS = 1_000


class Answer(BaseModel):
    """One structured answer; fields that are None are left out."""

    model_config = ConfigDict(frozen=True)

    def structured(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class ToolAnswer(Answer):
    """The structured answer of a tool or resource. `notice` is for one that quotes what others wrote."""

    notice: str | None = NOTICE


def notice_for(*texts: object) -> str | None:
    """The notice of an answer that may do without: there is none where each of `texts` is None."""
    return None if all(text is None for text in texts) else NOTICE


class Table(Answer):
    """Rows of cells in the order of `columns`. A row ends with its last cell that is not empty."""

    columns: list[str]
    rows: list[list[Any]]

    @classmethod
    def of(cls, records: Sequence[Answer], labels: Mapping[str, str] = {}) -> Self:
        """A row for each of `records`, all of one class.

        A column for each field that any of them has, or that is said in `labels` to have another name.
        """
        fields = type(records[0]).model_fields if records else ()
        columns = [
            name
            for name in fields
            if name in labels or any(getattr(each, name) is not None for each in records)
        ]
        return cls(
            columns=[labels.get(name, name) for name in columns],
            rows=[_row(record, columns) for record in records],
        )


def grouped(columns: Sequence[str], rows: Iterable[Sequence[Any]], name: str) -> Table:
    """A row for each value of the column `name`, with the other cells of its rows: it is said once."""
    at = columns.index(name)
    groups: dict[Any, list[list[Any]]] = {}
    for row in rows:
        groups.setdefault(row[at], []).append([*row[:at], *row[at + 1 :]])
    others = ", ".join([*columns[:at], *columns[at + 1 :]])
    return Table(columns=[name, f"changes ({others})"], rows=[list(group) for group in groups.items()])


def tabled(value: Any) -> Any:
    """JSON without empty lists, in which a list of objects is a table, so that names are said once.

    Objects of one shape in a column of a table become lists, and its name says of what: `top (value, count)`.
    """
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: tabled(item) for name, item in fields.items() if item != []}
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if not _are_objects(items):
        return [tabled(item) for item in items] if isinstance(value, list) else value
    names = dict.fromkeys(name for item in items for name, cell in item.items() if cell != [])
    columns = [_column(name, [item.get(name) for item in items]) for name in names]
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return {"columns": [name for name, _ in columns], "rows": [_without_tail(row) for row in rows]}


def _column(name: str, cells: list[Any]) -> tuple[str, list[Any]]:
    cells = [None if cell == [] else cell for cell in cells]
    known = [cell for cell in cells if cell is not None]
    nested = [item for cell in known if _are_objects(cell) for item in cell]
    objects: list[dict[str, Any]] = known if _are_objects(known) else nested
    shapes = {tuple(each) for each in objects}
    if len(shapes) != 1 or not all(_are_objects(cell) or isinstance(cell, dict) for cell in known):
        return name, [tabled(cell) for cell in cells]

    def listed(cell: Any) -> list[Any]:
        if isinstance(cell, dict):
            return list(cast("dict[str, Any]", cell).values())
        return [listed(item) for item in cast("list[Any]", cell)]

    return f"{name} ({', '.join(shapes.pop())})", [None if cell is None else listed(cell) for cell in cells]


def _are_objects(items: Any) -> bool:
    some = cast("list[Any]", items) if isinstance(items, list) else []
    return bool(some) and all(isinstance(item, dict) for item in some)


def _without_tail(cells: list[Any]) -> list[Any]:
    while cells and cells[-1] is None:
        cells.pop()
    return cells


def _row(record: Answer, columns: Sequence[str]) -> list[Any]:
    cells = _without_tail([getattr(record, name) for name in columns])
    # A whole amount needs no decimal point.
    return [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]


# One wording for what Sutro has not told.
NO_REASON = "Sutro recorded no reason."
NO_COST = {
    "not_ended": "Sutro tells the cost when a job has ended.",
    "cost_estimate": "A cost estimate, which costs nothing itself.",
    "never_ran": "No cost: it never ran.",
    "not_given": "Sutro gives no cost.",
    "unreadable": "Sutro gives a cost that cannot be read.",
}


class FailureInfo(Answer):
    """Why a job failed."""

    message: UntrustedText
    additional_context: UntrustedText | None = None

    @classmethod
    def of(cls, failure: Failure | None, status: Status) -> "FailureInfo | None":
        """Each text is cut to a length that fits into any answer. A failed job without a reason says so."""
        if failure is None:
            return cls(message=NO_REASON) if status is Status.FAILED else None
        return cls(
            message=brief(failure.message, _REASON_CHARS),
            additional_context=brief(failure.additional_context, _REASON_CHARS),
        )


def failure_facts(failure: FailureInfo | None) -> list[tuple[str, str | None]]:
    """The lines of a failure in the text channel, for `facts`."""
    if failure is None:
        return []
    return [("failure", failure.message), ("failure_context", failure.additional_context)]


@dataclass(frozen=True)
class RowsDone:
    """How far a running job is, according to its stream."""

    rows_done: int
    num_rows: int | None = None
    tokens_per_second: float | None = None
    seconds_left: int | None = None
    """An estimate."""

    @classmethod
    def of(
        cls, rows_done: int, num_rows: int | None, tokens_per_second: float | None, seconds_left: int | None
    ) -> "RowsDone":
        """With a speed that is no more exact than it is constant."""
        speed = tokens_per_second
        if speed is not None:
            speed = round(speed) if speed >= 10 else round(speed, 1)
        return cls(rows_done, num_rows, speed, seconds_left)

    @property
    def share(self) -> float | None:
        return round(self.rows_done / self.num_rows, 3) if self.num_rows else None

    def words(self, left: str = "seconds") -> str:
        """Everything known as a part of a sentence; the time left in seconds or in minutes."""
        done = f"{counted(self.rows_done, 'row')} done"
        if self.num_rows is not None:
            done = f"{self.rows_done:,} of {counted(self.num_rows, 'row')} done"
        if self.share is not None:
            done += f" ({self.share:.1%})"
        if self.tokens_per_second is not None:
            done += f", {self.tokens_per_second:,} tokens/s"
        if self.seconds_left is not None:
            minutes = left == "minutes"
            about = counted(ceil(self.seconds_left / 60), "minute") if minutes else f"{self.seconds_left:,} s"
            done += f", about {about} left"
        return done


class ProgressAnswer(ToolAnswer):
    """An answer that says how far a running job is, as far as its stream tells, and what it costs."""

    rows_done: int | None = None
    num_rows: int | None = None
    share: Annotated[float | None, Field(description="0 to 1")] = None
    tokens_per_second: float | None = None
    seconds_left: Annotated[int | None, Field(description="Estimate")] = None
    cost_usd: float | None = None
    no_cost: Annotated[str | None, Field(description="Why no cost_usd")] = None

    def structured(self) -> dict[str, Any]:
        """The answer as JSON values, with what it is about before the figures."""
        whole = super().structured()
        return whole | {name: whole.pop(name) for name in _FIGURES if name in whole}

    def progress(self) -> str:
        """The figures of a job under way as sentences; empty if there are none."""
        sentences: list[str] = []
        if self.rows_done is not None:
            done = RowsDone(self.rows_done, self.num_rows, self.tokens_per_second, self.seconds_left)
            sentences.append(f"{done.words()}.")
        if self.cost_usd is not None:
            sentences.append(f"Cost so far: {money(self.cost_usd)} USD.")
        if self.no_cost:
            sentences.append(NO_COST[self.no_cost])
        return " ".join(sentences)


_FIGURES = [name for name in ProgressAnswer.model_fields if name not in ToolAnswer.model_fields]


def figures_of(job: Job | None, progress: RowsDone | None) -> dict[str, Any]:
    """The fields of a ProgressAnswer, from what is known of a job."""
    figures = {} if job is None else {"cost_usd": job.job_cost, "no_cost": lacks_cost(job)}
    return figures if progress is None else {**figures, **asdict(progress), "share": progress.share}


def money(amount: float) -> str:
    """A small amount without an exponent."""
    return f"{amount:.6f}".rstrip("0").rstrip(".")


def iso(moment: datetime | None) -> str | None:
    """UTC to the second: 2026-01-31T12:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def minute(moment: datetime | None) -> str | None:
    """UTC to the minute, for lists: 2026-01-31T12:00."""
    return moment.astimezone(UTC).isoformat(timespec="minutes")[:16] if moment else None


def seconds(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds between two moments, if both are known."""
    return round((end - start).total_seconds()) if start and end else None


@overload
def brief(text: str, budget: int) -> str: ...
@overload
def brief(text: str | None, budget: int) -> str | None: ...
def brief(text: str | None, budget: int) -> str | None:
    """`text` cut so that its JSON form, where quotes and line ends are escaped, is within `budget`.

    It stays whole where a cut would save less than a fifth.
    """
    if text is None:
        return None
    # Made visible first: a spelled-out character is longer than the one it stands for.
    whole = visible(text)
    if len(to_json(whole).decode()) <= budget * 5 // 4 + 2:
        return whole
    limit, shown = budget, shorten(whole, budget)[0]
    while len(to_json(shown).decode()) > budget + 2:
        limit = limit * 9 // 10
        shown = shorten(whole, limit)[0]
    return shown
