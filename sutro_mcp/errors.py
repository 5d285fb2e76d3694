"""Every failure a caller can meet, split by what the reader can do about it.

A message has three parts: what we were doing, what happened, what to do next. It holds no URL of ours or of
an artifact, no key, and no upstream text that has not passed `untrusted_text.quote`.
"""


class SutroError(Exception):
    """A failure with a message fit for an assistant. `str()` of it is the whole message.

    The library and the commands put it into the words of their readers (`library/error_words.py`).
    """

    given_up = False
    """Whether all attempts that a call may make were made, so that nothing repeats them."""

    def __init__(self, doing: str, happened: str, next_step: str) -> None:
        """`doing` completes "Cannot …"; it is empty where nothing failed, but has not happened yet.

        `happened` and `next_step` are whole clauses without a final dot.
        """
        self.doing = doing
        self.happened = happened
        self.next_step = next_step
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole message, as an assistant reads it."""
        return f"{self.failure} {self.next_step}."

    @property
    def failure(self) -> str:
        """The message without what to do next."""
        return f"Cannot {self.doing}: {self.happened}." if self.doing else f"{self.happened}."


class CallError(SutroError):
    """The call has to change."""


class InvalidArgumentError(CallError):
    """An argument is not acceptable."""


class QueryMemoryError(InvalidArgumentError):
    """A query needs more memory than it may have."""


class InvalidCursorError(CallError):
    """A cursor is damaged, stale, or was made for another question."""


class JobNotFoundError(CallError):
    """The deployment knows no such job for this key (404)."""


class ResultsNotReadyError(CallError):
    """The job has not finished, or its results are not published yet."""


class NoResultsError(CallError):
    """The job ended without results: it failed or was cancelled."""


class ResultsGoneError(CallError):
    """The job succeeded but its results are not there, or not any more."""


class RejectedError(CallError):
    """The deployment refused the request as it is; `status` is the HTTP status (400, 405, 409, 422)."""

    def __init__(self, doing: str, happened: str, next_step: str, *, status: int) -> None:
        self.status = status
        super().__init__(doing, happened, next_step)


class SettingsError(SutroError):
    """The settings have to change."""


class ConfigurationError(SettingsError):
    """Key or URL is missing, malformed, or the two are not a pair."""


class AuthenticationError(SettingsError):
    """The deployment refused the key (401)."""


class AccessDeniedError(SettingsError):
    """The key is valid but not allowed to do this (403)."""


class WrongDeploymentError(SettingsError):
    """The URL does not lead to a Sutro deployment, or to one that no longer answers (410)."""


class AuditError(SettingsError):
    """A line of the audit log, without which nothing is done, cannot be written."""


class TemporaryError(SutroError):
    """The same call may succeed later; `retry_after` is the number of seconds to wait, if that is known."""

    def __init__(
        self, doing: str, happened: str, next_step: str, *, retry_after: float | None = None
    ) -> None:
        self.retry_after = retry_after
        super().__init__(doing, happened, next_step)


class RateLimitedError(TemporaryError):
    """Too many requests (429)."""


class ServiceUnavailableError(TemporaryError):
    """The deployment or a gateway in front of it failed (5xx, 524)."""


class ConnectionFailedError(TemporaryError):
    """No connection could be made, or it broke before the reply was complete."""


class DeadlineExceededError(TemporaryError):
    """No complete answer arrived within the time allowed for the call."""


class StillWorkingError(TemporaryError):
    """Work takes longer than a host waits. It goes on, and the same call joins it."""


class ArtifactChangedError(TemporaryError):
    """An artifact is not the one that was read so far: neither part is worth anything beside the other."""


class UnexpectedReplyError(SutroError):
    """The deployment answered with something that the contract does not allow."""

    def __init__(
        self, doing: str, happened: str, next_step: str = "Call again; if it stays, report it"
    ) -> None:
        super().__init__(doing, happened, next_step)


class IncompleteReplyError(UnexpectedReplyError):
    """A body ended early or does not match its own length, entity tag or checksum."""


class ReplyTooLargeError(UnexpectedReplyError):
    """A body is larger than what this kind of reply may be."""


class RangesUnsupportedError(UnexpectedReplyError):
    """The artifact store does not give parts, or does not say of what. The whole can still be had."""


class WorkerError(UnexpectedReplyError):
    """The process that reads results died, or passed its memory or time limit."""


def counted(count: float, noun: str) -> str:
    """A number and what it counts, for a sentence: "1 row", "1,000 rows", "0.5 seconds"."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {noun}{'' if count == 1 else 's'}"
