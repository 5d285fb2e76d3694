"""Takes secrets out of all that leaves: answers, errors, progress, logs, tracebacks.

Keys are known by value: their owners call `protect` or `hiding`. Signatures of presigned URLs are known by
the name of their parameter. Nothing else is touched in an answer, because it may be somebody's data; a log
line also loses every Authorization value and every query string.
"""

import contextlib
import json
import logging
import re
import sys
import threading
import traceback
import weakref
from collections.abc import Generator
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import quote

MASK = "[redacted]"
# A shorter key would take ordinary words out of ordinary text.
_SHORTEST = 8
# Less of a longer one gives little away, and may be what many keys begin with.
_CUT = 12

_known: dict[int, frozenset[str]] = {}
_hidden: ContextVar[frozenset[str]] = ContextVar("hidden", default=frozenset())
# The names are ASCII, in any case. A pattern without a fixed first letter is slow, so a word that every match
# holds is looked for first: most texts have none.
_FLAGS = re.IGNORECASE | re.ASCII
_SIGNATURE_WORDS = ("sig", "security-token")
_HEADER_WORD = "authorization"
# AWS, Google, CloudFront and Azure; also where the URL is escaped inside JSON, HTML or another URL, and where
# the names are those of a form's fields.
_EQUALS = r"(?:=|%3D|%253D|\\u003D|\\x3D|&\#61;|&\#x3D;)"
_LONG_NAMES = r"(?:X-Amz-(?:Signature|Security-Token)|X-Goog-Signature)"
_SHORT_NAMES = r"(?:[?&;]|\\u0026|\\x26|%3F|%26|%253F|%2526)(?:sig|signature)"
_SIGNATURE = re.compile(
    rf"((?:{_LONG_NAMES}|{_SHORT_NAMES}){_EQUALS}|{_LONG_NAMES}\\?[\"']\s*:\s*\\?[\"'])[^\s&\"'<>\\]{{12,}}",
    _FLAGS,
)
# Headers as they are written, and as Python or JSON quotes them.
_HEADER = r"(authorization[\\'\"]*\s*[:=,]\s*b?[\\'\"]*(?:{})\s+)[^\s\\\"',;)\]}}]{{{},}}"
# Sutro's own scheme is a word that code samples do not use; the others are left alone in answers.
_SUTRO_HEADER = re.compile(_HEADER.format("key", 12), _FLAGS)
_ANY_HEADER = re.compile(_HEADER.format("key|bearer|basic|token|digest", 1), _FLAGS)
_QUERY = re.compile(r"(\bhttps?://[^\s?\"'<>]*\?)[^\s\"'<>]+", re.IGNORECASE)

# Line ends of every kind, and what a terminal obeys.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def protect(owner: object, secret: str) -> None:
    """Take `secret` out of everything from now on, as long as `owner` lives."""
    if len(secret) >= _SHORTEST:
        _known[id(owner)] = _forms(secret)
        weakref.finalize(owner, _known.pop, id(owner), None)


@contextlib.contextmanager
def hiding(secret: str) -> Generator[None]:
    """Take `secret` out of what leaves this task and the tasks that it starts, and of nothing else.

    One caller's key must neither cost the others time nor, chosen with malice, mask words in their answers.
    """
    forms = _forms(secret) if len(secret) >= _SHORTEST else frozenset[str]()
    token = _hidden.set(_hidden.get() | forms)
    try:
        yield
    finally:
        _hidden.reset(token)


def _forms(secret: str) -> frozenset[str]:
    return frozenset((secret, json.dumps(secret)[1:-1], quote(secret, safe="")))


def redact(text: str) -> str:
    """`text`, which may be somebody's data, without protected secrets, signatures and Sutro's header."""
    # A copy: a key can be forgotten in the middle.
    for forms in (*_known.values(), _hidden.get()):
        for form in forms:
            text = _without(form, text)
    lowered = text.lower()
    if any(word in lowered for word in _SIGNATURE_WORDS):
        text = _SIGNATURE.sub(rf"\1{MASK}", text)
    if _HEADER_WORD in lowered:
        text = _SUTRO_HEADER.sub(rf"\1{MASK}", text)
    return text


def _without(secret: str, text: str) -> str:
    """`text` with every run of at least `_CUT` leading characters of `secret` masked: texts are cut."""
    head, start, parts = secret[:_CUT], 0, list[str]()
    while (at := text.find(head, start)) >= 0:
        parts += [text[start:at], MASK]
        start = at + len(head)
        while start - at < len(secret) and text[start : start + 1] == secret[start - at]:
            start += 1
    return "".join((*parts, text[start:])) if parts else text


def redact_line(text: str) -> str:
    """`text` of a log or an error of ours, also without Authorization values and query strings."""
    return _QUERY.sub(rf"\1{MASK}", _ANY_HEADER.sub(rf"\1{MASK}", redact(text)))


class RedactingFormatter(logging.Formatter):
    """Redacts the finished text, and keeps it on one line: what a record quotes cannot pass for another.

    A filter would miss tracebacks, which are added last.
    """

    def format(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(_escape, redact_line(super().format(record)))


def guard_process(level: str, formatter: logging.Formatter | None = None) -> None:
    """Make this process keep its secrets: a redacted log at `level` on stderr, no core files.

    A `formatter` for another log than the one for people redacts by itself.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter or RedactingFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_elsewhere
    sys.unraisablehook = _uncaught_elsewhere
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # POSIX only

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    print(redact_line("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)  # noqa: T201


def _uncaught_elsewhere(arguments: Any) -> None:
    _uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
