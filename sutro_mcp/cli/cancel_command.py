"""`sutro-mcp cancel`: stop one job, once a person has agreed."""

import argparse
import signal
import sys
from typing import Any

from sutro_mcp.api import Job, Status
from sutro_mcp.console import tell
from sutro_mcp.errors import CallError, ConfigurationError, counted
from sutro_mcp.library.sutro_client import SutroClient
from sutro_mcp.untrusted_text import clean, quote

from .arguments import UsageError
from .chosen_deployment import settings_of, with_sutro
from .rendering import show, show_json

_LOST = "a cancelled job has no results, and rows that are done may still be billed"


class NotCancelledError(CallError):
    """The job goes on, or has ended otherwise."""


def cancel(options: argparse.Namespace) -> int:
    """Stop one job, once a person has agreed."""
    settings = settings_of(options)
    if settings.read_only or settings.cancel == "off":
        raise ConfigurationError(
            f"cancel {quote(options.job_id, 60)}",
            "SUTRO_MCP_READ_ONLY or SUTRO_MCP_CANCEL forbids it",
            "Unset them if jobs may be cancelled from here",
        )
    if not options.yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask on: pass --yes to cancel without a question")

    async def stop(sutro: SutroClient) -> dict[str, Any]:
        before = await sutro.get_job(options.job_id)
        if (done := _stopped_before(before)) is None and not options.yes:
            if _answer(before) != "yes":
                raise _not_cancelled(before, "the answer was not yes")
            # A person takes a while, and the job went on meanwhile.
            before = await sutro.get_job(options.job_id)
            done = _stopped_before(before)
        if done:
            return done
        reply = await sutro.cancel_job(options.job_id)
        if not reply.accepted:
            reason = quote(reply.message) if reply.message else "it gave no reason"
            raise _not_cancelled(before, f"Sutro refused ({reason})", "`sutro-mcp job ID` says how it stands")
        after = (await sutro.get_job_status(options.job_id)).status
        is_done = after is Status.CANCELLED
        message = "It is cancelled." if is_done else f"Cancellation is requested; the job is {after.value}."
        outcome = _outcome(before, "confirmed" if is_done else "requested", message)
        return outcome | {"status_after": after.value}

    outcome = with_sutro(settings, stop)
    if options.json:
        show_json(outcome)
    else:
        show(f"{clean(outcome['job_id'])}: {outcome['message']}")
    return 0


def _stopped_before(found: Job) -> dict[str, Any] | None:
    """The outcome for a job that need not be asked to stop. Raises NotCancelledError where it has ended."""
    if found.status is Status.CANCELLED:
        return _outcome(found, "confirmed", "It was cancelled before; nothing was sent.")
    if found.status is Status.CANCELLING:
        return _outcome(found, "requested", "Cancellation was requested before; nothing was sent.")
    if found.status.is_terminal:
        raise _not_cancelled(found, f"it has already ended as {found.status.value}")
    return None


def _not_cancelled(found: Job, happened: str, then: str = "Nothing was sent") -> NotCancelledError:
    return NotCancelledError(f"cancel {clean(found.job_id)}", happened, then)


def _answer(found: Job) -> str:
    """The words that the person at the terminal types. Raises KeyboardInterrupt for Ctrl-C."""
    name = f"{quote(found.name, 80)} ({clean(found.job_id)})" if found.name else clean(found.job_id)
    rows = counted(found.num_rows, "row") if found.num_rows is not None else "an unknown number of rows"
    # asyncio answers a signal once its loop goes on, which it does not while a line is read.
    of_the_loop = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        tell(f"{name} is {found.status.value}, with {rows}.")
        tell(f"Stopping it cannot be undone: {_LOST}.")
        tell('Type "yes" to stop it:')
        return sys.stdin.readline().strip().lower()
    except KeyboardInterrupt:
        tell(f"\n{clean(found.job_id)}: Nothing was sent.")
        raise
    finally:
        signal.signal(signal.SIGINT, of_the_loop)


def _outcome(found: Job, outcome: str, message: str) -> dict[str, Any]:
    return {
        "job_id": found.job_id,
        "outcome": outcome,
        "status_before": found.status.value,
        "message": message,
    }
