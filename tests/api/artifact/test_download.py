"""Downloads: resumed only where the store proves it is the same artifact, and never half finished."""

from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from sutro_mcp.api import ApiClient
from sutro_mcp.api.artifact.part_file import PartFile
from sutro_mcp.api.artifact.presigned_url import SignedUrl
from sutro_mcp.emulator import ApiVariant, Emulator, Fault
from sutro_mcp.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionFailedError,
    IncompleteReplyError,
    InvalidArgumentError,
    ReplyTooLargeError,
    ResultsNotReadyError,
    ServiceUnavailableError,
    SutroError,
    UnexpectedReplyError,
)
from sutro_mcp.results_spec import ResultsSpec
from tests.api.wire import JOB, PARQUET, Script, client, emulated, names_in, reply

pytestmark = pytest.mark.anyio

LINK = "https://bucket.s3.example.com/x.parquet?X-Amz-Signature=canary"
SIZE = len(PARQUET)
OTHER = b"PAR1" + b"other" * 3000 + b"PAR1"
ETAG = {"etag": '"v1"'}

Answer = Callable[[httpx.Request], httpx.Response]


def store(*answers: Answer, size: int | None = SIZE) -> Script:
    """A deployment whose store gives these answers in turn; links are offered as often as asked."""
    waiting = list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "sutro.example.com":
            artifact = {"size_bytes": size} if size is not None else {}
            return reply(200, {"job_id": JOB, "artifact": artifact, "urls": {"get": LINK}})
        return waiting.pop(0)(request)

    return Script(handler)


def whole(body: bytes = PARQUET, headers: Mapping[str, str] = ETAG) -> Answer:
    return lambda _: reply(200, body, headers=headers)


def cut(at: int, headers: Mapping[str, str] = ETAG) -> Answer:
    """The connection breaks after `at` bytes of the whole body."""

    def answer(_: httpx.Request) -> httpx.Response:
        sent = {"content-length": str(SIZE), **headers}
        return reply(200, PARQUET[:at], headers=sent, failure=httpx.ReadError("reset"), length=False)

    return answer


def rest(
    body: bytes = PARQUET, *, stop: int | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """What a range of `body` is answered with; `stop` cuts it."""

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        sent = ETAG | {"content-range": f"bytes {start}-{len(body) - 1}/{len(body)}"} | dict(headers or {})
        failure = None if stop is None else httpx.RemoteProtocolError("cut")
        return reply(206, body[start:stop], headers=sent, failure=failure, length=stop is None)

    return answer


def status(code: int, body: bytes = b"<Error/>") -> Answer:
    return lambda _: reply(code, body)


def ranges(transport: Script) -> list[tuple[str | None, str | None]]:
    """Range and If-Range of every request to the store."""
    return [
        (request.headers.get("range"), request.headers.get("if-range"))
        for request in transport.seen
        if request.url.host != "sutro.example.com"
    ]


async def fetched(transport: Script, tmp_path: Path) -> bytes:
    async with client(transport) as api:
        artifact = await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert names_in(tmp_path) == [artifact.path.name]
    return artifact.path.read_bytes()


async def failed(transport: Script, tmp_path: Path, kind: type[SutroError]) -> str:
    async with client(transport) as api:
        with pytest.raises(kind) as caught:
            await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert names_in(tmp_path) == []
    assert "canary" not in str(caught.value)
    return str(caught.value)


async def test_the_store_sees_no_credentials_and_nothing_it_does_not_need(tmp_path: Path) -> None:
    """The signature is in the URL; the key belongs to another host."""
    transport = store(whole())
    await fetched(transport, tmp_path)
    request = transport.seen[1]
    assert dict(request.headers) == {
        "host": "bucket.s3.example.com",
        "accept-encoding": "identity",
    }
    assert (request.method, str(request.url)) == ("GET", LINK)


async def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """At most three times, and only if it is still the same."""
    transport = store(cut(1000), rest(stop=2000), rest(stop=2000), rest())
    assert await fetched(transport, tmp_path) == PARQUET
    assert ranges(transport) == [
        (None, None),
        ("bytes=1000-", '"v1"'),
        ("bytes=2000-", '"v1"'),
        ("bytes=2000-", '"v1"'),
    ]


async def test_a_download_that_breaks_four_times_fails_and_leaves_nothing(tmp_path: Path) -> None:
    """The reason is told, the link is not."""
    transport = store(cut(1000), rest(stop=2000), rest(stop=3000), rest(stop=4000))
    assert "the connection broke" in await failed(transport, tmp_path, IncompleteReplyError)


@pytest.mark.parametrize("etag", [None, 'W/"v1"', "v1", '""', '"a\tb"'], ids=repr)
async def test_without_a_strong_entity_tag_a_broken_download_starts_again(
    tmp_path: Path, etag: str | None
) -> None:
    """Bytes of two artifacts must not be joined."""
    headers = {"etag": etag} if etag else {"x-none": ""}
    transport = store(cut(1000, headers), whole(headers=headers))
    assert await fetched(transport, tmp_path) == PARQUET
    assert ranges(transport) == [(None, None), (None, None)]


async def test_an_artifact_that_changed_is_fetched_from_the_start(tmp_path: Path) -> None:
    """If-Range makes the store send all of the new one."""
    transport = store(cut(1000), whole(OTHER, headers={"etag": '"v2"'}))
    assert await fetched(transport, tmp_path) == OTHER
    transport = store(
        cut(1000), rest(OTHER, headers={"etag": '"v2"'}), whole(OTHER, headers={"etag": '"v2"'})
    )
    assert await fetched(transport, tmp_path / "again") == OTHER


@pytest.mark.parametrize(
    "answer",
    [
        rest(headers={"etag": '"v2"'}),
        rest(OTHER),
        rest(headers={"content-range": "nonsense"}),
        status(416),
    ],
    ids=["other tag", "other size", "no range", "416"],
)
async def test_a_part_of_another_artifact_is_thrown_away(tmp_path: Path, answer: Answer) -> None:
    """A store may ignore If-Range."""
    transport = store(cut(1000), answer, whole())
    assert await fetched(transport, tmp_path) == PARQUET
    assert ranges(transport)[-1] == (None, None)


async def test_a_store_may_omit_tag_and_total_of_a_part(tmp_path: Path) -> None:
    """It said both before."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["range"] == "bytes=1000-"
        headers = {"content-range": f"bytes 1000-{SIZE - 1}/*"}
        return reply(206, PARQUET[1000:], headers=headers)

    assert await fetched(store(cut(1000), answer, size=None), tmp_path) == PARQUET


async def test_a_part_may_be_the_first_to_say_the_total(tmp_path: Path) -> None:
    """A chunked first reply has no length."""

    def chunked(_: httpx.Request) -> httpx.Response:
        return reply(200, PARQUET[:1000], headers=ETAG, failure=httpx.ReadError(""), length=False)

    assert await fetched(store(chunked, rest(), size=None), tmp_path) == PARQUET


async def test_another_part_than_asked_for_is_refused(tmp_path: Path) -> None:
    """It would leave a hole."""
    transport = store(cut(1000), rest(headers={"content-range": f"bytes 1001-{SIZE - 1}/{SIZE}"}))
    assert "another part than was asked for" in await failed(transport, tmp_path, UnexpectedReplyError)


async def test_an_expired_link_is_renewed_once(tmp_path: Path) -> None:
    """Also in the middle of a download."""
    emulator = Emulator()
    job_id = emulator.add_job(num_rows=500)
    emulator.faults.add(Fault.expired(), origin="store")
    async with emulated(emulator) as api:
        assert (await api.fetch_results(ResultsSpec(job_id), tmp_path)).route == "results-url"
    assert [request.status for request in emulator.requests] == [200, 403, 200, 200]
    assert await fetched(store(cut(1000), status(403), rest()), tmp_path / "again") == PARQUET


async def test_a_link_that_is_refused_twice_is_an_error_about_access(tmp_path: Path) -> None:
    """A third would not help."""
    transport = store(status(403), status(403))
    assert "refused two download links in a row" in await failed(transport, tmp_path, AccessDeniedError)


@pytest.mark.parametrize(("code", "asked"), [(301, 1), (404, 1), (206, 1), (400, 1), (416, 4)])
async def test_what_a_store_should_not_answer_is_an_error(tmp_path: Path, code: int, asked: int) -> None:
    """Redirects included: they are not followed."""
    transport = store(*[status(code)] * 4)
    text = await failed(transport, tmp_path, UnexpectedReplyError)
    assert (f"answered {code} to a download" in text) or "the artifact changed" in text
    assert len(ranges(transport)) == asked


@pytest.mark.parametrize("code", [408, 429, 500, 503])
async def test_a_store_that_fails_for_a_moment_is_asked_again(tmp_path: Path, code: int) -> None:
    """As the API is."""
    assert await fetched(store(*[status(code)] * 3, whole()), tmp_path) == PARQUET
    text = await failed(store(*[status(code)] * 4), tmp_path / "again", ServiceUnavailableError)
    assert f"the artifact store failed ({code})" in text


def unreachable(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError(f"no route to {LINK}")


async def test_a_store_that_cannot_be_reached_does_not_show_its_link(tmp_path: Path) -> None:
    """The text of httpx holds it."""
    await failed(store(*[unreachable] * 4), tmp_path, ConnectionFailedError)
    assert await fetched(store(unreachable, whole()), tmp_path / "again") == PARQUET


@pytest.mark.parametrize(
    ("answer", "size", "happened"),
    [
        (whole(), SIZE - 1, f"has {SIZE:,} bytes although {SIZE - 1:,} were announced"),
        (whole(), SIZE + 1, f"has {SIZE:,} bytes although {SIZE + 1:,} were announced"),
        (whole(headers={"content-encoding": "gzip"}), SIZE, "sent the artifact compressed"),
        (whole(headers={"content-length": "x"}), SIZE, "a length that is not a number"),
    ],
    ids=["too long", "too short", "compressed", "junk length"],
)
async def test_an_artifact_that_is_not_as_announced_is_refused(
    tmp_path: Path, answer: Answer, size: int, happened: str
) -> None:
    """Nothing is kept of it."""
    assert happened in await failed(store(answer, size=size), tmp_path, UnexpectedReplyError)


async def test_without_a_length_the_announced_size_decides(tmp_path: Path) -> None:
    """A clean end may still be early or late."""

    def short(_: httpx.Request) -> httpx.Response:
        return reply(200, PARQUET[:100], headers=ETAG, length=False)

    def long(_: httpx.Request) -> httpx.Response:
        return reply(200, [PARQUET, b"more"], headers=ETAG, length=False)

    assert await fetched(store(short, rest()), tmp_path / "short") == PARQUET
    assert await fetched(store(long, whole()), tmp_path / "long") == PARQUET
    text = await failed(store(long, long, long, long), tmp_path / "always", IncompleteReplyError)
    assert "more bytes came than the artifact has" in text


async def test_an_artifact_above_the_cap_is_not_begun(tmp_path: Path) -> None:
    """Eight gibibytes."""
    transport = store(size=8 * 1024**3 + 1)
    assert "more than the 8,589,934,592 that are fetched" in await failed(
        transport, tmp_path, ReplyTooLargeError
    )


async def test_the_emulator_resumes_and_notices_a_change(tmp_path: Path) -> None:
    """With its own ranges, tags and dropped connections."""
    emulator = Emulator()
    job_id = emulator.add_job(num_rows=5000)
    async with emulated(emulator) as api:
        whole_file = (await api.fetch_results(ResultsSpec(job_id), tmp_path)).path.read_bytes()
        emulator.faults.add(Fault.truncated(after=1000), origin="store")
        assert (await api.fetch_results(ResultsSpec(job_id), tmp_path)).path.read_bytes() == whole_file
        assert emulator.requests[-1].status == 206
        emulator.faults.add(Fault.truncated(after=1000), origin="store")
        emulator.faults.add(Fault.changed_artifact(), origin="store")
        changed = await api.fetch_results(ResultsSpec(job_id), tmp_path)
    assert changed.path.read_bytes() != whole_file
    assert (emulator.requests[-1].status, changed.path.stat().st_size) == (200, changed.size)


@pytest.mark.parametrize(
    "variant", [ApiVariant(store_ranges=False), ApiVariant(store_etag=False)], ids=["ranges", "etag"]
)
async def test_a_store_without_ranges_or_tags_is_read_again_from_the_start(
    tmp_path: Path, variant: ApiVariant
) -> None:
    """Some gateways are like that."""
    emulator = Emulator(variant=variant)
    job_id = emulator.add_job(num_rows=500)
    emulator.faults.add(Fault.truncated(after=1000), origin="store")
    async with emulated(emulator) as api:
        artifact = await api.fetch_results(ResultsSpec(job_id), tmp_path)
    assert artifact.path.stat().st_size == artifact.size
    assert [request.status for request in emulator.requests] == [200, 200, 200]


# --- download_job_results: to a place the caller names, resumed across processes


async def saved(transport: Script, destination: Path) -> Path:
    async with client(transport) as api:
        return await api.download_job_results(JOB, destination)


async def test_results_appear_at_their_destination_only_when_complete(tmp_path: Path) -> None:
    """Replacing what was there, in a folder that is made if needed."""
    destination = tmp_path / "folder" / "results.parquet"
    assert await saved(store(whole()), destination) == destination
    assert await saved(store(whole(OTHER), size=None), destination) == destination
    assert destination.read_bytes() == OTHER
    assert names_in(destination.parent) == ["results.parquet"]
    assert destination.stat().st_mode & 0o777 == 0o600


async def interrupted(destination: Path, headers: Mapping[str, str] = ETAG) -> None:
    """A first call that breaks off after 1,000 bytes."""
    answers = [cut(1000, headers), *[unreachable] * 3]
    with pytest.raises(ConnectionFailedError):
        await saved(store(*answers), destination)


async def test_an_interrupted_download_goes_on_in_the_next_call(tmp_path: Path) -> None:
    """Partial bytes and their tag lie beside the destination, as with the official SDK."""
    destination = tmp_path / "r.parquet"
    await interrupted(destination)
    assert names_in(tmp_path) == ["r.parquet.part", "r.parquet.part.etag"]
    assert (tmp_path / "r.parquet.part.etag").read_text() == '"v1"'
    assert (tmp_path / "r.parquet.part").stat().st_size == 1000
    transport = store(rest())
    assert (await saved(transport, destination)).read_bytes() == PARQUET
    assert ranges(transport) == [("bytes=1000-", '"v1"')]
    assert names_in(tmp_path) == ["r.parquet"]


async def test_without_a_strong_tag_nothing_is_left_to_go_on_from(tmp_path: Path) -> None:
    """It could not be proven to be the same."""
    await interrupted(tmp_path / "r.parquet", {"etag": 'W/"v1"'})
    assert names_in(tmp_path) == []


async def test_an_artifact_that_changed_between_calls_is_fetched_whole(tmp_path: Path) -> None:
    """The store answers 200 to the stale tag."""
    await interrupted(tmp_path / "r.parquet")
    transport = store(whole(OTHER, headers={"etag": '"v2"'}), size=None)
    assert (await saved(transport, tmp_path / "r.parquet")).read_bytes() == OTHER


@pytest.mark.parametrize(
    ("part", "etag", "asked"),
    [
        (PARQUET, '"v1"', (f"bytes={SIZE - 1}-", '"v1"')),
        (PARQUET + b"more", '"v1"', (None, None)),
        (PARQUET[:1000], "no tag", (None, None)),
        (PARQUET[:1000], None, (None, None)),
        (PARQUET[:1000], b"\xff", (None, None)),
        (b"", '"v1"', (None, None)),
    ],
    ids=["complete", "too long", "junk tag", "no tag file", "binary tag file", "empty"],
)
async def test_whatever_an_earlier_process_left_the_result_is_right(
    tmp_path: Path, part: bytes, etag: str | bytes | None, asked: tuple[str | None, str | None]
) -> None:
    """Kept only if it can be continued."""
    (tmp_path / "r.parquet.part").write_bytes(part)
    if etag is not None:
        (tmp_path / "r.parquet.part.etag").write_bytes(etag if isinstance(etag, bytes) else etag.encode())
    transport = store(rest() if asked[0] else whole())
    assert (await saved(transport, tmp_path / "r.parquet")).read_bytes() == PARQUET
    assert ranges(transport) == [asked]
    assert names_in(tmp_path) == ["r.parquet"]


async def test_content_that_is_wrong_is_not_kept_for_later(tmp_path: Path) -> None:
    """Going on from a web page makes no sense."""
    with pytest.raises(UnexpectedReplyError, match="a web page"):
        await saved(store(whole(b"<html>" * 20), size=None), tmp_path / "r.parquet")
    assert names_in(tmp_path) == []


async def test_without_links_the_second_route_is_used_if_it_has_parquet(tmp_path: Path) -> None:
    """JSON under the name of a Parquet file would be a trap."""
    emulator = Emulator(variant=ApiVariant(results_url=False))
    job_id = emulator.add_job()
    async with emulated(emulator) as api:
        path = await api.download_job_results(job_id, tmp_path / "r.parquet", include_inputs=True)
        assert path.read_bytes()[:4] == b"PAR1"
        emulator.faults.add(Fault.raw(b'{"outputs": []}'), path="/jobs/*/results")
        with pytest.raises(UnexpectedReplyError, match="but not as Parquet"):
            await api.download_job_results(job_id, tmp_path / "again.parquet")
    assert names_in(tmp_path) == ["r.parquet"]


async def test_a_job_that_has_not_finished_leaves_no_trace(tmp_path: Path) -> None:
    """Not even an empty file."""
    emulator = Emulator()
    job_id = emulator.add_job(status="RUNNING")
    async with emulated(emulator) as api:
        with pytest.raises(ResultsNotReadyError):
            await api.download_job_results(job_id, tmp_path / "r.parquet")
    assert names_in(tmp_path) == []


async def test_a_folder_is_no_destination(tmp_path: Path) -> None:
    """The caller names the file."""
    with pytest.raises(InvalidArgumentError, match="is a folder"):
        await saved(store(), tmp_path)


async def test_a_disk_that_cannot_be_written_is_an_error_of_the_settings(tmp_path: Path) -> None:
    """With the reason, and where to change the folder."""
    (tmp_path / "file").write_text("")
    async with client(store(whole())) as api:
        with pytest.raises(ConfigurationError, match="could not be written") as caught:
            await api.fetch_results(ResultsSpec(JOB), tmp_path / "file" / "below")
    assert "right to write" in str(caught.value)
    part = PartFile.fresh(tmp_path, "test")
    part.path.unlink()
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        await part.publish(tmp_path / "gone")
    part.discard()


def test_a_disk_error_without_a_number_is_said_in_general_words(tmp_path: Path) -> None:
    """Some file systems give none."""
    part = PartFile.fresh(tmp_path, "test")
    with pytest.raises(ConfigurationError, match=r"\(the disk failed\)"), part._disk():  # pyright: ignore[reportPrivateUsage]
        raise OSError("odd")
    part.discard()


def test_a_signed_url_does_not_show_itself() -> None:
    """Neither printed nor formatted."""
    secret = SignedUrl(httpx.URL(LINK))
    assert f"{secret} {secret!r}" == "SignedUrl(…) SignedUrl(…)"
    assert str(secret.reveal()) == LINK


async def test_blobs_may_have_a_transport_of_their_own(tmp_path: Path) -> None:
    """And then the API's never sees their URLs."""
    api_side, blob_side = store(), Script(whole())
    async with client(api_side, blob_transport=blob_side) as api:
        assert isinstance(api, ApiClient)
        await api.fetch_results(ResultsSpec(JOB), tmp_path)
    assert (len(api_side.seen), len(blob_side.seen)) == (1, 1)
