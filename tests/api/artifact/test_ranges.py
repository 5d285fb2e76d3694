"""Reading an artifact in parts: exactly the bytes asked for, all of one artifact, or an error."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sutro_mcp import errors
from tests.api.wire import JOB, PARQUET, Body, client, reply

from .stores import (
    LINK,
    OTHER,
    SIZE,
    Answer,
    asked,
    cut,
    failed,
    opened,
    part,
    read,
    serve,
    span,
    status,
    store,
    unreachable,
    whole_again,
)

pytestmark = pytest.mark.anyio


async def test_the_whole_is_asked_for_without_a_range() -> None:
    """Every store can do that; neither credentials nor anything of ours goes with it."""
    transport = store()
    assert await part(transport, 0, SIZE) == PARQUET
    (request,) = transport.seen[1:]
    assert (request.method, str(request.url)) == ("GET", LINK)
    assert dict(request.headers) == {"host": "bucket.s3.example.com", "accept-encoding": "identity"}


async def test_a_part_after_the_first_reply_is_asked_for_of_the_same_artifact() -> None:
    """The entity tag is known then, and goes along."""
    transport = store()
    async with client(transport) as api:
        artifact = await opened(api)
        assert (artifact.job_id, artifact.size, artifact.etag) == (JOB, SIZE, None)
        assert await read(artifact, SIZE - 8, SIZE) == PARQUET[-8:]
        assert artifact.etag == '"v1"'
        assert await read(artifact, 0, 100) == PARQUET[:100]
        assert await read(artifact, 0, SIZE) == PARQUET
        assert await read(artifact, 7, 7) == b""
        with pytest.raises(errors.ArtifactChangedError):  # without asking: the tag of what is there is known
            await read(artifact, 10, 20, '"v0"')
    assert asked(transport) == [
        (f"bytes={SIZE - 8}-{SIZE - 1}", None),
        ("bytes=0-99", '"v1"'),
        (None, '"v1"'),
    ]
    assert transport.seen[2].headers.keys() == {"host", "accept-encoding", "range", "if-match"}


async def test_what_earlier_bytes_belong_to_is_asked_for_at_once() -> None:
    """Another process may have read them."""
    transport = store()
    assert await part(transport, 0, 10, '"v1"') == PARQUET[:10]
    assert asked(transport) == [("bytes=0-9", '"v1"')]


REPLACED: dict[str, tuple[Answer, int, int, str | None]] = {
    "412 to a part": (status(412), 100, 200, '"v0"'),
    "412 to the whole": (status(412), 0, SIZE, '"v0"'),
    "416": (status(416), 100, 200, None),
    "other tag of a part": (serve(etag='"v2"'), 100, 200, '"v1"'),
    "other tag of the whole": (serve(etag='"v2"'), 0, SIZE, '"v1"'),
    "no tag of the whole": (serve(etag=None), 0, SIZE, '"v1"'),
    "longer": (serve(headers={"content-range": f"bytes 100-199/{SIZE + 1}"}), 100, 200, None),
    "shorter": (serve(headers={"content-range": f"bytes 100-199/{SIZE - 1}"}), 100, 200, '"v1"'),
    "whole of another length": (serve(PARQUET[:-1]), 0, SIZE, None),
}


@pytest.mark.parametrize("case", REPLACED)
async def test_an_artifact_that_was_replaced_is_not_read_on(case: str) -> None:
    """Nothing of it is given out, and it is not asked for again."""
    answer, start, stop, etag = REPLACED[case]
    transport = store(answer)
    assert "replaced or removed" in await failed(transport, errors.ArtifactChangedError, start, stop, etag)
    assert len(asked(transport)) == 1


async def test_two_first_replies_must_be_of_the_same_artifact() -> None:
    """Both were asked for before its tag was known."""
    transport = store(serve(), serve(OTHER, etag='"v2"'))
    async with client(transport) as api:
        artifact = await opened(api)
        first, second = artifact.chunks(0, 10), artifact.chunks(SIZE - 10, SIZE)
        async with aclosing(first), aclosing(second):
            assert await anext(first) == PARQUET[:10]
            with pytest.raises(errors.ArtifactChangedError):
                await anext(second)


@pytest.mark.parametrize(
    "answer",
    [
        whole_again(),
        serve(etag=None),
        serve(etag='W/"v1"'),
        serve(headers={"content-range": "bytes 100-8999/*"}),
        serve(headers={"content-range": "pages 1-2/3"}),
        serve(headers={"content-range": ""}),
    ],
    ids=["200", "no tag", "weak tag", "no total", "other unit", "no place"],
)
async def test_a_part_that_proves_nothing_is_refused_before_its_first_byte(answer: Answer) -> None:
    """The caller can then fetch the whole."""
    transport = store(answer)
    await failed(transport, errors.RangesUnsupportedError)
    assert len(asked(transport)) == 1


NOT_ASKED_FOR: dict[str, tuple[Answer, int, int, str]] = {
    "other start": (serve(headers={"content-range": f"bytes 101-8999/{SIZE}"}), 100, 9000, "another part"),
    "other stop": (serve(headers={"content-range": f"bytes 100-8998/{SIZE}"}), 100, 9000, "another part"),
    "other length": (serve(headers={"content-length": "8899"}), 100, 9000, "8,899 bytes instead of 8,900"),
    "junk length": (serve(headers={"content-length": "x"}), 100, 9000, "a length that is not a number"),
    "compressed": (serve(headers={"content-encoding": "gzip"}), 100, 9000, "sent the artifact compressed"),
    "compressed whole": (serve(headers={"content-encoding": "br"}), 0, SIZE, "sent the artifact compressed"),
    "redirect": (status(301), 100, 9000, "answered 301"),
    "not found": (status(404), 100, 9000, "answered 404"),
    "no content": (status(204), 0, SIZE, "answered 204"),
    "all of it as a part": (
        serve(headers={"content-range": f"bytes 0-{SIZE - 1}/{SIZE}"}, code=206),
        *(0, SIZE, "answered 206"),
    ),
}


@pytest.mark.parametrize("case", NOT_ASKED_FOR)
async def test_what_was_not_asked_for_is_an_error(case: str) -> None:
    """It would be the wrong bytes in the right place; asking again would not help."""
    answer, start, stop, happened = NOT_ASKED_FOR[case]
    transport = store(answer)
    assert happened in await failed(transport, errors.UnexpectedReplyError, start, stop)
    assert len(asked(transport)) == 1


async def test_more_bytes_than_were_asked_for_are_an_error_even_without_a_length() -> None:
    """And never reach the caller."""

    def long(_: httpx.Request) -> httpx.Response:
        headers = {"etag": '"v1"', "content-range": f"bytes 100-199/{SIZE}"}
        return reply(206, [PARQUET[100:150], PARQUET[150:201]], headers=headers, length=False)

    got = bytearray()
    async with client(store(long)) as api:
        artifact = await opened(api)
        with pytest.raises(errors.UnexpectedReplyError, match="more bytes than were asked for"):
            await read(artifact, 100, 200, got=got)
    assert got == PARQUET[100:150]


@pytest.mark.parametrize(
    "answer",
    [
        cut(1000),
        serve(cut=1000),
        serve(cut=1000, length=False),
        cut(1000, failure=httpx.RemoteProtocolError(LINK)),
        cut(1000, failure=httpx.ReadTimeout(LINK)),
    ],
    ids=["reset", "short", "short without a length", "bad framing", "silence"],
)
@pytest.mark.parametrize(("start", "stop"), [(0, SIZE), (100, 9000)], ids=["whole", "part"])
async def test_a_connection_that_breaks_is_continued_where_it_stopped(
    answer: Answer, start: int, stop: int
) -> None:
    """No byte comes twice, none is missing."""
    transport = store(answer)
    assert await part(transport, start, stop) == PARQUET[start:stop]
    assert asked(transport)[1:] == [(f"bytes={start + 1000}-{stop - 1}", '"v1"')]


async def test_a_connection_is_continued_as_long_as_it_gets_on() -> None:
    """However often it breaks."""
    transport = store(*[cut(500)] * 12)
    assert await part(transport, 0, SIZE) == PARQUET
    assert len(asked(transport)) == 13


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        *((unreachable, errors.ConnectionFailedError), (status(503), errors.ServiceUnavailableError)),
        (cut(0), errors.IncompleteReplyError),
    ],
    ids=["unreachable", "503", "no byte"],
)
async def test_without_getting_on_it_is_continued_twice(
    answer: Answer, kind: type[errors.SutroError]
) -> None:
    """Three requests in all, the one that broke among them; then the last reason is told."""
    transport = store(cut(1000), *[answer] * 2)
    await failed(transport, kind, 0, SIZE)
    assert len(asked(transport)) == 3
    transport = store(cut(1000), answer)
    assert await part(transport, 0, SIZE) == PARQUET


@pytest.mark.parametrize("code", [408, 429, 500, 503])
async def test_a_store_that_fails_for_a_moment_is_asked_again(code: int) -> None:
    """As the API is: three times in all."""
    assert await part(store(*[status(code)] * 2)) == PARQUET[100:9000]
    assert f"failed ({code})" in await failed(store(*[status(code)] * 3), errors.ServiceUnavailableError)


async def test_what_breaks_before_its_first_byte_is_begun_again_even_without_a_tag() -> None:
    """Nothing was given out yet that it would have to fit."""
    transport = store(cut(0, None), unreachable, serve(etag=None))
    assert await part(transport, 0, SIZE) == PARQUET
    assert asked(transport) == [(None, None)] * 3


async def test_without_a_strong_tag_what_breaks_off_is_incomplete() -> None:
    """The rest could be that of another artifact."""
    for etag in (None, 'W/"v1"'):
        for answer, happened in (
            (cut(1000, etag), "the connection broke"),
            (serve(cut=1000, etag=etag, length=False), "bytes early"),
        ):
            transport = store(answer)
            assert happened in await failed(transport, errors.IncompleteReplyError, 0, SIZE)
            assert len(asked(transport)) == 1


@pytest.mark.parametrize(
    "answers",
    [[serve(etag=None)], [whole_again(etag=None)], [whole_again(5000), whole_again()]],
    ids=["no tag", "neither ranges nor tag", "twice from zero"],
)
async def test_what_the_store_does_not_continue_is_incomplete(answers: list[Answer]) -> None:
    """It began, so this is no longer about what the store can do."""
    happened = await failed(store(cut(1000), *answers), errors.IncompleteReplyError, 0, SIZE)
    assert happened == "the connection broke and the store does not continue"


@pytest.mark.parametrize(("start", "stop"), [(0, SIZE), (100, 9000)], ids=["whole", "part"])
async def test_a_store_that_continues_from_zero_is_read_on_once(start: int, stop: int) -> None:
    """It ignores the range; what was given out before is not given out again."""
    transport = store(cut(1000), whole_again(), whole_again())
    assert await part(transport, start, stop) == PARQUET[start:stop]
    assert len(asked(transport)) == 2


@pytest.mark.parametrize("answer", [status(412), serve(OTHER, etag='"v2"'), whole_again(etag='"v2"')])
async def test_an_artifact_replaced_while_it_is_read_is_not_continued(answer: Answer) -> None:
    """Two halves of two artifacts would look whole."""
    await failed(store(cut(1000), answer), errors.ArtifactChangedError, 0, SIZE)


CUTS = st.lists(st.tuples(st.integers(0, SIZE), st.booleans()), max_size=8)


@settings(deadline=None)
@given(st.integers(0, SIZE - 1), st.integers(1, SIZE), CUTS)
async def test_whatever_breaks_the_bytes_are_right_or_there_is_an_error(
    start: int, count: int, cuts: list[tuple[int, bool]]
) -> None:
    """For any part and any places where connections break, cleanly or not."""
    stop = min(start + count, SIZE)
    transport = store(*(cut(at) if hard else serve(cut=at, length=False) for at, hard in cuts))
    got = bytearray()
    async with client(transport) as api:
        artifact = await opened(api)
        try:
            await read(artifact, start, stop, got=got)
        except errors.IncompleteReplyError:
            assert any(not at for at, _ in cuts)
            assert bytes(got) == PARQUET[start : start + len(got)]
        else:
            assert bytes(got) == PARQUET[start:stop]


# --- how much at once


class Stuck(Body):
    """A body that says nothing more after its first byte until it is told to."""

    def __init__(self, body: bytes) -> None:
        super().__init__([body[:1], body[1:]])
        self.go_on = anyio.Event()

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        async for chunk in super().__aiter__():
            yield chunk
            await self.go_on.wait()


def stuck(bodies: list[Stuck]) -> Answer:
    """Parts that get stuck after their first byte."""

    def answer(request: httpx.Request) -> httpx.Response:
        response = serve()(request)
        start, stop = span(request)
        bodies.append(Stuck(PARQUET[start:stop]))
        return httpx.Response(response.status_code, headers=response.headers, stream=bodies[-1])

    return answer


async def test_at_most_four_parts_are_fetched_at_once_by_one_client() -> None:
    """Of all artifacts together; the fifth waits until one is done."""
    bodies: list[Stuck] = []
    transport = store(*[stuck(bodies)] * 6)
    got: list[bytes] = []
    async with client(transport) as api:
        artifacts = [await opened(api), await opened(api)]

        async def fetch(number: int) -> None:
            got.append(await read(artifacts[number % 2], number * 10, number * 10 + 10))

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(fetch, number)
            await anyio.wait_all_tasks_blocked()
            assert len(bodies) == 4
            bodies[0].go_on.set()
            await anyio.wait_all_tasks_blocked()
            assert len(bodies) == 5
            for body in bodies:
                body.go_on.set()
            await anyio.wait_all_tasks_blocked()
            bodies[5].go_on.set()
    assert sorted(got) == sorted(PARQUET[at : at + 10] for at in range(0, 60, 10))


async def test_a_reader_that_leaves_closes_the_connection_and_makes_room() -> None:
    """A page needs the beginning of a column, not all of it."""
    bodies: list[Stuck] = []
    async with client(store(*[stuck(bodies)] * 5)) as api:
        artifact = await opened(api)
        for number in range(5):
            async with aclosing(artifact.chunks(0, 100)) as chunks:
                assert await anext(chunks) == PARQUET[:1]
            assert bodies[number].closed
