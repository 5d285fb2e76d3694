"""An issuer whose keys change, or which does not answer: who is let in meanwhile."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.datastructures import Headers

from sutro_mcp.api import fetch_document
from sutro_mcp.errors import UnexpectedReplyError
from sutro_mcp.server.access.access_tokens import AccessTokens
from sutro_mcp.server.access.authentication import CredentialError
from sutro_mcp.server.access.issuer_keys import IssuerKeys

from .issuer import Issuer, issuing
from .team import team_settings

pytestmark = pytest.mark.anyio


class Door:
    """Tokens of one issuer, checked at a time that the test says."""

    def __init__(self, issuer: Issuer, jwks_url: str | None = None) -> None:
        self.now = 0.0
        self.issuer = issuer
        keys = IssuerKeys(issuer.url, jwks_url, fetch_document, lambda: self.now)
        self.tokens = AccessTokens(team_settings(auth="oauth", oidc_issuer=issuer.url, shared_key=True), keys)

    async def lets_in(self, token: str) -> str:
        """The name of the caller, or why not."""
        try:
            found = await self.tokens(Headers({"authorization": f"Bearer {token}"}))
        except CredentialError as error:
            return error.reason
        return found.principal.label


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    """Its keys differ from test to test."""
    async with issuing() as made:
        yield made


async def test_keys_are_fetched_once_and_kept_for_an_hour(issuer: Issuer) -> None:
    """However many callers there are."""
    door = Door(issuer)
    for door.now in (0.0, 1.0, 3600.0):
        assert await door.lets_in(issuer.token()) == "alice"
    assert issuer.fetches == 1
    door.now = 3601.0
    assert await door.lets_in(issuer.token()) == "alice"
    assert issuer.fetches == 2


async def test_a_new_key_counts_with_the_first_token_and_a_withdrawn_one_no_more(issuer: Issuer) -> None:
    """Half a minute after the last look."""
    door = Door(issuer)
    assert await door.lets_in(issuer.token()) == "alice"
    old = issuer.token()
    issuer.add_ec("e2")
    del issuer.published["r1"]
    door.now = 31.0
    assert await door.lets_in(old) == "alice"
    assert await door.lets_in(issuer.token("e2", "ES256")) == "alice"
    assert await door.lets_in(old) == "unknown"


async def test_unknown_keys_do_not_make_the_server_ask_more_than_twice_a_minute(issuer: Issuer) -> None:
    """Anybody can make them up."""
    door = Door(issuer)
    fetches: list[int] = []
    for door.now in (0.0, 30.0, 31.0, 61.0, 62.0):
        assert await door.lets_in(issuer.token(headers={"kid": f"k{door.now}"})) == "unknown"
        fetches.append(issuer.fetches)
    assert fetches == [1, 1, 2, 2, 3]


async def test_known_keys_count_while_the_issuer_is_down(issuer: Issuer) -> None:
    """For as long as it takes; what is new waits."""
    door = Door(issuer)
    assert await door.lets_in(issuer.token()) == "alice"
    issuer.is_down = True
    issuer.add_ec("e2")
    for door.now in (600.0, 3601.0, 7300.0):
        assert await door.lets_in(issuer.token()) == "alice"
        assert await door.lets_in(issuer.token("e2", "ES256")) == "unknown"
    issuer.is_down = False
    door.now = 7331.0
    assert await door.lets_in(issuer.token("e2", "ES256")) == "alice"


async def test_nobody_is_let_in_before_there_are_keys_and_nobody_is_told_that_the_token_is_bad(
    issuer: Issuer,
) -> None:
    """Hosts throw a token away that was called invalid."""
    door = Door(issuer)
    issuer.is_down = True
    assert not await door.tokens.is_ready()
    assert await door.lets_in(issuer.token()) == "unavailable"
    issuer.is_down = False
    door.now = 31.0
    assert await door.tokens.is_ready()
    assert await door.lets_in(issuer.token()) == "alice"


NO_KEYS: dict[str, Any] = {
    "a text": "r1",
    "a secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "r1"},
    "unknown": {"kty": "?", "kid": "r1"},
    "no number": {"kty": "RSA", "n": 5, "e": "AQAB", "kid": "r1"},
    "another curve": {"kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ", "kid": "r1"},
}


@pytest.mark.parametrize("case", [*NO_KEYS, "for encryption", "none"])
async def test_keys_that_prove_nothing_are_none(issuer: Issuer, case: str) -> None:
    """A secret in public least of all."""
    door = Door(issuer)
    found = {"for encryption": {**issuer.published["r1"], "use": "enc"}, **NO_KEYS}.get(case)
    issuer.published = {"r1": found} if found else {}
    assert await door.lets_in(issuer.token()) == "unavailable"


async def test_what_a_key_may_sign_is_said_where_it_is_published(issuer: Issuer) -> None:
    """Never by a token; who names no key means the only one."""
    rsa, ec = issuer.published["r1"], issuer.published["e1"]
    tokens = {name: issuer.token(algorithm=name) for name in ("RS256", "PS256", "RS512")}
    tokens |= {"ES256": issuer.token("e1", "ES256"), "of no key": issuer.token(headers={"kid": None})}
    for published, let_in in (
        ([rsa], ["RS256", "PS256", "of no key"]),
        ([rsa | {"alg": "RS256"}], ["RS256", "of no key"]),
        ([rsa | {"alg": "PS256", "use": "sig"}], ["PS256"]),
        ([rsa | {"alg": "RS512"}, rsa | {"kid": 5}, rsa | {"use": "enc"}, ec], ["ES256"]),
        ([NO_KEYS["unknown"], rsa, ec], ["RS256", "PS256", "ES256"]),
    ):
        issuer.published = {str(place): key for place, key in enumerate(published)}
        door = Door(issuer)
        assert [name for name, token in tokens.items() if await door.lets_in(token) == "alice"] == let_in


OPENID = "https://login.example/a/.well-known/openid-configuration"
RFC_8414 = "https://login.example/.well-known/oauth-authorization-server/a"


class Documents(dict[str, dict[str, object]]):
    """Documents by address, as anybody may publish them; `asked` for in this order."""

    def __init__(self, place: str, jwks_uri: object, issuer: str = "https://login.example/a/") -> None:
        super().__init__({place: {"issuer": issuer, "jwks_uri": jwks_uri}})
        self.asked: list[str] = []
        self.now = 0.0
        self.issuer_keys = IssuerKeys("https://login.example/a/", None, self.fetch, lambda: self.now)

    async def fetch(self, url: str, doing: str) -> dict[str, object]:
        self.asked.append(url)
        if url not in self:
            raise UnexpectedReplyError(doing, "nothing is there")
        return self[url]


@pytest.mark.parametrize("looked_at", [[OPENID], [OPENID, RFC_8414]], ids=["OpenID Connect", "RFC 8414"])
async def test_the_metadata_say_once_where_the_keys_are(issuer: Issuer, looked_at: list[str]) -> None:
    """In the place of OpenID Connect, or else of OAuth."""
    documents = Documents(looked_at[-1], "https://keys.example/")
    documents["https://keys.example/"] = {"keys": [issuer.published["e1"]]}
    for documents.now in (0.0, 3601.0):
        assert await documents.issuer_keys.find("e1") is not None
    assert documents.asked == [*looked_at, "https://keys.example/", "https://keys.example/"]


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/",
        "http://127.0.0.1/keys",
        "wss://keys.example/",
        "file:///etc/passwd",
        "keys",
        5,
        None,
    ],
)
async def test_keys_are_not_fetched_where_somebody_could_change_them_on_the_way(
    url: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The metadata are the issuer's, but a plain address is anybody's."""
    documents = Documents(OPENID, url)
    with pytest.raises(UnexpectedReplyError, match="they could not be fetched"):
        await documents.issuer_keys.find("e1")
    assert documents.asked == [OPENID]
    assert "its metadata have no HTTPS address of them" in caplog.text


@pytest.mark.parametrize("url", ["http://keys.example/", "ws://127.0.0.1/keys"])
async def test_an_issuer_on_this_machine_may_be_without_tls_but_not_its_keys_elsewhere(
    issuer: Issuer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As when an operator tries things out."""
    issuer.keys_url = url
    assert await Door(issuer).lets_in(issuer.token()) == "unavailable"
    assert "its metadata have no HTTPS address of them" in caplog.text


@pytest.mark.parametrize("name", ["https://login.example/", "https://login.example/b/"])
async def test_metadata_of_another_issuer_lead_to_no_keys(name: str) -> None:
    """Of a shorter name or another one."""
    documents = Documents(OPENID, "https://keys.example/", name)
    with pytest.raises(UnexpectedReplyError, match="they could not be fetched"):
        await documents.issuer_keys.find("e1")
    assert documents.asked == [OPENID]


async def test_metadata_of_another_issuer_are_not_believed(issuer: Issuer) -> None:
    """The operator named one, to the letter; the address of the keys can be given instead."""
    url, issuer.url = issuer.url, "https://elsewhere.example"
    door = Door(Issuer(url))
    assert await door.lets_in(issuer.token()) == "unavailable"
    issuer.url = url
    assert await Door(issuer, f"{url}/keys").lets_in(issuer.token()) == "alice"
