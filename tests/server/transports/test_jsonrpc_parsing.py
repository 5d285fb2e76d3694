"""Lines of stdin: bounded, and answered once when they are no message."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from sutro_mcp.server.transports.jsonrpc_parsing import MAX_LINE, Oversized, Refusal, lines, read_message

pytestmark = pytest.mark.anyio


async def _split(chunks: list[bytes], limit: int = 10) -> list[bytes | Oversized]:
    waiting: Iterator[bytes] = iter(chunks)

    async def read() -> bytes:
        return next(waiting, b"")

    return [line async for line in lines(read, limit)]


async def test_lines_are_put_together_again_however_they_arrive() -> None:
    """A pipe keeps no boundaries, and the last line may lack its end."""
    assert await _split([b"ab", b"c\n", b"\nd\ne", b"f"]) == [b"abc", b"", b"d", b"ef"]


async def test_a_line_of_exactly_the_limit_passes_and_one_more_byte_does_not() -> None:
    """Whether it comes at once or in parts."""
    assert await _split([b"0123456789\n"]) == [b"0123456789"]
    for chunks in ([b"0123456789x\nok\n"], [b"01234", b"56789x", b"\nok"], [b"0123456789", b"x\n", b"ok\n"]):
        found = await _split(chunks)
        assert isinstance(found[0], Oversized)
        assert found[1:] == [b"ok"]


async def test_a_long_line_is_kept_at_its_ends_only() -> None:
    """Whatever its length."""
    (line,) = await _split([b"{head", *[b"x" * 5_000] * 50, b"tail}"])
    assert isinstance(line, Oversized)
    assert line.head.startswith(b"{headx")
    assert line.tail.endswith(b"xtail}")
    assert len(line.head) <= 1024
    assert len(line.tail) == 1024


@given(st.lists(st.binary(max_size=40), max_size=12))
async def test_nothing_is_lost_or_invented_between_the_chunks(chunks: list[bytes]) -> None:
    """Joined again, the lines are what came."""
    chunks = [chunk for chunk in chunks if chunk]
    whole = b"".join(chunks)
    found = await _split(chunks, limit=10_000)
    assert found == (whole.split(b"\n") if whole[-1:] not in (b"", b"\n") else whole.split(b"\n")[:-1])


KINDS: list[tuple[bytes, type[Any]]] = [
    (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', JSONRPCRequest),
    (b' {"jsonrpc":"2.0","id":"a","method":"ping","params":{}} \r', JSONRPCRequest),
    (b'{"jsonrpc":"2.0","method":"notifications/x"}', JSONRPCNotification),
    (b'{"jsonrpc":"2.0","id":1,"result":{}}', JSONRPCResponse),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}', JSONRPCError),
]


async def test_a_message_is_read_as_what_it_is() -> None:
    """All four kinds."""
    for line, kind in KINDS:
        assert isinstance(read_message(line), kind), line


DEEP = b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":' + b"[" * 300 + b"]" * 300 + b"}}"


REFUSED: list[tuple[bytes, int | str | None, int]] = [
    (b"garbage", None, -32700),
    (b"\xff\xfe{", None, -32700),
    (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"m"}', None, -32700),
    (b"[" * 100_000, None, -32700),
    (b'{"jsonrpc":"2.0","id":1,', None, -32700),
    (b"[]", None, -32600),
    (b"[NaN]", None, -32600),
    (b"7", None, -32600),
    (b"{}", None, -32600),
    (b'{"jsonrpc":"1.0","id":3,"method":"m"}', 3, -32600),
    (b'{"jsonrpc":"2.0","id":3}', 3, -32600),
    (b'{"jsonrpc":"2.0","id":3,"method":4}', 3, -32600),
    (b'{"jsonrpc":"2.0","id":3,"method":"m","params":[]}', 3, -32600),
    (b'{"jsonrpc":"2.0","id":"x","method":"m","params":1}', "x", -32600),
    (b'{"jsonrpc":"2.0","id":null,"method":"m"}', None, -32600),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', None, -32600),
    (b'{"jsonrpc":"2.0","id":true,"method":"m"}', None, -32600),
    (b'{"jsonrpc":"2.0","id":[],"method":"m"}', None, -32600),
    (b'{"jsonrpc":"2.0","id":4,"method":"m","params":{"a":"\\ud83d"}}', 4, -32600),
    (b'{"jsonrpc":"2.0","id":"\\ud83d","method":"m"}', None, -32600),
    (b'{"jsonrpc":"2.0","id":4,"method":"m","params":{"a":%s}}' % (b"9" * 5_000), 4, -32600),
    (b'{"jsonrpc":"2.0","id":%s,"method":"m"}' % (b"9" * 5_000), None, -32600),
    (b'{"jsonrpc":"2.0","id":4,"method":"m","params":{"a":NaN}}', 4, -32600),
    (b'{"jsonrpc":"2.0","id":4,"method":"m","params":{"a":"\xff"}}', 4, -32600),
    (DEEP, 7, -32600),
]


async def test_a_line_that_is_no_message_is_refused_with_its_id_where_it_has_one() -> None:
    """A host that hears nothing waits for its own time-out."""
    for line, request_id, code in REFUSED:
        refusal = read_message(line)
        assert isinstance(refusal, Refusal), line[:80]
        assert (refusal.reply.id, refusal.reply.error.code) == (request_id, code), line[:80]
        written = json.loads(refusal.reply.model_dump_json(by_alias=True, exclude_unset=True))
        assert written["id"] == request_id


SILENT = [
    b"",
    b" \t\r",
    b'{"jsonrpc":"2.0","method":"m","params":[]}',
    b'{"jsonrpc":"2.0","method":"m","params":{"a":"\\ud83d"}}',
    b'{"jsonrpc":"2.0","id":null,"result":7}',
]


async def test_what_asks_for_no_answer_gets_none() -> None:
    """JSON-RPC forbids answers to notifications, and to answers."""
    assert [read_message(line) for line in SILENT] == [None] * len(SILENT)


@pytest.mark.parametrize("result", [b"7", b'{"a":"\\ud83d"}'], ids=["wrong type", "lone surrogate"])
async def test_a_useless_reply_to_a_question_of_ours_ends_the_question(result: bytes) -> None:
    """Rather than leaving it open for ever."""
    message = read_message(b'{"jsonrpc":"2.0","id":5,"result":%s}' % result)
    assert isinstance(message, JSONRPCError)
    assert message.id == 5


ENDS: list[tuple[bytes, bytes, int | str | None]] = [
    (b'{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"', b'"}}', 12),
    (b'{ "id" : "a\\"b" , ', b"}", 'a"b'),
    (b'{"method":"m","params":{"', b'"},"jsonrpc":"2.0","id":12}', 12),
    (b'{"method":"m","params":{"', b'"},"id":12,"jsonrpc":"2.0"} \r', 12),
    (b'{"method":"m","params":{"', b'","id":12}}', None),
    (b'{"params":{"id":12,"', b'"}}', None),
    (b'{"method":"m","params":{"', b'\\"id\\":12}', None),
    (b'{"id":"\\ud83d",', b"}", None),
    (b'{"id":"\\q",', b"}", None),
    (b"xxxx", b"xxxx", None),
]


async def test_a_line_that_is_too_long_is_refused_with_its_id_where_its_ends_tell() -> None:
    """Members of the message itself, wherever a host writes them; never an id from inside."""
    for head, tail, request_id in ENDS:
        refusal = read_message(Oversized(head + b"x" * 20, b"x" * 20 + tail))
        assert isinstance(refusal, Refusal), (head, tail)
        assert refusal.reply.id == request_id, (head, tail)
        assert f"{MAX_LINE:,} bytes" in refusal.reply.error.message


async def test_what_a_refusal_says() -> None:
    """In words that a person who looks at the host's log understands; nothing of the line is repeated."""
    refusals = [read_message(line) for line in (b"x", b"[]", b"{}", b'{"id":1.5,"method":"m"}', DEEP)]
    assert [refusal.reply.error.message for refusal in refusals if isinstance(refusal, Refusal)] == snapshot(
        [
            "Parse error: this is not valid JSON",
            "Invalid request: send one message at a time; batches are not part of this protocol",
            "Invalid request: this is not a JSON-RPC 2.0 message",
            "Invalid request: an id is a string or a whole number",
            (
                "Invalid request: it holds a number, a nesting or a text that JSON between systems may "
                "not have (thousands of digits, hundreds of levels, NaN, half a surrogate pair, bytes that "
                "are not UTF-8)"
            ),
        ]
    )
