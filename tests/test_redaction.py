"""Secrets are taken out of text, and nothing else is."""

import gc
import logging
import subprocess
import sys
import textwrap

import pytest
from inline_snapshot import snapshot

from sutro_mcp.api import ApiKey
from sutro_mcp.redaction import MASK, RedactingFormatter, hiding, protect, redact, redact_line

KEY = 'sk_canary "quoted" 100%'


class Owner:
    """Something that holds a secret."""


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(KEY, id="as it is"),
        pytest.param('sk_canary \\"quoted\\" 100%', id="inside JSON"),
        pytest.param("sk_canary%20%22quoted%22%20100%25", id="inside a URL"),
    ],
)
def test_a_protected_secret_is_masked_in_every_spelling(shown: str) -> None:
    """Also in the middle of a word."""
    owner = Owner()
    protect(owner, KEY)
    assert redact(f"a{shown}b") == f"a{MASK}b"
    del owner


@pytest.mark.parametrize("cut", [12, 13, len(KEY) - 1])
def test_what_is_left_of_a_key_that_was_cut_is_masked(cut: int) -> None:
    """Long texts are shortened wherever that falls; in one of them it may stand twice."""
    owner = Owner()
    protect(owner, KEY)
    assert redact(f"{KEY[:cut]}… and {KEY[:cut]}… [99 chars]") == f"{MASK}… and {MASK}… [99 chars]"
    assert redact(f"{KEY[:11]}…") == f"{KEY[:11]}…"
    del owner


def test_a_secret_is_forgotten_with_its_owner() -> None:
    """A server for many tenants must not collect their keys."""
    owner = Owner()
    protect(owner, KEY)
    del owner
    gc.collect()
    assert redact(KEY) == KEY


def test_a_callers_key_is_hidden_from_that_caller_alone() -> None:
    """One key inside another's time as well; a word is too short to be one."""
    with hiding("sk_45678"):
        with hiding("sk_4567"), hiding("sk_other_0123"):
            assert redact("sk_45678 sk_4567 sk_other_0123") == f"{MASK} sk_4567 {MASK}"
        assert redact("sk_45678 sk_other_0123") == f"{MASK} sk_other_0123"
    assert redact("sk_45678") == "sk_45678"


def test_an_api_key_protects_itself() -> None:
    """Its creator need not think of it; two that are equal do not depend on each other."""
    first, second = ApiKey("sk_canary_0123456789"), ApiKey("sk_canary_0123456789")
    del first
    assert redact("is sk_canary_0123456789") == f"is {MASK}"
    assert second.fingerprint


def test_a_key_as_short_as_a_word_is_left_in_text() -> None:
    """Masking it would make answers wrong."""
    key = ApiKey("model")
    assert redact("the model said") == "the model said"
    assert key.fingerprint


SIGNATURE = "0f" * 32


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("https://b.s3.example.com/x?a=1&X-Amz-Signature={}&b=2", id="AWS"),
        pytest.param("https://b.s3.example.com/x?X-Amz-Security-Token={}", id="AWS token"),
        pytest.param("https://storage.example.com/x?X-Goog-Signature={}", id="Google"),
        pytest.param("https://blob.example.com/x?sv=1&sig={}", id="Azure"),
        pytest.param("https://cdn.example.com/x?Signature={}&Key-Pair-Id=K", id="CloudFront"),
        pytest.param('{{"url":"https://b.example.com/x?a=1\\u0026sig={}"}}', id="escaped in JSON"),
        pytest.param(
            "next=https%3A%2F%2Fb.example.com%3Fa%3D1%26X-Amz-Signature%3D{}", id="inside another URL"
        ),
        pytest.param("https:\\/\\/b.example.com?a=1\\u0026X-Amz-Signature\\u003d{}", id="escaped by Gson"),
        pytest.param("<a href='https://b.example.com/x?a=1&amp;sig&#61;{}'>", id="escaped in HTML"),
        pytest.param("u=https%253A%252F%252Fb%253Fa%253D1%2526sig%253D{}", id="inside a URL twice"),
        pytest.param("'https://b.example.com/x?a\\x3d1\\x26sig\\x3d{}'", id="escaped in JavaScript"),
        pytest.param('{{"X-Amz-Signature": "{}"}}', id="field of a form"),
        pytest.param('"{{\\"x-goog-signature\\":\\"{}\\"}}"', id="field in JSON in JSON"),
        pytest.param("GET /x?x-amz-signature={} HTTP/1.1", id="lower case"),
        pytest.param("Authorization: Key {}", id="header"),
        pytest.param("{{'authorization': 'Key {}'}}", id="header in a repr"),
        pytest.param("(b'Authorization', b'Key {}')", id="raw header"),
    ],
)
def test_a_signature_is_masked_and_its_surroundings_stay(text: str) -> None:
    """In answers as well as in logs."""
    assert redact(text.format(SIGNATURE)) == text.format(MASK)


@pytest.mark.parametrize(
    "text",
    [
        "the signature=of a song",
        "f(x)?sig=1",
        "sig=notaurlparameterbutlong",
        "curl -H 'Authorization: Bearer YOUR_TOKEN' https://api.example.com/v1?page=2",
        "X-Amz-Signature is computed over the request",
        "X-Amz-Signature: computed-over-the-request",
        "authorization key missing",
    ],
)
def test_other_text_is_somebodys_data_and_stays(text: str) -> None:
    """A model's text about APIs is an answer, not a leak."""
    assert redact(text) == text


def test_a_log_line_also_loses_queries_and_every_authorization() -> None:
    """A log is no answer: there, too much is better than too little."""
    text = "GET https://h.example.com/p?token=abc Authorization: Bearer a.b, authorization=Basic QQ=="
    assert redact_line(text) == snapshot(
        "GET https://h.example.com/p?[redacted] Authorization: Bearer [redacted], "
        "authorization=Basic [redacted]"
    )


def test_what_is_shorter_than_any_secret_stays() -> None:
    """On both sides of each limit: a key in text, Sutro's header in an answer, any header in a log."""
    long_enough, too_short = Owner(), Owner()
    protect(long_enough, "sk_45678")
    protect(too_short, "sk_4567")
    assert redact("sk_45678 sk_4567!") == f"{MASK} sk_4567!"
    assert redact("Authorization: Key 12345678901") == "Authorization: Key 12345678901"
    assert redact("Authorization: Key 123456789012") == f"Authorization: Key {MASK}"
    assert redact_line("Authorization: Token 1") == f"Authorization: Token {MASK}"
    assert redact_line("no Authorization: Token , sorry") == "no Authorization: Token , sorry"
    del long_enough, too_short


def test_a_log_record_is_one_line_redacted_with_its_traceback() -> None:
    """A filter would miss it there; and what a caller names cannot pass for a line of ours."""
    key = ApiKey("sk_canary_0123456789")
    try:
        raise ValueError(f"Illegal header value {key.reveal()}")
    except ValueError:
        record = logging.LogRecord(
            "a", 40, "f", 1, "sent %s", (f"{key.reveal()}\nERROR fake:\x1b[31m\u2028stolen",), sys.exc_info()
        )
    text = RedactingFormatter().format(record)
    assert key.reveal() not in text
    assert len(text.splitlines()) == 1
    assert text.startswith(rf"sent {MASK}\nERROR fake:\x1b[31m\u2028stolen\nTraceback")
    assert text.endswith(rf"\nValueError: Illegal header value {MASK}")


_GUARDED = """
    import gc, logging, resource, sys, threading
    from sutro_mcp.api import ApiKey
    from sutro_mcp.redaction import guard_process

    logging.basicConfig()  # as a library might have done
    guard_process("DEBUG")
    key = ApiKey("sk_canary_0123456789")
    logging.debug("sent %s", key.reveal())
    print(resource.getrlimit(resource.RLIMIT_CORE))

    def fail(*_):
        raise ValueError("with " + key.reveal())

    class Bad:
        __del__ = fail

    Bad()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    fail()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits to look at")
def test_a_guarded_process_shows_no_key_in_any_uncaught_error_and_leaves_no_core_file() -> None:
    """Of the program, of a thread, and of a finalizer."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_GUARDED)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "(0, 0)\n"
    assert done.returncode == 1
    assert "sk_canary" not in done.stderr
    assert done.stderr.count(f"ValueError: with {MASK}") == 3
    assert f"DEBUG root: sent {MASK}" in done.stderr
