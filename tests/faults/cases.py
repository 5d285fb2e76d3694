"""The catalogue of broken replies: what arrives, and what the tools may make of it.

A case says what is wrong and what must come of it when every reply is like that: `right` where HTTP allows
it, or words of the error. When only the first reply is like that, `passing` says whether the request is sent
again.
"""

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

from .upstream import (
    Act,
    Fault,
    body,
    bomb,
    chunked,
    cut,
    cut_body,
    drip,
    edited,
    encoded,
    instead,
    length,
    status,
    truncated_gzip,
)

RIGHT = "right"


@dataclass(frozen=True)
class Case:
    """One way in which replies are broken."""

    fault: Fault
    says: str
    """Part of the error, or `right`."""
    passing: bool = False
    """Whether the same request is sent again after it."""


def _http(text: bytes) -> Fault:
    return instead(text, Act.close)


def _text(raw: bytes) -> Fault:
    return body(raw)


BROKE = "the connection broke before the reply was complete"
NO_REPLY = "the connection to the deployment broke"
NO_JSON = "the reply is not valid JSON"

_REPLIES: dict[str, Case] = {
    # The connection.
    "reset before the reply": Case(instead(Act.reset), NO_REPLY, passing=True),
    "closed before the reply": Case(instead(Act.close), NO_REPLY, passing=True),
    "closed in the head": Case(cut(0.05), NO_REPLY, passing=True),
    "reset in the head": Case(cut(0.05, Act.reset), NO_REPLY, passing=True),
    "closed after the head": Case(cut_body(0), BROKE, passing=True),
    "closed in the body": Case(cut_body(0.5), BROKE, passing=True),
    "reset in the body": Case(cut_body(0.5, Act.reset), BROKE, passing=True),
    "closed one byte early": Case(lambda reply: [reply.raw[:-1], Act.close], BROKE, passing=True),
    # The length.
    "length too short": Case(length(lambda n: str(n - 5)), NO_JSON),
    "length too long": Case(length(lambda n: str(n + 50)), BROKE, passing=True),
    "length negative": Case(length(lambda n: f"-{n}"), NO_REPLY, passing=True),
    "length no number": Case(length(lambda _: "many"), NO_REPLY, passing=True),
    "length of thirty digits": Case(length(lambda _: "9" * 30), NO_REPLY, passing=True),
    "length of two values": Case(
        edited(lambda r: r.with_header("content-length", "5", "6")), NO_REPLY, passing=True
    ),
    "length missing": Case(length(lambda _: None), RIGHT),
    "length missing and cut": Case(
        lambda reply: [reply.with_header("content-length").head + reply.body[:-9], Act.close], NO_JSON
    ),
    "length beside chunks": Case(
        lambda reply: [
            reply.with_header("transfer-encoding", "chunked").head
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(reply.body), reply.body),
            Act.close,
        ],
        RIGHT,
    ),
    # Chunked coding.
    "chunked properly": Case(chunked(lambda b: b"%x\r\n%s\r\n0\r\n\r\n" % (len(b), b)), RIGHT),
    "chunks of one byte": Case(
        chunked(lambda b: b"".join(b"1\r\n%c\r\n" % byte for byte in b) + b"0\r\n\r\n"), RIGHT
    ),
    "chunk cut": Case(chunked(lambda b: b"%x\r\n%s" % (len(b), b[:-9])), BROKE, passing=True),
    "last chunk missing": Case(chunked(lambda b: b"%x\r\n%s\r\n" % (len(b), b)), BROKE, passing=True),
    "chunk size no number": Case(chunked(lambda b: b"zz\r\n%s\r\n0\r\n\r\n" % b), BROKE, passing=True),
    "chunk size too short": Case(chunked(lambda b: b"5\r\n%s\r\n0\r\n\r\n" % b), BROKE, passing=True),
    # Compression, which was not asked for.
    "gzip properly": Case(encoded("gzip", gzip.compress), RIGHT),
    "deflate properly": Case(encoded("deflate", zlib.compress), RIGHT),
    "gzip truncated": Case(encoded("gzip", truncated_gzip), "the compressed reply ended early", passing=True),
    "gzip that is none": Case(encoded("gzip", bytes), "compressed in a broken way", passing=True),
    "gzip with a wrong checksum": Case(
        encoded("gzip", lambda b: gzip.compress(b)[:-8] + b"12345678"),
        "compressed in a broken way",
        passing=True,
    ),
    "gzip twice over": Case(
        encoded("gzip, gzip", lambda b: gzip.compress(gzip.compress(b))), "not supported"
    ),
    "two gzips in a row": Case(
        encoded("gzip", lambda b: gzip.compress(b) + gzip.compress(b)), "something follows", passing=True
    ),
    "brotli": Case(encoded("br", bytes), "not supported"),
    # Bodies of the wrong size.
    "gzip bomb": Case(
        edited(lambda r: r.with_body(bomb(256)).with_header("content-encoding", "gzip")), "larger than"
    ),
    "endless body": Case(
        lambda reply: [reply.with_header("content-length").head, Act.endless], "larger than"
    ),
    "200 megabytes announced": Case(length(lambda _: str(200 * 2**20)), "larger than"),
    "empty body": Case(body(b""), NO_JSON),
    # JSON.
    "not UTF-8": Case(_text(b'{"jobs": "\xff"}'), NO_JSON),
    "UTF-16": Case(_text('{"jobs": []}'.encode("utf-16")), NO_JSON),
    "byte order mark": Case(edited(lambda r: r.with_body(b"\xef\xbb\xbf" + r.body)), RIGHT),
    "NaN": Case(_text(b'{"jobs": NaN, "job_status": NaN}'), NO_JSON),
    "1e999": Case(_text(b'{"jobs": 1e999}'), NO_JSON),
    "a key twice": Case(_text(b'{"job_status": "RUNNING", "job_status": "FAILED"}'), NO_JSON),
    "5,000 digits": Case(_text(b'{"jobs": %s}' % (b"9" * 5_000)), NO_JSON),
    "200,000 levels": Case(_text(b"[" * 200_000), NO_JSON),
    "cut JSON": Case(edited(lambda r: r.with_body(r.body[:-1])), NO_JSON),
    "null": Case(body(b"null"), "JSON but not an object"),
    "a list": Case(body(b"[]"), "JSON but not an object"),
    "a text": Case(body(b'"SUCCEEDED"'), "JSON but not an object"),
    "an empty object": Case(body({}), "the reply has no"),
    "a web page": Case(body(b"<!DOCTYPE html><html>hi</html>", "text/html"), "a web page"),
    "a web page that says it is JSON": Case(body(b"<html>hi</html>"), "a web page"),
    # HTTP itself.
    "not HTTP": Case(_http(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), NO_REPLY, passing=True),
    "an unknown version": Case(_http(b"HTTP/9.9 200 OK\r\n\r\n"), NO_JSON),
    "a status of four digits": Case(_http(b"HTTP/1.1 2000 OK\r\n\r\n"), NO_REPLY, passing=True),
    "a head of a megabyte": Case(
        _http(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20 + b"\r\n\r\n"), NO_REPLY, passing=True
    ),
    "a header without a name": Case(_http(b"HTTP/1.1 200 OK\r\n: x\r\n\r\n"), NO_REPLY, passing=True),
    "interim replies first": Case(lambda reply: [b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + reply.raw], RIGHT),
    "a switch of protocols": Case(
        _http(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), NO_REPLY, passing=True
    ),
    # Redirects are never followed.
    **{
        f"redirect {code} to {name}": Case(status(code, location=target), "redirect")
        for code, name, target in (
            *((code, "elsewhere", "https://elsewhere.example.com/x") for code in (301, 302, 303, 307, 308)),
            (302, "cancel", "/v1/job-cancel/x"),
        )
    },
    "redirect to a file": Case(status(302, location="file:///etc/passwd"), "redirect"),
    "redirect without a target": Case(status(302), "redirect"),
}


def _json_error(code: int, detail: Any) -> Fault:
    return status(code, json.dumps({"detail": detail}).encode())


_STATUSES = {
    201: ("201", False),
    202: ("202", False),
    204: ("204", False),
    206: ("206", False),
    400: ("(400)", False),
    401: ("refused the API key (401)", False),
    403: ("not allowed to do this (403)", False),
    404: ("(404)", False),
    405: ("(405)", False),
    408: ("(408)", True),
    409: ("(409)", False),
    410: ("(410)", False),
    418: ("(418)", False),
    422: ("argument invalid (422)", False),
    429: ("(429)", True),
    500: ("(500)", True),
    501: ("(501)", False),
    502: ("(502)", True),
    503: ("(503)", True),
    504: ("(504)", True),
    524: ("(524)", True),
    530: ("(530)", True),
    599: ("(599)", True),
}
PAGE = b"<!DOCTYPE html><html><head><title>x</title></head><body>Ray ID 1</body></html>"
PLAIN = {201, 401, 404, 502}
CASES = _REPLIES | {
    f"status {code} with {kind}": Case(fault, says, passing)
    for code, (says, passing) in _STATUSES.items()
    for kind, fault in (
        ("JSON", _json_error(code, "no")),
        ("a page", status(code, PAGE, "text/html")),
        *((("nothing", status(code)),) if code in PLAIN else ()),
    )
}
CASES["status 422 with a list of errors"] = Case(
    _json_error(422, [{"loc": ["query", "limit"], "msg": "wrong"}]), "query.limit: wrong"
)

# A total deadline ends these; a limit on each read would not.
SLOW: dict[str, Case] = {
    "no reply at all": Case(instead(Act.hang), "within"),
    "silence in the head": Case(cut(0.05, Act.hang), "within"),
    "silence in the body": Case(cut_body(0.5, Act.hang), "within"),
    "a byte every 20 ms": Case(drip(0.02), "within"),
}
