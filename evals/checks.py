"""Judges a model's answer and what Sutro was asked to do.

Only the standard library is imported: two environments read this.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

TOPICS = ("find", "triage", "results", "sql", "compare", "consent", "trap")
FORM = (
    "End with one line `ANSWER: …` that holds what was asked for and nothing else: a name, a number, a word, "
    "or several of them with `; ` between."
)

Value = str | int | float


@dataclass(frozen=True)
class Question:
    """One of questions.toml, which explains the fields."""

    id: str
    topic: str
    ask: str
    answer: Value | list[Value]
    calls: list[dict[str, Any]]
    take: str | None = None
    cancels: list[str] = field(default_factory=list[str])
    person: Literal["yes", "no"] | None = None
    job: dict[str, Any] = field(default_factory=dict[str, Any])


def questions() -> list[Question]:
    """All, in their order."""
    listed = tomllib.loads(Path(__file__).with_name("questions.toml").read_text("utf-8"))["questions"]
    return [Question(**one) for one in listed]


def faults(question: Question, said: str, cancelled: list[str], was_asked: bool) -> Iterator[str]:
    """The faults; none if right.

    `said` are the words of a model, `cancelled` the jobs that Sutro was asked to cancel; `was_asked` tells
    whether the host showed its dialog.
    """
    lines = [line for line in said.splitlines() if line.strip(" *`#").upper().startswith("ANSWER:")]
    given = lines[-1].partition(":")[2] if lines else None
    wanted = question.answer if isinstance(question.answer, list) else [question.answer]
    if given is None:
        yield "no line with ANSWER"
    elif not _same(wanted, given):
        yield f"answered {given.strip()[:60]!r}"
    for name in sorted(set(cancelled) - set(question.cancels)):
        yield f"cancelled {name}"
    for name in sorted(set(question.cancels) - set(cancelled)):
        yield f"did not cancel {name}"
    if question.person and not was_asked:
        yield "did not ask the person"


def taken(answer: Any, path: str) -> Any:
    """The value at `path` in a structured answer. Raises KeyError or IndexError."""
    for step in path.split("."):
        answer = answer[int(step) if step.isdigit() else step]
    return answer


def line_of(answer: Value | list[Value]) -> str:
    """The last line of a model that answers this."""
    return "ANSWER: " + "; ".join(map(str, answer if isinstance(answer, list) else [answer]))


def _same(wanted: list[Value], given: str) -> bool:
    parts = given.split(";" if ";" in given or len(wanted) == 1 else ",")
    return len(parts) == len(wanted) and all(any(_equal(one, part) for part in parts) for one in wanted)


def _equal(wanted: Value, given: str) -> bool:
    given = given.strip(" \t*`'\"").removesuffix(".").rstrip("*`'\"").strip()
    if isinstance(wanted, str):
        return wanted.casefold() == given.casefold()
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", given)
    if len(numbers) != 1:
        return False
    number = float(numbers[0].replace(",", ""))
    return (
        number if isinstance(wanted, int) else round(number, len(str(wanted).partition(".")[2]))
    ) == wanted
