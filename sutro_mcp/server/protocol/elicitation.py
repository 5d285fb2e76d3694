"""Asking the person behind the host, in both protocol eras.

A host of the newer era gets the question as the result of the call and repeats the call with the answer; the
SDK seals what we note meanwhile, bound to the tool, its arguments and a time. An older host is asked while
the call waits. Only a clear yes is one: an answer that is late, malformed or missing counts as none, and what
is no yes is final for its question. What a host says of its person cannot be verified, so this is a courtesy
to people, not an access control.
"""

import time
from dataclasses import dataclass
from enum import Enum, auto
from secrets import token_hex

import anyio
from mcp import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from sutro_mcp.server.context import Ctx, app_of

from .scrubbing import scrub

# As long as the SDK accepts a sealed question.
_ANSWER_SECONDS = 600
_KEY = "consent"


class Consent(Enum):
    """The outcome of a question."""

    GIVEN = auto()
    DECLINED = auto()
    """An answer, and it is no."""
    DISMISSED = auto()
    """The question was closed."""
    LATE = auto()
    UNREADABLE = auto()
    NOT_ASKED = auto()
    """The host said that it can ask, and then could not, or said no faster than a person can."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a question, and what the person was shown in it, in words of ours."""

    consent: Consent
    shown: str


def can_ask(ctx: Ctx) -> bool:
    """Whether this host says that it shows questions to a person, and can be reached with one."""
    capabilities = ctx.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    # A bare {} is what hosts declared before there were modes.
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    if _is_modern(ctx):
        # Without shared keys the replica that gets the answer could not read what the question remembers.
        settings = app_of(ctx).settings
        return not settings.for_a_team or settings.state_keys_file is not None
    return ctx.session.can_send_request


# Until when a question that was not answered with yes could be answered again, and what the answer was. The
# key that seals a question lives as long as this process, too.
_final: dict[str, tuple[float, Answer]] = {}


def answered(ctx: Ctx) -> Answer | None:
    """The answer that this call brings to the question it led to before; None when there is none yet."""
    responses, question = ctx.input_responses or {}, ctx.request_state
    if not _is_modern(ctx) or question is None or _KEY not in responses:
        return None
    # Of the day: the question may be another replica's.
    now = time.time()
    for old in [known for known, (until, _) in _final.items() if until < now]:
        del _final[old]
    if question in _final:
        return _final[question][1]
    asked, _, shown = question.split(" ", 2)
    answer = Answer(_read(responses[_KEY], now - float(asked), app_of(ctx).fastest_answer), shown)
    if answer.consent is not Consent.GIVEN:
        _final[question] = now + _ANSWER_SECONDS, answer
    return answer


async def ask(
    ctx: Ctx, question: str, label: str, shown: str, seconds: float = _ANSWER_SECONDS
) -> Answer | InputRequiredResult:
    """Show `question` with one box to tick, `label`: the answer, or what to return to get it.

    `shown` is what the question says, for the answer. Waits for an older host at most `seconds`.
    """
    schema = {
        "type": "object",
        "properties": {"confirm": {"type": "boolean", "title": label}},
        "required": ["confirm"],
    }
    asked = time.time()
    if _is_modern(ctx):
        form = ElicitRequestFormParams(message=question, requested_schema=schema)
        return InputRequiredResult(
            input_requests={_KEY: ElicitRequest(params=form)}, request_state=f"{asked} {token_hex()} {shown}"
        )
    try:
        with anyio.fail_after(seconds):
            # Over HTTP no writer of ours scrubs a request.
            reply = await ctx.session.elicit_form(scrub(question), schema, ctx.request_id)
            consent = _read(reply, time.time() - asked, app_of(ctx).fastest_answer)
    except TimeoutError:
        consent = Consent.LATE
    except ValidationError:
        consent = Consent.UNREADABLE
    except MCPError:
        consent = Consent.NOT_ASKED
    return Answer(consent, shown)


def _is_modern(ctx: Ctx) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def _read(reply: object, took: float, fastest: float) -> Consent:
    """Nothing but a ticked box is a yes. A no within less than `fastest` seconds is the host's own."""
    if not isinstance(reply, ElicitResult):
        return Consent.UNREADABLE
    if reply.action == "accept":
        ticked = (reply.content or {}).get("confirm")
        if ticked is not False:
            return Consent.GIVEN if ticked is True else Consent.UNREADABLE
    if took < fastest:
        return Consent.NOT_ASKED
    return Consent.DISMISSED if reply.action == "cancel" else Consent.DECLINED
