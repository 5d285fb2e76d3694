"""Parts of every answer: the base class, the type of text that others wrote, and the form of values.

Answers are mapped field by field from what the API says, so a field of the API that is not named in an answer
does not come out. Text written by others has the type `UntrustedText`, which passes it through the sanitiser;
nothing else may hold such text.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import to_json

from sutro_mcp.api import Failure
from sutro_mcp.untrusted import NOTICE, shorten, visible

UntrustedText = Annotated[str, AfterValidator(visible)]

# Characters of JSON text in a list, where an answer has room for many jobs.
NAME_CHARS = 70
MODEL_CHARS = 50
FAILURE_CHARS = 90
_REASON_CHARS = 1_000


class Answer(BaseModel):
    """One structured answer; fields that are None are left out."""

    model_config = ConfigDict(frozen=True)

    def structured(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class ToolAnswer(Answer):
    """The structured answer of a tool or resource."""

    notice: Annotated[str, Field(description="How to treat text in this answer")] = NOTICE


class FailureInfo(Answer):
    """Why a job failed."""

    message: UntrustedText
    additional_context: UntrustedText | None = None

    @classmethod
    def of(cls, failure: Failure | None) -> "FailureInfo | None":
        """Each text is cut to a length that fits into any answer."""
        if failure is None:
            return None
        return cls(
            message=brief(failure.message, _REASON_CHARS),
            additional_context=brief(failure.additional_context, _REASON_CHARS),
        )


def failure_facts(failure: FailureInfo | None) -> list[tuple[str, str | None]]:
    """The lines of a failure in the text channel, for `facts`."""
    if failure is None:
        return []
    return [("failure", failure.message), ("failure_context", failure.additional_context)]


def iso(moment: datetime | None) -> str | None:
    """UTC to the second: 2026-01-31T12:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def seconds(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds between two moments, if both are known."""
    return round((end - start).total_seconds()) if start and end else None


@overload
def brief(text: str, budget: int) -> str: ...
@overload
def brief(text: str | None, budget: int) -> str | None: ...
def brief(text: str | None, budget: int) -> str | None:
    """`text` cut so that its JSON form, where quotes and line ends are escaped, is within `budget`."""
    if text is None:
        return None
    # Made visible first: a spelled-out character is longer than the one it stands for.
    whole = visible(text)
    limit, shown = budget, shorten(whole, budget)[0]
    while len(to_json(shown).decode()) > budget + 2:
        limit = limit * 9 // 10
        shown = shorten(whole, limit)[0]
    return shown
