"""Downloads go to public addresses, judged when a name is resolved and not changed after."""

import socket
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
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
from hypothesis import given
from hypothesis import strategies as st

from sutro_mcp.api import ApiClient, ApiKey, Connection
from sutro_mcp.api.addresses import is_public
from sutro_mcp.api.transport import PrivateAddressError, PublicTransport
from sutro_mcp.emulator import DEMO_KEY, serve_in_thread
from sutro_mcp.errors import ConnectionFailedError, UnexpectedReplyError

from .wire import JOB, KEY, answering, client, reply, socket_server

pytestmark = pytest.mark.anyio

NAME = "bucket.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

PRIVATE = {
    "this network": ("0.0.0.0", "0.255.255.255"),  # noqa: S104 - nothing is bound
    "private, large": ("10.0.0.0", "10.255.255.255"),
    "shared": ("100.64.0.0", "100.127.255.255"),
    "loopback": ("127.0.0.0", "127.255.255.255"),
    "link-local, with the metadata of clouds": ("169.254.0.0", "169.254.255.255"),
    "private, medium": ("172.16.0.0", "172.31.255.255"),
    "protocol assignments": ("192.0.0.0", "192.0.0.255"),
    "documentation 1": ("192.0.2.0", "192.0.2.255"),
    "6to4 relays": ("192.88.99.0", "192.88.99.255"),
    "private, small": ("192.168.0.0", "192.168.255.255"),
    "benchmarks": ("198.18.0.0", "198.19.255.255"),
    "documentation 2": ("198.51.100.0", "198.51.100.255"),
    "documentation 3": ("203.0.113.0", "203.0.113.255"),
    "multicast and reserved": ("224.0.0.0", "255.255.255.255"),
    "unspecified": ("::", "::"),
    "loopback of IPv6": ("::1", "::1"),
    "IPv4-compatible": ("::0.0.0.0", "::ffff:ffff"),
    "IPv4-mapped": ("::ffff:0.0.0.0", "::ffff:255.255.255.255"),
    "translated": ("64:ff9b::", "64:ff9b::ffff:ffff"),
    "translated, local": ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    "discard": ("100::", "100::ffff:ffff:ffff:ffff"),
    "Teredo": ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
    "benchmarks of IPv6": ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"),
    "ORCHID": ("2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff"),
    "documentation of IPv6": ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    "6to4": ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "the old test network": ("3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "documentation of IPv6, new": ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "segment routing": ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "unique local": ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "link-local of IPv6": ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "site-local": ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "multicast of IPv6": ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_addresses_for_special_purposes_are_not_public(name: str) -> None:
    """The first and the last of each range that the registries list."""
    assert [is_public(address) for address in PRIVATE[name]] == [False, False]


@pytest.mark.parametrize(
    "address",
    [
        *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
        *("128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"),
        *("192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
        *("2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "2606:4700::1111", "3fff:1000::"),
    ],
)
def test_their_neighbours_are(address: str) -> None:
    """A range that is too wide would refuse somebody's store."""
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_counts_as_public_that_python_knows_not_to_be(address: IPv4Address | IPv6Address) -> None:
    """Whatever range it may be."""
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_multicast


def test_what_is_no_address_is_not_judged() -> None:
    """Names are resolved first."""
    with pytest.raises(ValueError, match="does not appear to be"):
        is_public("localhost")


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
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=5)


def at_name(origin: str) -> str:
    """The same place under a name that only a resolver of ours knows."""
    return origin.replace("127.0.0.1", NAME)


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["10.0.0.1", "93.184.216.34"],
        ["2606:4700::1111", "fe80::1%eth0"],
        ["::ffff:10.0.0.1"],
        ["127.0.0.1"],
        ["::1"],
    ],
    ids=repr,
)
async def test_a_name_with_any_address_that_is_not_public_is_not_connected_to(addresses: list[str]) -> None:
    """Which of them a connection would take is for others to choose."""
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
            with anyio.fail_after(2), pytest.raises(httpx.ConnectTimeout):
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
async def tls_server(path: Path) -> AsyncGenerator[tuple[int, list[str]]]:
    """A server with that certificate on loopback; yields its port and the names it was greeted with."""
    names: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    context.sni_callback = lambda _, name, __: names.append(name)

    async def answer(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            async for _ in stream:
                await stream.send(OK)

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
            response = await http.get(f"https://{NAME}:{port}/", timeout=1.9)
    assert response.text == "ok"


# --- as the client uses it


async def test_a_link_to_a_private_address_is_an_error_that_does_not_show_it() -> None:
    """The text of a link was checked before, and what its name stands for is found out now."""
    link = "https://canary.example.com/?sig=canary"
    offer = {"job_id": JOB, "artifact": {"size_bytes": 9}, "urls": {"get": link}}
    tls, resolver = ssl.create_default_context(), Resolver("10.0.0.1")
    guard = PublicTransport(tls, loopback=False, resolve=resolver)
    async with client(answering(reply(200, offer)), blob_transport=guard) as api:
        artifact = await api.open_results(JOB)
        assert artifact is not None
        with pytest.raises(UnexpectedReplyError, match="leads to a private address") as caught:
            await anext(artifact.chunks(0, 9))
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value)


async def test_a_store_whose_name_is_unknown_is_a_failed_connection() -> None:
    """One of ours, which does not show the name."""
    connection = Connection("https://sutro.example.com/v1", ApiKey(KEY), "argument", "argument")
    transport = PublicTransport(ssl.create_default_context(), loopback=False, resolve=Resolver())
    async with ApiClient(connection, blob_transport=transport) as api:
        http = api._http  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(ConnectionFailedError, match="could not be resolved") as caught:
            await http.open_blob(httpx.URL("https://canary.example.com/"), {}, "read")
    assert "canary" not in str(caught.value)


async def test_an_emulator_on_this_machine_is_reached() -> None:
    """The whole way, with both origins on this machine."""
    with serve_in_thread(seed_jobs=False) as emulator:
        connection = Connection(f"{emulator.api_origin}/v1", ApiKey(DEMO_KEY), "argument", "argument")
        async with ApiClient(connection) as api:
            artifact = await api.open_results(emulator.add_job())
            assert artifact is not None
            chunks = artifact.chunks(0, 4)
            assert b"".join([chunk async for chunk in chunks]) == b"PAR1"
