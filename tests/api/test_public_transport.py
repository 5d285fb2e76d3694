"""Downloads go to public addresses, judged when a name is resolved and not changed after."""

import random
import socket
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import EAI_NONAME, gaierror

import anyio
import anyio.abc
import httpx
import pytest
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sutro_mcp.api import ApiClient, ApiKey, Connection
from sutro_mcp.api.public_transport import PrivateAddressError, PublicTransport
from sutro_mcp.emulator import DEMO_KEY, serve_in_thread
from sutro_mcp.errors import ConnectionFailedError, SutroError, UnexpectedReplyError
from sutro_mcp.results_spec import ResultsSpec

from .wire import JOB, answering, client, reply, socket_server

pytestmark = pytest.mark.anyio

NAME = "bucket.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Resolver:
    """Gives every name these addresses, and remembers what was asked; without any, a name is unknown."""

    def __init__(self, *addresses: str) -> None:
        self.asked: list[str] = []
        self.addresses = addresses

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if not self.addresses:
            raise gaierror(EAI_NONAME, "unknown")
        return self.addresses


def guarded(
    resolver: Resolver, *, loopback: bool = True, tls: ssl.SSLContext | None = None
) -> httpx.AsyncClient:
    transport = PublicTransport(tls or ssl.create_default_context(), loopback=loopback, resolve=resolver)
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=60)


def at_name(origin: str) -> str:
    """The same place under a name that only a resolver of ours knows."""
    return origin.replace("127.0.0.1", NAME)


@pytest.mark.parametrize(
    "addresses",
    [
        *(["10.0.0.1"], ["127.0.0.1"], ["::1"], ["::ffff:10.0.0.1"]),
        *(["93.184.216.34", "10.0.0.1"], ["10.0.0.1", "93.184.216.34"], ["2606:4700::1111", "fe80::1%eth0"]),
    ],
    ids=repr,
)
async def test_a_name_with_any_address_that_is_not_public_is_not_connected_to(addresses: list[str]) -> None:
    """The choice of the one that a connection takes is for others."""
    async with guarded(Resolver(*addresses), loopback=False) as http:
        with pytest.raises(PrivateAddressError):
            await http.get(f"https://{NAME}/")


@pytest.mark.parametrize("loopback", [False, True])
def test_public_addresses_are_allowed_everywhere(loopback: bool) -> None:
    """Where stores usually are."""
    transport = PublicTransport(ssl.create_default_context(), loopback=loopback)
    assert [transport.allows(each) for each in ("93.184.216.34", "2606:4700::1111")] == [True, True]
    assert [transport.allows(each) for each in ("127.0.0.1", "::1")] == [loopback, loopback]


async def test_loopback_is_allowed_where_the_deployment_is_there_and_nothing_else() -> None:
    """An emulator has its store on this machine, not in this network."""
    async with socket_server(OK) as (origin, asked), guarded(Resolver("127.0.0.1")) as http:
        assert (await http.get(at_name(origin))).text == "ok"
        assert len(asked) == 1
    async with guarded(Resolver("127.0.0.1", "192.168.0.1")) as http:
        with pytest.raises(PrivateAddressError):
            await http.get(at_name(origin))


async def test_the_name_is_resolved_once_and_its_address_kept() -> None:
    """A second answer of the resolver could be another one. The store sees the name, not the address."""
    resolver = Resolver("127.0.0.1")
    async with socket_server(OK) as (origin, asked), guarded(resolver) as http:
        await http.get(at_name(origin))
        resolver.addresses = ("10.0.0.1",)
        await http.get(at_name(origin))
    assert resolver.asked == [NAME]
    assert [b"\r\nHost: bucket.example.com:" in head for head in asked] == [True, True]


async def test_every_address_is_tried_in_turn() -> None:
    """Often one of the two protocols leads nowhere, and not every machine is up."""
    resolver = Resolver("::1", "127.0.0.1", "127.0.0.3")
    async with socket_server(OK) as (origin, _), guarded(resolver) as http:
        assert (await http.get(at_name(origin))).text == "ok"
        assert (await http.get(at_name(origin))).text == "ok"
    assert resolver.asked == [NAME]


async def test_an_address_that_is_gone_is_asked_for_again() -> None:
    """A store moves now and then."""
    resolver = Resolver("127.0.0.1")
    async with guarded(resolver) as http:
        async with socket_server(OK) as (origin, _):
            await http.get(at_name(origin))
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                await http.get(at_name(origin))
    assert resolver.asked == [NAME, NAME]


async def test_a_name_that_does_not_resolve_is_a_failed_connection() -> None:
    """Told like any other, without the name."""
    async with guarded(Resolver()) as http:
        with pytest.raises(httpx.ConnectError) as caught:
            await http.get(f"https://{NAME}/")
    assert isinstance(caught.value.__cause__, gaierror)
    assert NAME not in str(caught.value)


async def test_a_resolver_that_hangs_is_given_up() -> None:
    """Within the time for connecting."""

    async def hang(_: str) -> Sequence[str]:
        await anyio.sleep_forever()
        raise AssertionError

    transport = PublicTransport(ssl.create_default_context(), loopback=False, resolve=hang)
    async with httpx.AsyncClient(transport=transport, timeout=0.01) as http:
        with pytest.raises(httpx.ConnectTimeout):
            await http.get(f"https://{NAME}/")


async def test_all_addresses_share_the_time_for_connecting() -> None:
    """All of them are silent: each is tried, and together they take no longer than one may."""
    with socket.create_server(("", 0)) as silent:
        silent.setblocking(False)
        async with guarded(Resolver("127.0.0.1", "127.0.0.2")) as http:
            with anyio.fail_after(60), pytest.raises(httpx.ConnectTimeout):
                await http.get(f"https://{NAME}:{silent.getsockname()[1]}/", timeout=0.2)
        for address in ("127.0.0.1", "127.0.0.2"):
            connection, _ = silent.accept()
            with connection:
                assert connection.getsockname()[0] == address


# --- TLS: the certificate is for the name, not for the address


def certificate(name: str, folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for `name` with its key, as a file, and a client's context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    path = folder / "store.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + pem
    )
    return path, ssl.create_default_context(cadata=pem.decode())


@asynccontextmanager
async def tls_server(
    path: Path, reply: bytes = OK, *, then_gone: bool = False
) -> AsyncGenerator[tuple[int, list[str]]]:
    """A server with that certificate on loopback; yields its port and the names it was greeted with.

    With `then_gone` it breaks the connection off after a reply, without the end that TLS has for it.
    """
    names: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    context.sni_callback = lambda _, name, __: names.append(name)

    async def answer(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            async for _ in stream:
                await stream.send(reply)
                if then_gone:
                    return

    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(tcp, context, standard_compatible=False)
    port = tcp.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no database here
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        yield port, names
        tasks.cancel_scope.cancel()
    await listener.aclose()


async def test_the_certificate_must_be_for_the_name(tmp_path: Path) -> None:
    """Also where a connection to the same address is open, which was made for another name."""
    path, trusting = certificate(NAME, tmp_path)
    resolver = Resolver("127.0.0.1")
    async with tls_server(path) as (port, names), guarded(resolver, tls=trusting) as http:
        assert (await http.get(f"https://{NAME}:{port}/")).text == "ok"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await http.get(f"https://other.example.com:{port}/")
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await http.get(f"https://127.0.0.1:{port}/")
    assert names[:2] == [NAME, "other.example.com"]


async def test_an_address_that_is_silent_leaves_time_for_the_next(tmp_path: Path) -> None:
    """Half of it, where there are two."""
    path, trusting = certificate(NAME, tmp_path)
    resolver = Resolver("127.0.0.2", "127.0.0.1")
    async with tls_server(path) as (port, _), guarded(resolver, tls=trusting) as http:
        with socket.create_server(("127.0.0.2", port)):
            response = await http.get(f"https://{NAME}:{port}/", timeout=6)
    assert response.text == "ok"


@pytest.mark.parametrize("then_gone", [False, True])
async def test_much_is_read_at_a_time_over_tls_and_all_of_it(tmp_path: Path, *, then_gone: bool) -> None:
    """A record of TLS has 16 KiB, and each read passes many layers."""
    path, trusting = certificate(NAME, tmp_path)
    body = random.Random(5).randbytes(3_000_000)
    reply = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) + then_gone}\r\n\r\n".encode() + body
    parts: list[bytes] = []
    gone = pytest.raises(httpx.RemoteProtocolError) if then_gone else nullcontext()
    async with (
        tls_server(path, reply, then_gone=then_gone) as (port, _),
        guarded(Resolver("127.0.0.1"), tls=trusting) as http,
        http.stream("GET", f"https://{NAME}:{port}/") as response,
    ):
        with gone:
            async for part in response.aiter_raw():
                parts.append(part)  # noqa: PERF401 - a comprehension would lose them with the error
    assert b"".join(parts) == body
    assert len(parts) < len(body) / 32_000


# --- as the client uses it


@pytest.mark.parametrize(
    ("addresses", "kind", "happened"),
    [
        (["10.0.0.1"], UnexpectedReplyError, "leads to a private address"),
        ([], ConnectionFailedError, "could not be resolved"),
    ],
    ids=["private", "unknown"],
)
async def test_a_link_that_leads_nowhere_is_an_error_that_does_not_show_it(
    addresses: list[str], kind: type[SutroError], happened: str
) -> None:
    """The text of a link was checked before, and what its name stands for is found out now."""
    link = "https://canary.example.com/?sig=canary"
    offer = {"job_id": JOB, "artifact": {"size_bytes": 9}, "urls": {"get": link}}
    tls = ssl.create_default_context()
    guard = PublicTransport(tls, loopback=False, resolve=Resolver(*addresses))
    async with client(answering(reply(200, offer)), blob_transport=guard) as api:
        artifact = await api.open_results(ResultsSpec(JOB))
        assert artifact is not None
        with pytest.raises(kind, match=happened) as caught:
            await anext(artifact.chunks(0, 9))
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value)


async def test_an_emulator_on_this_machine_is_reached() -> None:
    """The whole way, with both origins on this machine."""
    with serve_in_thread(seed_jobs=False) as emulator:
        connection = Connection(f"{emulator.api_origin}/v1", ApiKey(DEMO_KEY), "argument", "argument")
        async with ApiClient(connection) as api:
            artifact = await api.open_results(ResultsSpec(emulator.add_job()))
            assert artifact is not None
            chunks = artifact.chunks(0, 4)
            assert b"".join([chunk async for chunk in chunks]) == b"PAR1"
